"""Lanes: each choice once over all its columns, the guided lane by score, the complete lane by size."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from nssr import db, engine, ordering, registry, search_space
from nssr.guide import SlotScores, UniformGuide
from nssr.ordering import NARROW, Lanes

STATE = registry.init_registry(db.init_db(":memory:"), ("core",))
TABLE = engine.FunctionTable(STATE["metadata"])
SLOTS = search_space.choices(STATE)
SLOTS = SLOTS[SLOTS["comp"] == search_space.PARALLEL]
SLOTS = SLOTS[~search_space.mirrored(SLOTS, TABLE.commutative)]
JOINED = search_space.Joined(STATE, TABLE)
SCORES = UniformGuide().slot_scores(TABLE.n_functions)
Key = tuple[int, ...]


def lanes(columns: int) -> Lanes:
    return Lanes(JOINED, np.full(len(JOINED.of_length), columns, dtype=np.int64))


def keys(slots: np.ndarray) -> list[Key]:
    return [tuple(int(row[name]) for name in ("primary", "secondary", "tertiary")) for row in slots]


def together(pieces: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    parts = list(pieces)
    return np.concatenate([slots for slots, _ in parts]), np.concatenate([width for _, width in parts])


def opinion(seed: int, kinds: int = 0) -> SlotScores:
    """Random scores; of ``kinds`` different values, so that many choices tie, or all different."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(0, 2, len(part)) for part in SCORES]
    return SlotScores(*(np.round(part * kinds / 4) / kinds if kinds else part for part in parts))


def test_the_product_is_the_list_without_mirror_images() -> None:
    slots = search_space.choices(STATE)
    slots = slots[slots["comp"] == search_space.PARALLEL]
    mirrored = search_space.mirrored(slots, TABLE.commutative)
    assert len(JOINED) == (~mirrored).sum()
    lengths = search_space.route_lengths(slots, TABLE.arity)
    n = len(JOINED.of_length)
    assert JOINED.of_length.tolist() == np.bincount(lengths[~mirrored], minlength=n).tolist()
    assert JOINED.mirrored_of_length.tolist() == np.bincount(lengths[mirrored], minlength=n).tolist()


@pytest.mark.parametrize("depth", [1, 2])
def test_without_functions_to_join_there_is_nothing(depth: int) -> None:
    bare = dict(STATE, withheld={i for i, e in STATE["metadata"].items() if depth == 2 and e["arity"] == 2})
    space = search_space.Joined(bare, TABLE, max_depth=depth)
    assert len(space) == 0
    both = Lanes(space, np.full(len(space.of_length), 3))
    assert not both
    assert list(both.guided(SCORES, 100.0)) == list(both.by_size(100.0)) == []


@pytest.mark.parametrize(("seed", "piece"), [(None, ordering.PIECE), (None, 700), (3, ordering.PIECE), (3, 700)])
def test_two_lanes_together_come_to_everything_once(seed: int | None, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "PIECE", piece)
    both, whole, narrow = lanes(4), [], []
    turn = 0
    while both:
        scores = SCORES if seed is None else opinion(seed + turn)
        for chosen, width in both.by_size(20_000) if turn % 2 else both.guided(scores, 20_000):
            for key, columns in zip(keys(chosen), width.tolist(), strict=True):
                (whole if columns == 4 else narrow).append((key, columns))
        turn += 1
    assert sorted(key for key, _ in whole) == sorted(keys(SLOTS))
    assert len(set(narrow)) == len(narrow)
    assert {columns for _, columns in narrow} <= set(NARROW)
    assert list(both.guided(SCORES, 100.0)) == list(both.by_size(100.0)) == []


def test_what_has_few_columns_is_not_tried_over_fewer() -> None:
    chosen, width = together(lanes(2).guided(SCORES, 1e12))
    assert len(chosen) == len(SLOTS)
    assert set(width.tolist()) == {2}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), kinds=st.sampled_from([0, 1, 3, 50]), quota=st.floats(1, 2e6), columns=st.integers(1, 5))
