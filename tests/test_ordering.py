"""Lanes: each choice once over all its columns, the guided lane by score, the complete lane by size."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from nssr import db, engine, registry, search_space
from nssr.guide import UniformGuide
from nssr.ordering import NARROW, Lanes, _best

STATE = registry.init_registry(db.init_db(":memory:"), ("core",))
TABLE = engine.FunctionTable(STATE["metadata"])
SLOTS = search_space.choices(STATE)
SLOTS = SLOTS[SLOTS["comp"] == search_space.PARALLEL]
SCORES = UniformGuide().slot_scores(TABLE.n_functions)


def lanes(columns: int) -> Lanes:
    return Lanes(SLOTS, np.full(len(SLOTS), columns, dtype=np.int64), TABLE)


def keys(slots: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(int(row[name]) for name in ("primary", "secondary", "tertiary")) for row in slots]


def test_two_lanes_together_come_to_everything_once() -> None:
    both, whole, narrow = lanes(4), [], []
    turn = 0
    while both:
        chosen, width = both.guided(SCORES, 20_000) if turn % 2 else both.by_size(20_000)
        turn += 1
        for key, columns in zip(keys(chosen), width.tolist(), strict=True):
            (whole if columns == 4 else narrow).append((key, columns))
    assert sorted(key for key, _ in whole) == sorted(keys(SLOTS))
    assert len(set(narrow)) == len(narrow)
    assert {columns for _, columns in narrow} <= set(NARROW)


def test_what_has_few_columns_is_not_tried_over_fewer() -> None:
    chosen, width = lanes(2).guided(SCORES, 1e12)
    assert len(chosen) == len(SLOTS)
    assert set(width.tolist()) == {2}


def test_the_guided_lane_goes_by_score_and_the_other_by_size() -> None:
    rng = np.random.default_rng(0)
    scores = SCORES._replace(primary=rng.normal(size=TABLE.n_functions))
    both = lanes(3)
    found = [both.guided(scores, 3_000) for _ in range(4)]
    values = [
        search_space.log_scores(slots, scores, TABLE.arity, width, TABLE.commutative) - np.log(1 + (3 > 2))
        for slots, width in found
    ]
    assert all(a.min() >= b.max() - 1e-9 for a, b in itertools.pairwise(values))
    slots, _ = lanes(3).by_size(5_000)
    length = search_space.route_lengths(slots, TABLE.arity)
    assert (np.diff(length) >= 0).all()


def test_a_quota_is_kept_but_for_the_first() -> None:
    for quota in (1.0, 50.0, 4_000.0):
        slots, width = lanes(3).by_size(quota)
        counts = search_space.route_counts(slots, TABLE.arity, width)
        assert len(slots) >= 1
        assert counts[1:].sum() == 0 or counts.sum() <= quota


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 6000), kinds=st.integers(1, 4000), share=st.floats(0, 1.2))
def test_the_best_are_those_of_a_whole_sort(seed: int, n: int, kinds: int, share: float) -> None:
    """Also among many equal scores, and when the quota is all there is."""
    rng = np.random.default_rng(seed)
    scores, sizes = rng.integers(0, kinds, n).astype(float), rng.integers(1, 50, n).astype(float)
    quota = share * float(sizes.sum())
    order = np.argsort(-scores, kind="stable")
    handed_out = max(int(np.searchsorted(np.cumsum(sizes[order]), quota, side="right")), 1)
    found = _best(scores, sizes, quota)
    assert found[:handed_out].tolist() == order[:handed_out].tolist()
    assert n <= 1024 or share > 0.1 or kinds < 1000 or len(found) < n
