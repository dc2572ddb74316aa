"""Dreams: the answers are right and the simplest, the parts do not meet, and the same seed dreams the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nssr import db, engine, executor, registry
from nssr import dreams as dreaming
from nssr.dream_tables import KINDS, draw_table
from nssr.dreams import LARGEST, MOST_SOLVERS, Dreamer, Dreams, Part

NAMES = ("comp", "primary", "secondary", "tertiary")


def library(packs: tuple[str, ...] = ("core", "science")) -> dict[str, Any]:
    return registry.init_registry(db.init_db(":memory:"), packs)


STATE = library()
BY_NAME = {e["name"]: i for i, e in STATE["metadata"].items()}


def some(dreamer: Dreamer, tables: int = 6) -> list[tuple[Dreams, list[Any]]]:
    found = [dreamer.dream_with_columns() for _ in range(tables)]
    return [(dreams, columns) for dreams, columns in found if len(dreams)]


@pytest.mark.parametrize("part", [Part.TRAINING, Part.BEHAVIOUR, Part.STRUCTURE])
def test_the_reference_gives_the_outputs_of_the_answers(part: Part) -> None:
    rng = np.random.default_rng(1)
    checked = 0
    for dreams, columns in some(Dreamer(STATE, seed=3, part=part, scaled=0.0)):
        for k in rng.permutation(len(dreams))[:40].tolist():
            (candidate,) = engine.unpack(dreams.records[k : k + 1], len(columns))
            for row in range(len(dreams.x)):
                value = executor.run(STATE, candidate, [column[row].item() for column in columns])
                assert value == pytest.approx(dreams.y[k, row], rel=1e-9, abs=1e-12)
            checked += 1
    assert checked > 50


def test_what_is_trivial_is_no_dream() -> None:
    for dreams, _ in some(Dreamer(STATE, seed=4, scaled=0.0)):
        assert (np.abs(dreams.y) < LARGEST).all()
        assert (np.ptp(dreams.y, axis=1) > 0).all()
        # No two tasks of one table are the same.
        assert len({tuple(f"{v:.7g}" for v in row) for row in dreams.y.tolist()}) == len(dreams)


def test_no_shorter_program_does_the_same() -> None:
    """Behaviour by behaviour, against all single functions and chains of two."""
    for dreams, columns in some(Dreamer(STATE, seed=5, scaled=0.0), 4):
        # With a plain column in a branch there are two functions, as in a chain: either is simplest.
        whole = (dreams.labels["primary"] != BY_NAME["CONST"]) & (dreams.labels["secondary"] != BY_NAME["CONST"])
        joined = np.flatnonzero((dreams.labels["comp"] == 3) & whole)[:200]
        dreamer = Dreamer(STATE, seed=0)
        source = engine.Enumerator(dreamer._simple, dreamer.table.arity, dreamer.table.commutative, range(len(columns)))
        while not source.exhausted:
            data = engine.Dataset.from_columns(columns)
            values, status = engine.predict(
                engine.ProgramBatch.from_candidates(dreamer.table, source.fill(65536), data.lanes), data
            )
            simple = values[status == 0]
            for y in dreams.y[joined]:
                assert not (np.abs(simple - y) <= 1e-10 * np.abs(y)).all(axis=1).any()


def test_solvers_start_with_the_label_and_differ() -> None:
    for dreams, _ in some(Dreamer(STATE, seed=6)):
        assert dreams.solvers.shape == (len(dreams), MOST_SOLVERS)
        for name in NAMES:
            assert (dreams.solvers[name][:, 0] == dreams.labels[name]).all()
        for row in dreams.solvers[:100]:
            there = [tuple(int(s[name]) for name in NAMES) for s in row if s["comp"] >= 0]
            assert len(there) == len(set(there)) >= 1


def test_the_parts_do_not_meet() -> None:
    parts = {part: some(Dreamer(STATE, seed=7, part=part), 10) for part in (Part.TRAINING, Part.BEHAVIOUR, Part.STRUCTURE)}
    dreamer = Dreamer(STATE)
    behaviours = {p: set(np.concatenate([d.behaviour for d, _ in found]).tolist()) for p, found in parts.items()}
    structures = {p: set(np.concatenate([dreamer.structure(d.records) for d, _ in found]).tolist()) for p, found in parts.items()}
    assert all(behaviours.values())
    assert not behaviours[Part.TRAINING] & behaviours[Part.BEHAVIOUR]
    assert not structures[Part.TRAINING] & structures[Part.STRUCTURE]


def test_renamed_columns_and_other_tables_are_the_same_behaviour() -> None:
    keys: dict[tuple[Any, ...], set[int]] = {}
    for dreams, _ in some(Dreamer(STATE, seed=8, part=Part.ALL, n_columns=3), 8):
        for k in np.flatnonzero((dreams.labels["comp"] == 0) & (dreams.labels["primary"] == BY_NAME["SUB"])).tolist():
            first, second = dreams.records["r1"][k][:2].tolist()
            if first != second:
                keys.setdefault(("SUB",), set()).add(int(dreams.behaviour[k]))
    assert len(keys["SUB",]) == 1


def test_the_same_seed_dreams_the_same() -> None:
    one, two, other = (Dreamer(STATE, seed=seed).dream() for seed in (9, 9, 10))
    assert np.array_equal(one.y, two.y)
    assert np.array_equal(one.labels, two.labels)
    assert not np.array_equal(one.y, other.y)


def test_scaled_dreams_are_multiples_of_their_answers() -> None:
    for dreams, columns in some(Dreamer(STATE, seed=11, scaled=1.0), 3):
        data = engine.Dataset.from_columns(columns)
        batch = engine.ProgramBatch.from_candidates(engine.FunctionTable(STATE["metadata"]), dreams.records, data.lanes)
        values, _ = engine.predict(batch, data)
        for k in np.flatnonzero(dreams.scaled)[:50].tolist():
            used = values[k] != 0
            factors = dreams.y[k][used] / values[k][used]
            assert np.allclose(factors, factors[0], rtol=1e-9)


def test_learned_functions_are_dreamed_of() -> None:
    conn = db.init_db(":memory:")
    state = registry.init_registry(conn, ("core", "science"))
    func_id = registry.register_learned(conn, state, "KE", 2, [(BY_NAME["SQUARE"], [1]), (BY_NAME["MUL"], [0, 2])])
    dreams = [Dreamer(state, seed=s, needing=[func_id]).dream() for s in range(3)]
    for one in dreams:
        holds = np.zeros(len(one), dtype=bool)
        for name in NAMES[1:]:
            holds |= one.labels[name] == func_id
        assert len(one) > 20
        assert holds.all()


@pytest.mark.parametrize("kind", list(KINDS))
def test_columns_are_finite_and_as_long_as_asked(kind: str) -> None:
    column = KINDS[kind][1](np.random.default_rng(0), 50)
    assert column.shape == (50,)
    assert np.isfinite(column).all()
    assert column.dtype in (np.int64, np.float64)


def test_tables_have_columns_of_one_length() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        table = draw_table(rng)
        assert 1 <= len(table) <= 5
        assert len({len(column) for column in table}) == 1


def test_a_large_library_dreams_of_a_sample_of_its_simple_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Single functions all, then what holds a function that is asked for."""
    cosh = BY_NAME["COSH"]
    whole = Dreamer(STATE, seed=2, needing=[cosh])._simple_sample(3)
    monkeypatch.setattr(dreaming, "SIMPLE_SAMPLE", 3_000)
    dreamer = Dreamer(STATE, seed=2, needing=[cosh])
    part = dreamer._simple_sample(3)
    counts = dreaming.search_space.route_counts(part, dreamer.table.arity, 3)
    assert len(part) < len(whole) / 2
    assert 2_500 < counts.sum() <= 3_000
    for choices in (part, whole):
        assert (choices["comp"] == 0).sum() == len(dreaming.search_space.placeable(STATE))
    held = [(c["primary"] == cosh) | (c["secondary"] == cosh) for c in (part, whole)]
    assert held[0].sum() == held[1].sum() > 50
    assert 50 < (~held[0]).sum() < (~held[1]).sum()


def test_rare_functions_that_are_asked_for_are_put_into_a_quarter_of_what_is_joined() -> None:
    """COSH is half as likely as others; the joining of two of five hundred functions would hold it never."""
    cosh, most = BY_NAME["COSH"], BY_NAME["MAX"]
    for needed in (cosh, most):
        records = [Dreamer(STATE, seed=8, needing=ids)._parallel(4) for ids in ((), (needed,))]
        holds = [
            np.mean([any(r[name] == needed for name in ("primary", "secondary", "tertiary")) for r in rows]) for rows in records
        ]
        assert holds[0] < dreaming.LEAST_NEEDED
        assert 0.2 < holds[1] < 0.4
    with_max = records[1]
    arity = Dreamer(STATE, seed=0).table.arity
    assert (with_max["tertiary"] == most).sum() > 500
    assert (arity[with_max["tertiary"]] == 2).all()
    assert (with_max["n1"] == arity[with_max["primary"]]).all()