def test_the_guided_lane_hands_out_the_best_of_a_whole_list(seed: int, kinds: int, quota: float, columns: int) -> None:
    """Against all choices, scored and sorted: whatever is handed out is no worse than anything that is not."""
    scores = opinion(seed, kinds)
    both = lanes(columns)
    widths = [w for w in (columns, *NARROW) if w == columns or w < columns]
    listed: dict[tuple[Key, int], float] = {}
    for width in widths:
        values = search_space.log_scores(SLOTS, scores, TABLE.arity, width, TABLE.commutative) - np.log(len(widths))
        listed |= {(key, width): v for key, v in zip(keys(SLOTS), values.tolist(), strict=True)}
    for _ in range(2):
        chosen, width = together(both.guided(scores, quota))
        order = [(key, w) for key, w in zip(keys(chosen), width.tolist(), strict=True)]
        values = np.array([listed.pop(one) for one in order])
        assert (np.diff(values) <= 1e-7).all()
        done = {key for key, w in order if w == columns}
        listed = {one: v for one, v in listed.items() if one[0] not in done}
        assert max(listed.values(), default=-np.inf) <= values.min() + 1e-7
        if not listed:
            break


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), piece=st.sampled_from([100, 2_000, 20_000]))
def test_pieces_change_no_order(seed: int, piece: int) -> None:
    scores = opinion(seed)
    whole = together(lanes(3).guided(scores, 60_000.0)), together(lanes(3).by_size(60_000.0))
    before = ordering.PIECE
    ordering.PIECE = piece
    try:
        pieces = together(lanes(3).guided(scores, 60_000.0)), together(lanes(3).by_size(60_000.0))
    finally:
        ordering.PIECE = before
    assert keys(whole[1][0]) == keys(pieces[1][0])
    all_columns = [[key for key, w in zip(keys(slots), width, strict=True) if w == 3] for slots, width in (whole[0], pieces[0])]
    n = min(map(len, all_columns))  # a try over few columns that comes a piece earlier takes its part of the quota
    assert n > 100
    assert all_columns[0][:n] == all_columns[1][:n]


def test_the_complete_lane_goes_by_size() -> None:
    slots, _ = together(lanes(3).by_size(5_000))
    length = search_space.route_lengths(slots, TABLE.arity)
    assert (np.diff(length) >= 0).all()
    by_size = SLOTS[np.argsort(search_space.route_lengths(SLOTS, TABLE.arity), kind="stable")]
    assert keys(slots) == keys(by_size[: len(slots)])


@pytest.mark.parametrize("lane", ["guided", "size"])
def test_a_quota_is_kept_but_for_the_first(lane: str) -> None:
    for quota in (1.0, 50.0, 4_000.0):
        both = lanes(3)
        slots, width = together(both.guided(SCORES, quota) if lane == "guided" else both.by_size(quota))
        counts = search_space.route_counts(slots, TABLE.arity, width)
        assert len(slots) >= 1
        assert counts[1:].sum() == 0 or counts.sum() <= quota


def test_a_library_of_hundreds_of_functions_needs_no_list() -> None:
    """Some twelve million choices. A list of them, scored, takes gigabytes; a guide that knows nothing scores all alike."""
    conn = db.init_db(":memory:")
    state = registry.init_registry(conn, ("core", "science"))
    two = [i for i, e in state["metadata"].items() if e["arity"] == 2 and i in search_space.placeable(state)]
    for k, (f, g, h) in enumerate(itertools.islice(itertools.product(two, repeat=3), 0, None, 5)):
        if k == 260:
            break
        registry.register_learned(conn, state, f"F{k}", 2, [(f, [0, 1]), (g, [0, 2]), (h, [3, 1])])
    table = engine.FunctionTable(state["metadata"])
    scores = UniformGuide().slot_scores(table.n_functions)
    tracemalloc.start()
    try:
        space = search_space.Joined(state, table)
        assert len(space) > 10_000_000
        both = Lanes(space, search_space.widths_of_lengths(space.of_length, 3, 24e6, 4))
        for step in range(4):
            slots, width = together(both.guided(scores, 1e5 * 2**step))
            assert search_space.route_counts(slots, table.arity, width).sum() > 5e4
            assert len(together(both.by_size(1e5))[0]) > 100
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 300e6
