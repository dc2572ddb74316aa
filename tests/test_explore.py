"""The formula search: each closure against brute force or a known law, and the promises of the whole."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nssr.explore import Learned, Problem, explore
from nssr.explore.bank import Bank
from nssr.explore.chain import BINARY, TRANSFORMS, Chain
from nssr.explore.closures import AFFINE, MONOMIAL, Closures
from nssr.explore.dimensions import dimension, fits
from nssr.explore.families import fill
from nssr.explore.front import UNIT_BITS, Front, number_bits
from nssr.explore.problem import DEFAULT_OPERATIONS
from nssr.explore.projection import Projection, Table, matched_pairs, norms
from nssr.explore.refining import shortened
from nssr.explore.rows import Rows
from nssr.explore.sparse import supports
from nssr.explore.tree import (
    Tree,
    add,
    column,
    columns,
    mul,
    number,
    numbers,
    operations,
    reference_values,
    size,
    sub,
    with_numbers,
)
from nssr.explore.writing import named_number, respelled, tidied

RNG = np.random.default_rng(5)
X = RNG.uniform(1, 3, (200, 4))


def trees(depth: int = 3) -> st.SearchStrategy[Tree]:
    leaves = st.one_of(
        st.integers(0, 3).map(column), st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5, 3.25]).map(number)
    )
    unary = ("NEG", "SQUARE", "CUBE", "INV", "SQRT", "EXP", "LOG", "SIN", "COS", "TANH")
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from(unary), inner).map(lambda t: Tree(t[0], (t[1],))),
            st.tuples(st.sampled_from(("ADD", "SUB", "MUL", "DIV")), inner, inner).map(lambda t: Tree(t[0], t[1:])),
        ),
        max_leaves=6,
    )


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal wherever the first is finite and of ordinary size."""
    with np.errstate(all="ignore"):
        ordinary = np.isfinite(a) & (np.abs(a) < 1e12) & (np.abs(a) > 1e-12)
        return bool(np.allclose(a[ordinary], b[ordinary], rtol=1e-6, atol=1e-12))


@settings(max_examples=150, deadline=None)
@given(trees())
@example(Tree("TANH", (Tree("DIV", (column(0), number(0.0))),)))
@example(Tree("ADD", (column(0), Tree("INV", (number(0.0),)))))
def test_tidying_and_respelling_keep_the_values(tree: Tree) -> None:
    rows = Rows(X[:20], X[:20, 0], 10, 0)
    before, neat, spelled = rows.values([tree, tidied(tree), respelled(tree, {"ADD", "SUB", "MUL", "DIV"})])
    assert close(before, neat)
    assert close(before, spelled)
    # The engine's quotients are FDIV, so its own definition is the measure, at zero divisors too.
    assert close(before, np.array(reference_values(tree, X[:20], ieee=True)))


@settings(max_examples=50, deadline=None)
@given(trees())
def test_numbers_go_out_and_in(tree: Tree) -> None:
    assert with_numbers(tree, numbers(tree)) == tree
    assert size(tree) >= 1 and columns(tree) <= {0, 1, 2, 3}  # noqa: PT018


