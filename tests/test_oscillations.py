"""Oscillations: any frequency, phase, envelope and offset, found and written plainly; and none where there is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr.explore import Problem, explore
from nssr.explore.oscillations import distinct, envelopes, waves, without_phases
from nssr.explore.problem import DEFAULT_OPERATIONS
from nssr.explore.tree import Tree, add, column, mul, number, reference_values, size

Array = np.ndarray
RNG = np.random.default_rng(4)
TIME = np.sort(RNG.uniform(0, 10, 150))
U = RNG.uniform(1, 3, 150)


@settings(max_examples=40, deadline=None)
@given(
    frequency=st.floats(0.7, 20.0), phase=st.floats(-3.1, 3.1), rate=st.sampled_from([-0.4, -0.05, 0.0, 0.2]),
    offset=st.floats(-3, 3), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_the_grid_comes_near_every_wave(frequency: float, phase: float, rate: float, offset: float, seed: int) -> None:
    """Within half a wave over the range: there the loss has one valley."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(0, 10, 120))
    y = 2 * np.exp(rate * t) * np.sin(frequency * t + phase) + offset
    shapes, trees = envelopes(t[:, None], DEFAULT_OPERATIONS)
    assert len(shapes) == len(trees)
    best = waves(y[None], np.ones(120), t[None], shapes, lambda: None)[0]
    assert best.left < 0.1
    assert abs(best.frequency - frequency) < np.pi / 10
    (with_phase, *_) = best.trees(column(0), trees[best.envelope], None, DEFAULT_OPERATIONS)[4:]
    values = np.array(reference_values(with_phase, t[:, None]))
    assert np.mean((values - y) ** 2) == pytest.approx(best.left * np.var(y), rel=1e-6)


LAWS: dict[str, tuple[Array, Callable[[Array], Array], int]] = {
    "frequency and phase": (TIME[:, None], lambda x: 2 * np.sin(1.3 * x[:, 0] + 0.7) + 1, 12),
    "damped": (TIME[:, None], lambda x: 3 * np.exp(-0.3 * x[:, 0]) * np.cos(2.2 * x[:, 0]), 14),
    "beats": (TIME[:, None], lambda x: np.sin(2 * x[:, 0]) + 0.6 * np.sin(2.9 * x[:, 0]), 14),
    "amplitude from a column": (
        np.column_stack([TIME, U]), lambda x: x[:, 1] * np.exp(-0.25 * x[:, 0]) * np.sin(1.7 * x[:, 0] + 0.4), 15
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(LAWS))
def test_laws_of_oscillation_are_found_exactly(name: str) -> None:
    X, law, most = LAWS[name]
    result = explore(Problem(X=X, y=law(X)), max_time=60)
    assert result.exact, result.best
    assert size(result.best.tree) <= most, result.best.tree
    later = X + 0.013
    assert np.allclose(reference_values(result.best.tree, later), law(later), rtol=1e-7, atol=1e-9)


def test_a_noisy_oscillation_keeps_its_frequency() -> None:
    law = 2 * np.sin(1.3 * TIME + 0.7) + 1
    y = law + 0.05 * np.random.default_rng(1).normal(size=150)
    result = explore(Problem(X=TIME[:, None], y=y), max_time=8)
    values = np.array(reference_values(result.best.tree, TIME[:, None]))
    assert np.sqrt(np.mean((values - law) ** 2)) < 0.03


def test_noise_is_no_oscillation() -> None:
    y = np.random.default_rng(3).normal(size=150)
    result = explore(Problem(X=TIME[:, None], y=y), max_time=8)
    assert size(result.best.tree) <= 3, result.best.tree


def test_phases_near_right_angles_go() -> None:
    x = np.linspace(0.3, 5, 40)
    angle = mul(number(1.7), column(0))
    for name, function in (("SIN", np.sin), ("COS", np.cos)):
        for quarters in range(-4, 5):
            phase = quarters * np.pi / 2
            plain = without_phases(Tree(name, (add(angle, number(phase + 0.01)),)))
            assert "ADD" not in str(plain)
            assert np.allclose(reference_values(plain, x[:, None]), function(1.7 * x + phase), atol=1e-12)
    kept = Tree("SIN", (add(angle, number(0.4)),))
    assert without_phases(kept) == kept


def test_of_like_waves_few_are_kept() -> None:
    shapes, _ = envelopes(TIME[:, None], DEFAULT_OPERATIONS)
    arguments = np.stack([TIME, TIME**2, np.sqrt(TIME), np.sign(TIME - 5)])
    y = np.sin(2 * TIME)
    found = waves(np.stack([y, y - TIME]), np.ones(150), arguments, shapes, lambda: None)
    assert {w.argument for w in found} == {0, 1, 2}  # two values are no argument of a wave
    assert [w.left for w in found] == sorted(w.left for w in found)
    kept = distinct(found, 20)
    assert len(kept) == 20
    assert max(sum(w.target == t and w.argument == a for w in kept) for t in (0, 1) for a in range(3)) == 4
