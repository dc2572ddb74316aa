"""The random formulas of the benches are what they are said to be."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks import workloads
from nssr import primitives

N = 4000


@pytest.fixture(scope="module", params=workloads.WORKLOADS)
def drawn(request: pytest.FixtureRequest) -> tuple[str, list[workloads.Tree]]:
    return request.param, workloads.trees(request.param, N)


def by_stack(flat: workloads.Flat, x: np.ndarray) -> np.ndarray:
    """Flat arrays, evaluated by a stack machine that knows tokens only."""
    names = {p.opcode: name for name, p in workloads.PRIMITIVE.items()}
    out = np.empty((len(flat), len(x)))
    with np.errstate(all="ignore"):
        for i in range(len(flat)):
            stack: list[np.ndarray] = []
            for t in range(flat.offsets[i], flat.offsets[i + 1]):
                token, operand = int(flat.tokens[t]), int(flat.operands[t])
                if token == primitives.TOKEN_VARIABLE:
                    stack.append(x[:, operand])
                elif token == primitives.TOKEN_FLOAT:
                    stack.append(np.full(len(x), flat.constants[operand]))
                else:
                    n = primitives.BY_OPCODE[token].arity
                    stack[-n:] = [workloads.UFUNC[names[token]](*stack[-n:])]
            (out[i],) = stack
    return out


def test_sizes_are_uniform(drawn: tuple[str, list[workloads.Tree]]) -> None:
    workload, trees = drawn
    sizes = Counter(workloads.size(tree) for tree in trees)
    expected = range(3, 28, 2) if workload == "A" else range(3, 28)
    assert set(sizes) == set(expected)
    assert max(sizes.values()) < 1.5 * N / len(expected)
    assert np.average(list(sizes), weights=list(sizes.values())) == pytest.approx(15, abs=0.4)


def test_shares_of_nodes(drawn: tuple[str, list[workloads.Tree]]) -> None:
    workload, trees = drawn
    count = Counter(node[0] for tree in trees for node in workloads.postfix(tree))
    assert count["const"] / (count["const"] + count["var"]) == pytest.approx(0.25, abs=0.02)
    unary = [count[name] for name in workloads.UNARY]
    assert sum(unary) / count.total() == pytest.approx(0.25 if workload == "B" else 0, abs=0.02)
    for group in [unary, [count[name] for name in workloads.BINARY]]:
        assert max(group) <= 1.2 * min(group)


def test_share_of_values_that_are_not_finite(drawn: tuple[str, list[workloads.Tree]]) -> None:
    workload, trees = drawn
    x, _ = workloads.data(50)
    for dtype in (np.float64, np.float32):
        values = workloads.evaluate(trees, x.astype(dtype))
        assert values.dtype == dtype
        share = 1 - np.isfinite(values).mean()
        assert share == pytest.approx(0.01, abs=0.01) if workload == "A" else share == pytest.approx(0.21, abs=0.03)


def test_flat_arrays_mean_what_the_trees_mean(drawn: tuple[str, list[workloads.Tree]]) -> None:
    trees = drawn[1][:300]
    x, _ = workloads.data(7)
    np.testing.assert_array_equal(by_stack(workloads.flatten(trees), x), workloads.evaluate(trees, x))


def test_trees_are_seeded_and_a_prefix_of_more(drawn: tuple[str, list[workloads.Tree]]) -> None:
    workload, trees = drawn
    assert workloads.trees(workload, 50) == trees[:50]
    assert workloads.trees(workload, 50, seed=1) != trees[:50]


def test_multiplied_trees_are_valid_and_differ(drawn: tuple[str, list[workloads.Tree]]) -> None:
    flat = workloads.flatten(drawn[1][:100])
    many = workloads.multiply(flat, 3)
    assert len(many) == 300
    assert len(many.constants) == 3 * len(flat.constants)
    values = by_stack(many, workloads.data(5)[0])
    assert len({row.tobytes() for row in values}) > 200
    assert not np.array_equal(many.tokens[: len(flat.tokens)], many.tokens[len(flat.tokens) : 2 * len(flat.tokens)])


def test_unknown_workload_is_refused() -> None:
    with pytest.raises(ValueError, match="no workload 'C'"):
        workloads.trees("C", 1)