def test_a_bank_knows_each_column_once_and_writes_it_out() -> None:
    bank = Bank(X[:32], 0, 4000)
    families = fill(bank, DEFAULT_OPERATIONS, 4000)
    assert len(bank) <= 4000
    ids = families["all"]
    rows = Rows(X[:32], X[:32, 0], 32, 0)
    sample = ids[:: len(ids) // 200]
    values = rows.values([bank.tree(i) for i in sample])
    assert np.allclose(values, bank.values[sample], rtol=1e-9)
    scaled = bank.values[ids] / np.linalg.norm(bank.values[ids], axis=1, keepdims=True)
    order = np.lexsort(scaled.T[:2])
    same = np.abs(np.diff(bank.values[ids][order], axis=0)).max(axis=1) < 1e-13 * np.abs(bank.values[ids][order][1:]).max(axis=1)
    assert not same.any()
    c = bank.counters
    assert c["generated"] == sum(c[k] for k in ("kept", "duplicate", "no room", "constant", "one huge row")) + c[
        "not finite or out of range"
    ]
    again = Bank(X[:32], 0, 4000)
    fill(again, DEFAULT_OPERATIONS, 4000)
    assert np.array_equal(again.values[: len(again)], bank.values[: len(bank)])


def test_a_table_finds_affine_relations_and_no_others() -> None:
    one = np.ones((30, 1))
    projection = Projection(one, 1)
    known = RNG.normal(size=(500, 30))
    table = Table(projection, known, np.arange(500))
    targets = np.array([3.0, -0.01, 1e6])[:, None] * known[[7, 100, 499]] + np.array([5.0, -2.0, 1e3])[:, None]
    targets = np.concatenate([targets, RNG.normal(size=(50, 30))])
    a, b, good, _ = projection.angles(targets)
    questions, ids = table.probe(a, b, good)
    assert sorted(zip(questions.tolist(), ids.tolist(), strict=True)) == [(0, 7), (1, 100), (2, 499)]


def test_pairs_are_found_among_all() -> None:
    known = RNG.normal(size=(800, 30))
    target = 2.5 * known[13] - 0.3 * known[707] + 4
    projection = Projection(np.column_stack([np.ones(30), target]), 2)
    related = known[40] + 1e-11 * RNG.normal(size=30)  # nearly the same column says nothing of the target
    both = np.concatenate([known, related[None]])
    own = np.column_stack(Projection(np.ones((30, 1)), 3).angles(both)[:2])
    found = partial(matched_pairs, both @ projection.u, norms(both), ids=np.arange(801), limit=10)
    assert found(own=own) == [(13, 707)]
    assert found(own=RNG.normal(size=(801, 2))) == [(13, 707), (40, 800)]


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_a_transform_is_undone_by_its_inverse(name: str) -> None:
    y = RNG.uniform(0.1, 0.9, 40) * (-1 if name == "negative square" else 1)
    chain = Chain(y).transformed(name)
    tree = chain.undone(column(0))
    assert np.allclose(Rows(chain.values[:, None], y, 10, 0).values([tree])[0], y)


@pytest.mark.parametrize("name", sorted(BINARY))
def test_a_combination_is_undone(name: str) -> None:
    y, v = RNG.uniform(1, 2, 40), RNG.uniform(3, 4, 40)
    chain = Chain(y).combined(name, v, column(1))
    tree = chain.undone(column(0))
    assert np.allclose(Rows(np.column_stack([chain.values, v]), y, 10, 0).values([tree])[0], y)


def test_look_up_finds_a_monomial_of_a_column() -> None:
    y = 0.3 * X[:, 0] ** 2 / np.sqrt(np.exp(X[:, 1] * X[:, 2]) - 1)
    rows = Rows(X, y, 32, 0)
    bank = Bank(X[rows.few], 0, 5000)
    closures = Closures(rows, bank, fill(bank, DEFAULT_OPERATIONS, 5000)["all"], 0, Counter())
    assert closures.look_up([Chain(closures.y)], (MONOMIAL,))
    assert not closures.look_up([Chain(closures.y)], (AFFINE,))


LAWS = {
    "monomial": lambda x: 2.5 * x[:, 0] * x[:, 1] ** 2 / np.sqrt(x[:, 2]),
    "relativistic": lambda x: x[:, 0] / np.sqrt(1 - (x[:, 1] / 4) ** 2),
    "sum of products": lambda x: x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3],
    "quotient": lambda x: (x[:, 0] * x[:, 2] + x[:, 1] * x[:, 3]) / (x[:, 0] + x[:, 1]),
    "Planck": lambda x: x[:, 0] ** 3 / (np.exp(0.7 * x[:, 0] / x[:, 1]) - 1),
    "arcsine": lambda x: np.arcsin(0.2 * x[:, 0] * np.sin(x[:, 1])),
    "polynomial": lambda x: x[:, 0] ** 4 - x[:, 0] ** 3 + x[:, 1] ** 2 / 2 - x[:, 1],
    "Gauss": lambda x: np.exp(-(((x[:, 0] - x[:, 1]) / x[:, 2]) ** 2) / 2) / x[:, 2],
}


@pytest.mark.parametrize("name", sorted(LAWS))
def test_laws_are_found_and_hold_elsewhere(name: str) -> None:
    y = LAWS[name](X)
    result = explore(Problem(X=X, y=y), max_time=40)
    assert result.exact, result.best
    fresh = np.random.default_rng(9).uniform(1, 3.5, (50, 4))
    assert np.allclose(reference_values(result.best.tree, fresh), LAWS[name](fresh), rtol=1e-6)
    assert result.best.r2 == pytest.approx(1)


def test_simpler_formulas_beside_an_exact_one_do_not_depend_on_the_time() -> None:
    y = LAWS["monomial"](X)
    fronts = [[f.tree for f in explore(Problem(X=X, y=y), max_time=time).front] for time in (12, 60)]
    assert fronts[0] == fronts[1]
    assert len(fronts[0]) >= 4


