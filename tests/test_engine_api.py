"""The public side of the engine: data in, verdicts, values and scores out, the same however they are asked for."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import db, engine, executor, primitives, registry, search_space

CONN = db.init_db(":memory:")
STATE = registry.init_registry(CONN)
TABLE = engine.FunctionTable(STATE["metadata"])
ID = {e["name"]: i for i, e in STATE["metadata"].items()}
CHOICES = search_space.choices(STATE)


def some_records(n: int, n_columns: int, seed: int = 0) -> Any:
    """Candidates of all composition types, in an order of chance."""
    rng = np.random.default_rng(seed)
    chosen = CHOICES[rng.permutation(len(CHOICES))]
    return engine.Enumerator(chosen, TABLE.arity, TABLE.commutative, list(range(n_columns)), max_routings=5).fill(n)


def some_examples(n: int, seed: int = 0) -> list[tuple[list[Any], Any]]:
    rng = np.random.default_rng(seed)
    rows = [[int(rng.integers(-9, 10)), round(float(rng.uniform(-9, 9)), 2), int(rng.integers(0, 4))] for _ in range(n)]
    return [(row, row[0] * row[2]) for row in rows]


# ---- data ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "lanes"),
    [
        ([[1, 2], [1.0, 2]], "if"),
        ([[True, False]], "i"),
        ([np.array([True, False])], "i"),
        ([np.array([1, 2], dtype=np.uint8), np.array([1, 2], dtype=np.uint64)], "ii"),
        ([np.array([1, 2], dtype=np.float32)], "f"),
        ([np.array([1, 2.5], dtype=object)], "f"),
        ([(1, np.int64(2)), (1, np.float64(2))], "if"),
        ([[2**80, 1]], "i"),
        ([[1, math.inf], [0, math.nan]], "ff"),
    ],
)
def test_columns_have_the_type_of_their_values(columns, lanes):
    data = engine.Dataset.from_columns(columns)
    assert (data.lanes, data.n_rows, data.n_columns) == (lanes, 2, len(lanes))
    assert data.target is None


@pytest.mark.parametrize(
    ("columns", "target", "message"),
    [
        ([], None, "at least one column"),
        ([["a", "b"]], None, "column 0 holds something that is no number"),
        ([[1, 2], [1, None]], None, "column 1 holds something that is no number"),
        ([[1, 2], [1]], None, ""),
        ([[]], None, ""),
        ([[1, 2]], [1], ""),
        ([[1, 2]], ["x", 1], "target"),
        ([[1, 2]], [10**400, 1], "target"),
    ],
)
def test_what_is_no_data_is_refused(columns, target, message):
    with pytest.raises(ValueError, match=message or None):
        engine.Dataset.from_columns(columns, target)


def test_examples_must_be_there_and_alike():
    with pytest.raises(ValueError, match="no examples"):
        engine.Dataset.from_examples([])
    with pytest.raises(ValueError, match="different numbers"):
        engine.Dataset.from_examples([([1], 1), ([1, 2], 1)])


def test_data_are_copies():
    column, target = np.array([1, 2]), np.array([1.0, 2.0])
    data = engine.Dataset.from_columns([column], target)
    batch = engine.ProgramBatch.from_candidates(STATE, [{"primary_id": ID["CONST"]}], "i")
    column[:] = 7
    target[:] = 8
    assert engine.validate(batch, data).tolist() == [engine.PASS]


def test_read_only_arrays_are_taken():
    column = np.array([1.5, 2.5])
    column.flags.writeable = False
    data = engine.Dataset.from_columns([column], column)
    batch = engine.ProgramBatch.from_candidates(STATE, [{"primary_id": ID["CONST"]}], "f")
    assert engine.validate(batch, data).tolist() == [engine.PASS]


# ---- verdicts ------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 70))
def test_verdicts_are_those_of_the_reference(seed, n_rows):
    examples = some_examples(n_rows, seed)
    records = some_records(150, 3, seed)
    data = engine.Dataset.from_examples(examples)
    verdicts = engine.validate(engine.ProgramBatch.from_candidates(TABLE, records, data.lanes), data)
    for candidate, verdict in zip(engine.unpack(records, 3), verdicts, strict=True):
        if verdict != engine.UNSURE:
            assert executor.validate(STATE, candidate, examples) == (verdict == engine.PASS), candidate


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_values_are_those_of_the_reference(seed):
    examples = some_examples(5, seed)
    records = some_records(60, 3, seed)
    data = engine.Dataset.from_examples(examples)
    result = engine.evaluate(engine.ProgramBatch.from_candidates(TABLE, records, data.lanes), data)
    for c, candidate in enumerate(engine.unpack(records, 3)):
        for r, (inputs, _) in enumerate(examples):
            if result.status[c, r] == 2:
                continue
            try:
                value = executor.run(STATE, candidate, inputs)
            except Exception:
                assert result.status[c, r] == 1
                assert math.isnan(result.values[c, r])
                continue
            assert result.status[c, r] == 0
            assert result.values[c, r] == value
            if result.lanes[c] == "i":
                assert int(result.raw[c, r]) == value


def test_an_integer_that_leaves_its_range_makes_the_engine_unsure_not_wrong():
    examples = [([2**62, 4], 2**64), ([3, 4], 12)]
    data = engine.Dataset.from_examples(examples)
    batch = engine.ProgramBatch.from_candidates(
        STATE, [{"primary_id": ID["MUL"]}, {"primary_id": ID["ADD"]}, {"primary_id": ID["SUB"]}], data.lanes
    )
    assert engine.validate(batch, data).tolist() == [engine.UNSURE, engine.FAIL, engine.FAIL]
    assert engine.predict(batch, data)[1].tolist() == [2, 0, 0]
    assert executor.validate(STATE, {"primary_id": ID["MUL"]}, examples)


def test_columns_beyond_the_range_are_unsure_where_they_are_read():
    examples = [([2**70, 3], 3), ([2**71, 5], 5)]
    data = engine.Dataset.from_examples(examples)
    candidates = [{"primary_id": ID["CONST"], "routing": [i]} for i in (0, 1)]
    verdicts = engine.validate(engine.ProgramBatch.from_candidates(STATE, candidates, data.lanes), data)
    assert verdicts.tolist() == [engine.UNSURE, engine.PASS]


def test_tolerances_can_be_given():
    data = engine.Dataset.from_columns([[1.0, 2.0]], [1.001, 2.001])
    batch = engine.ProgramBatch.from_candidates(STATE, [{"primary_id": ID["CONST"]}], data.lanes)
    assert engine.validate(batch, data).tolist() == [engine.FAIL]
    assert engine.validate(batch, data, rel_tol=0.01).tolist() == [engine.PASS]
    assert engine.validate(batch, data, abs_tol=0.01).tolist() == [engine.PASS]


def test_infinite_targets_are_equal_only_to_themselves():
    data = engine.Dataset.from_columns([[math.inf, 1.0], [1.0, 1.0]], [math.inf, 1.0])
    candidates = [{"primary_id": ID["CONST"], "routing": [i]} for i in (0, 1)]
    batch = engine.ProgramBatch.from_candidates(STATE, candidates, data.lanes)
    assert engine.validate(batch, data).tolist() == [engine.PASS, engine.FAIL]


def test_data_without_a_target_cannot_be_judged():
    data = engine.Dataset.from_columns([[1, 2]])
    batch = engine.ProgramBatch.from_candidates(STATE, [{"primary_id": ID["INC"]}], "i")
    with pytest.raises(ValueError, match="target"):
        engine.validate(batch, data)
    with pytest.raises(ValueError, match="target"):
        engine.score(batch, data)


def test_programs_run_only_on_columns_they_were_made_for():
    batch = engine.ProgramBatch.from_candidates(STATE, [{"primary_id": ID["INC"]}], "i")
    for column in ([1.0], [[1], [2]]):
        columns = column if isinstance(column[0], list) else [column]
        with pytest.raises(ValueError):
            engine.predict(batch, engine.Dataset.from_columns(columns))


def test_candidates_come_from_a_state_or_a_table_dicts_or_records():
    records = some_records(200, 3)
    batches = [
        engine.ProgramBatch.from_candidates(functions, given, "ifi")
        for functions in (STATE, TABLE)
        for given in (records, engine.unpack(records, 3))
    ]
    data = engine.Dataset.from_examples(some_examples(9))
    values = [engine.predict(b, data)[0].tobytes() for b in batches]
    assert len(batches[0]) == 200
    assert len(set(values)) == 1


def test_postfix_and_compositions_say_the_same():
    v, m = primitives.TOKEN_VARIABLE, primitives.BY_NAME["MUL"].opcode
    postfix = engine.ProgramBatch.from_postfix([v, v, m], [0, 1, 0], [], [0, 3], "if")
    composed = engine.ProgramBatch.from_compositions(STATE, [([(ID["MUL"], [0, 1])], 2, None, "multiplicative")], "if")
    data = engine.Dataset.from_columns([[1, 2], [0.5, 3.0]], [0.5, 6.0])
    assert engine.validate(postfix, data).tolist() == engine.validate(composed, data).tolist() == [engine.PASS]


# ---- in bulk -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_bench_says_what_single_batches_say(n_threads):
    """Sizes around the chunk, one bench for all of them: nothing of an earlier batch may be left in its memory."""
    data = engine.Dataset.from_examples(some_examples(30))
    bench = engine.Bench(TABLE, data, n_threads=n_threads)
    records = some_records(3 * 1024, 3)
    for n in (3000, 1, 1024, 0, 1025, 2048):
        part = records[:n]
        batch = engine.ProgramBatch.from_candidates(TABLE, part, data.lanes)
        assert bench.validate(part).tolist() == engine.validate(batch, data).tolist()
        values, status = engine.predict(batch, data)
        got = [(v.copy(), s) for _, v, s in bench.predictions(part)]
        assert sum(len(s) for _, s in got) == n
        if n:
            assert np.concatenate([v for v, _ in got]).tobytes() == values.tobytes()
            assert np.concatenate([s for _, s in got]).tolist() == status.tolist()


def test_threads_change_nothing():
    data = engine.Dataset.from_examples(some_examples(300))
    batch = engine.ProgramBatch.from_candidates(TABLE, some_records(5000, 3), data.lanes)

    def told(n: int) -> list[bytes]:
        r2 = engine.score(batch, data, fit="affine", n_threads=n)
        arrays = (engine.validate(batch, data, n_threads=n), *engine.predict(batch, data, n_threads=n), r2.r2, r2.k, r2.k2)
        return [a.tobytes() for a in arrays] + [engine.evaluate(batch, data, n_threads=n).raw.tobytes()]

    assert told(1) == told(2) == told(5)


def test_batches_and_data_are_shared_by_threads():
    data = engine.Dataset.from_examples(some_examples(100))
    batch = engine.ProgramBatch.from_candidates(TABLE, some_records(500, 3), data.lanes)
    alone = engine.validate(batch, data).tolist()
    with ThreadPoolExecutor(4) as pool:
        assert all(v.tolist() == alone for v in pool.map(lambda _: engine.validate(batch, data), range(32)))


# ---- scores --------------------------------------------------------------------------------------------------------


def slow_score(values: Any, y: Any, fit: str) -> tuple[float, float, float]:
    if not np.isfinite(values).all():
        return -math.inf, math.nan, math.nan
    k, k2 = 1.0, 0.0
    if fit == "scale":
        k = float(values @ y / (values @ values)) if (values @ values) > 1e-12 else math.nan
    elif fit == "offset":
        k2 = float(np.mean(y - values))
        k2 = k2 if np.all(np.abs(y - values - k2) <= 1e-6) else math.nan
    elif fit == "affine":
        d = values - values.mean()
        k = float(d @ (y - y.mean()) / (d @ d)) if (d @ d) > 0 else math.nan
        k2 = float(y.mean() - k * values.mean())
    if math.isnan(k) or math.isnan(k2):
        return -math.inf, k, k2
    return 1 - float(np.sum((y - k * values - k2) ** 2) / np.sum((y - y.mean()) ** 2)), k, k2


@pytest.mark.parametrize("fit", ["none", "scale", "offset", "affine"])
def test_scores_are_least_squares(fit):
    data = engine.Dataset.from_examples(some_examples(40))
    assert data.target is not None
    batch = engine.ProgramBatch.from_candidates(TABLE, some_records(800, 3), data.lanes)
    got = engine.score(batch, data, fit=fit)
    values, status = engine.predict(batch, data)
    seen = 0
    for i in np.flatnonzero(status == 0):
        r2, k, k2 = slow_score(values[i], data.target, fit)
        if r2 == -math.inf:
            assert not got.r2[i] > 0.5  # nearly singular fits may fall on either side of a threshold
            continue
        np.testing.assert_allclose([got.r2[i], got.k[i], got.k2[i]], [r2, k, k2], rtol=1e-6, atol=1e-9)
        seen += 1
    assert seen > (100 if fit != "offset" else 0)
    assert np.all(got.r2[status == 1] == -np.inf)
    assert np.all(np.isnan(got.r2[status == 2]))


def test_scores_do_not_depend_on_the_size_of_blocks():
    data = engine.Dataset.from_examples(some_examples(50))
    batch = engine.ProgramBatch.from_candidates(TABLE, some_records(700, 3), data.lanes)
    whole = engine.score(batch, data, fit="scale")
    parts = engine.score(batch, data, fit="scale", block_bytes=8 * 50 * 33)
    assert [a.tobytes() for a in (whole.r2, whole.k)] == [a.tobytes() for a in (parts.r2, parts.k)]


def test_an_unknown_fit_is_refused():
    data = engine.Dataset.from_examples(some_examples(5))
    batch = engine.ProgramBatch.from_candidates(TABLE, some_records(5, 3), data.lanes)
    with pytest.raises(ValueError, match="fit must be one of"):
        engine.score(batch, data, fit="cubic")


def test_empty_batches_are_fine():
    data = engine.Dataset.from_examples(some_examples(5))
    batch = engine.ProgramBatch.from_candidates(TABLE, [], data.lanes)
    assert len(batch) == len(engine.validate(batch, data)) == len(engine.score(batch, data).r2) == 0
