"""Micro benchmarks of the parts that the search spends its time in.

    python -m pytest benchmarks --benchmark-enable

Each checks its result before it is timed. Compare commits with `--benchmark-save` and `--benchmark-compare`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import workloads
from benchmarks.validate import Side, tasks
from nssr import encoding, engine, search_space
from nssr.engine import fitting, lowering

N = 8192
Benchmark = Any


@pytest.fixture(scope="module", params=["integers", "floats", "mixed"])
def side(request: pytest.FixtureRequest) -> Side:
    return Side(tasks()[request.param], N)


def test_enumerate(benchmark: Benchmark, side: Side) -> None:
    slots = search_space.choices(side.state)
    table = engine.FunctionTable(side.state["metadata"])

    def make() -> np.ndarray:
        return engine.Enumerator(slots, table.arity, table.commutative, [0, 1, 2]).fill(N)

    assert len(benchmark(make)) == N


def test_lower(benchmark: Benchmark, side: Side) -> None:
    code, programs = benchmark(lowering.lower_candidates, side.bench.table, side.records, side.bench.data.lanes)
    assert len(programs) == N
    assert len(code) == int(programs["length"].sum())


def test_validate(benchmark: Benchmark, side: Side) -> None:
    assert len(benchmark(side.bench.validate, side.records)) == N


def test_predict(benchmark: Benchmark, side: Side) -> None:
    batch = engine.ProgramBatch.from_candidates(side.bench.table, side.records[:1024], side.bench.data.lanes)
    values, _ = benchmark(engine.predict, batch, side.bench.data)
    assert values.shape == (1024, side.bench.data.n_rows)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [100, 1000])
@pytest.mark.parametrize("workload", workloads.WORKLOADS)
def test_predict_formulas(benchmark: Benchmark, workload: str, rows: int, dtype: str) -> None:
    trees = workloads.trees(workload, 1000)
    x, _ = workloads.data(rows)
    data = engine.Columns(x, dtype=dtype)
    out = np.empty((len(trees), rows), dtype)
    benchmark(engine.Formulas(*workloads.flatten(trees).arrays).predict, data, out)
    wanted = workloads.evaluate(trees[:100], x.astype(dtype))
    finite = np.isfinite(wanted)
    close = np.isclose(out[:100][finite], wanted[finite], rtol=1e-3 if dtype == "float32" else 1e-6, atol=0)
    assert close.mean() > 0.995


@pytest.mark.parametrize("fit", ["none", "scale", "offset", "affine"])
def test_fit(benchmark: Benchmark, fit: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=48)
    values = rng.normal(size=(1024, 48))
    values[0] = y if fit != "scale" else 2 * y
    r2, _, _ = benchmark(fitting.fit_rows, values, y, fit)
    assert r2[0] == pytest.approx(1.0)


def test_encode(benchmark: Benchmark) -> None:
    rng = np.random.default_rng(0)
    batch = [(rng.normal(size=(10, 3)), rng.normal(size=10)) for _ in range(64)]
    x = benchmark(encoding.format_tasks, batch, input_dim=32, seq_len=8)
    assert tuple(x.shape) == (64, 8, 32)