def test_a_noisy_law_keeps_its_shape() -> None:
    law = 2.5 * X[:, 0] * X[:, 1] ** 2
    y = law + 0.01 * np.sqrt(np.mean(law**2)) * np.random.default_rng(1).normal(size=200)
    result = explore(Problem(X=X, y=y), max_time=6)
    assert not result.exact
    values = np.array(reference_values(result.best.tree, X))
    assert np.sqrt(np.mean((values - law) ** 2) / law.var()) < 0.004
    assert columns(result.best.tree) == {0, 1}
    losses = [f.loss for f in result.front]
    assert losses == sorted(losses, reverse=True)


def test_a_beam_finds_the_terms_of_a_sum() -> None:
    dictionary = RNG.normal(size=(300, 80))
    target = dictionary[5] - 2 * dictionary[77] + 0.5 * dictionary[200] + 0.01 * RNG.normal(size=80)
    assert (5, 77, 200) in supports(target, np.ones(80), dictionary, np.ones(300))


@pytest.mark.parametrize(("rows", "columns"), [(1, 40), (2, 40), (3, 40), (50, 1), (50, 2), (2, 2)])
def test_sums_have_no_more_terms_than_rows_or_columns(rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows)
    dictionary = rng.normal(size=(columns, rows))
    found = supports(rng.normal(size=rows), np.ones(rows), dictionary, np.ones(columns))
    assert {len(chosen) for chosen in found} == set(range(2, min(rows, columns) + 1))


def test_no_formula_is_returned_that_the_reference_refutes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuting(tree: Tree, rows: np.ndarray) -> list[float]:
        return [math.nan] * len(rows) if columns(tree) else reference_values(tree, rows)

    y = np.exp(X[:, 0]) / X[:, 1] + 0.01 * np.random.default_rng(1).normal(size=200)
    plain = explore(Problem(X=X, y=y), max_time=3)
    assert columns(plain.best.tree) == {0, 1}
    assert plain.counters["refuted by the reference"] == 0
    for f in plain.front:
        reference = np.array(reference_values(f.tree, X))
        np.testing.assert_allclose(f.loss, np.mean((reference - y) ** 2), rtol=1e-9)

    monkeypatch.setattr("nssr.explore.search.reference_values", refuting)
    refuted = explore(Problem(X=X, y=y), max_time=3)
    assert not any(columns(f.tree) for f in refuted.front)
    assert refuted.counters["refuted by the reference"] > 1


def test_noise_alone_is_called_noise() -> None:
    y = np.random.default_rng(2).normal(size=200)
    result = explore(Problem(X=X, y=y), max_time=5)
    assert result.best.complexity <= 3
    assert abs(result.best.held_out_r2) < 0.3


def test_a_constant_is_a_constant() -> None:
    result = explore(Problem(X=X, y=np.full(200, 4.25)), max_time=5)
    assert result.best.tree == number(4.25)
    assert result.exact


def test_what_a_user_forbids_does_not_appear() -> None:
    y = X[:, 0] ** 3 + X[:, 1] ** 2
    plain = frozenset({"ADD", "SUB", "MUL", "DIV"})
    result = explore(Problem(X=X, y=y, operations=plain), max_time=20)
    assert result.exact

    assert operations(result.best.tree) <= plain
    short = explore(Problem(X=X, y=y, max_complexity=5), max_time=4)
    assert all(f.complexity <= 5 for f in short.front)
    needed = explore(Problem(X=X, y=y, required=frozenset({3})), max_time=4)
    assert all(3 in columns(f.tree) for f in needed.front)


def test_learned_functions_are_words() -> None:
    energy = mul(number(0.5), mul(column(0), mul(column(1), column(1))))
    y = np.tanh(0.5 * X[:, 0] * X[:, 1] ** 2) + np.exp(-0.5 * X[:, 2] * X[:, 3] ** 2)
    result = explore(Problem(X=X, y=y, learned=(Learned("KE", 2, energy),)), max_time=30)
    assert result.exact


def test_dimensions_rule_formulas_out() -> None:
    length, time = (Fraction(1), Fraction(0)), (Fraction(0), Fraction(1))
    speed = (Fraction(1), Fraction(-1))
    assert fits(Tree("DIV", (column(0), column(1))), (length, time), speed)
    assert not fits(add(column(0), column(1)), (length, time), length)
    assert not fits(Tree("SIN", (column(0),)), (length, time), length)
    assert fits(sub(column(0), mul(number(2.0), column(1))), (length, time), length)
    assert not fits(Tree("SQRT", (column(0),)), (length, time), length)


def test_a_search_can_be_stopped() -> None:
    y = np.random.default_rng(2).normal(size=200)
    asked = iter([False] * 200)
    result = explore(Problem(X=X, y=y), max_time=60, cancelled=lambda: next(asked, True))
    assert result.stopped == "cancelled"
    assert result.front


def test_numbers_are_named_and_measured() -> None:
    assert named_number(math.pi / 2, 1e-9) == mul(number(0.5), Tree("PI"))
    assert named_number(0.25, 1e-9) == number(0.25)
    assert number_bits(2.0) < number_bits(17.0) < number_bits(0.123456)


def test_a_bank_with_dimensions_adds_no_lengths_to_times() -> None:
    length, time = (Fraction(1), Fraction(0)), (Fraction(0), Fraction(1))
    inputs = X[:32, :3]
    bank = Bank(inputs, 0, 3000, dimensions=(length, time, length))
    families = fill(bank, DEFAULT_OPERATIONS, 3000)
    assert bank.counters["dimensions"] > 100
    for i in families["all"].tolist():
        assert dimension(bank.tree(i), (length, time, length), plain_numbers=True) == tuple(bank.exponents(i))
    free = Bank(inputs, 0, 3000, dimensions=(length, time, length), without={"dimensions"})
    fill(free, DEFAULT_OPERATIONS, 3000)
    assert not free.counters["dimensions"]


@pytest.mark.parametrize("rule", ["constant", "one huge row", "duplicate"])
def test_every_rule_of_the_bank_has_a_counter_and_a_switch(rule: str) -> None:
    inputs = np.column_stack([X[:32, 0], 1 / X[:32, 0], X[:32, 1], X[:32, 2]])
    inputs[3, 3] = 1e9
    pruned, switched = Bank(inputs, 0, 3000), Bank(inputs, 0, 3000, without={rule})
    results = [bank.extend("MUL", np.array([0, 0, 2]), np.array([1, 2, 0])) for bank in (pruned, switched)]
    results += [bank.extend("SQUARE", np.array([3])) for bank in (pruned, switched)]
    assert pruned.counters[rule] == 1
    assert switched.counters[rule] == 0
    assert len(switched) == len(pruned) + 1
    assert len(results) == 4


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="There is no rule 'duplicates'; rules are constant, dimensions"):
        Problem(X, X[:, 0], without=frozenset({"duplicates"}))


def test_the_noise_floor_ends_a_search_whose_errors_say_nothing() -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(1, 3, (150, 2))
    y = x[:, 0] / x[:, 1] + 0.02 * rng.normal(size=150)
    stopped = explore(Problem(x, y), max_time=300)
    assert stopped.stopped == "noise floor"
    assert columns(stopped.best.tree) == {0, 1}
    assert size(stopped.best.tree) == 3
    assert stopped.counters["noise floor"] > 0
    assert stopped.counters["beyond the bound"] > 0


def test_numbers_that_need_units_have_to_pay() -> None:
    mass, speed, energy = (Fraction(1), Fraction(0)), (Fraction(0), Fraction(1)), (Fraction(1), Fraction(2))
    kinetic = mul(number(0.5), mul(column(0), Tree("SQUARE", (column(1),))))
    wrong = mul(number(0.5), mul(column(0), column(1)))
    problem = Problem(X[:, :2], X[:, 0], dimensions=((mass, speed), energy))
    front, free = Front(problem, X[:, :2], X[:, 0], None), Front(replace(problem, dimensions=None), X[:, :2], X[:, 0], None)
    assert fits(wrong, (mass, speed), energy)
    assert front.formula_bits(wrong) == free.formula_bits(wrong) + UNIT_BITS
    assert front.formula_bits(kinetic) == free.formula_bits(kinetic)


def test_a_number_is_shortened_before_it_may_be_dropped() -> None:
    """With all its digits Kepler's law of six planets is longer than a mere number; with three it is not."""
    a = np.array([0.389, 0.724, 1.0, 1.524, 5.2, 9.51])
    period = np.array([87.77, 224.70, 365.25, 686.95, 4332.62, 10759.2])
    front = Front(Problem(a[:, None], period), a[:, None], period, None)
    law = mul(column(0), Tree("SQRT", (column(0),)))
    assert shortened(mul(number(366.6507741374891), law), front) == mul(number(367.0), law)
    # An offset that says nothing goes.
    assert shortened(add(mul(number(366.6507741374891), law), number(1e-5)), front) == mul(number(367.0), law)


def test_six_rows_are_no_evidence_for_five_numbers() -> None:
    a = np.array([0.389, 0.724, 1.0, 1.524, 5.2, 9.51])
    period = np.array([87.77, 224.70, 365.25, 686.95, 4332.62, 10759.2])
    found = explore(Problem(a[:, None], period), max_time=8)
    assert not found.exact
    assert size(found.best.tree) <= 7
    assert 0.9999 < found.best.r2 < 1.0
