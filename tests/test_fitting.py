"""The compiled fitting kernels against a NumPy twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import search
from nssr.engine import fitting


def twin(values: np.ndarray, y: np.ndarray, fit: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same fits, candidate by candidate, by numpy's least squares."""
    r2, k, k2 = np.empty(len(values)), np.empty(len(values)), np.empty(len(values))
    for i, p in enumerate(values):
        a, b = 1.0, 0.0
        with np.errstate(all="ignore"):
            if not np.isfinite(p).all():
                a = b = np.nan
            elif fit == "scale":
                a = np.nan if p @ p <= 1e-12 else np.linalg.lstsq(p[:, None], y, rcond=None)[0][0]
            elif fit == "offset":
                b = np.mean(y - p)
                b = np.nan if np.abs(y - p - b).max() > fitting.OFFSET_TOLERANCE else b
            elif fit == "affine":
                if np.ptp(p) <= 1e-9 * max(np.abs(p).max(), 1e-150):
                    a = b = np.nan
                else:
                    a, b = np.linalg.lstsq(np.stack([p, np.ones_like(p)], 1), y, rcond=None)[0]
            residual = np.sum((y - (a * p + b)) ** 2)
            total = np.sum((y - y.mean()) ** 2)
        r2[i] = -np.inf if not np.isfinite(residual) else 1 - residual / total
        k[i], k2[i] = a, b
    return r2, k, k2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 60), st.sampled_from(["none", "scale", "offset", "affine"]))
def test_kernels_agree_with_numpy(seed: int, n: int, fit: str) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(12, n)) * 10 ** rng.uniform(-3, 3, size=(12, 1))
    y = rng.normal(size=n)
    values[0], values[1], values[2], values[3] = 2.5 * y, y - 3, 4 - 0.25 * y, np.nan
    values[4], values[5] = 0.0, 7.0
    got, wanted = fitting.fit_rows(values, y, fit), twin(values, y, fit)
    np.testing.assert_allclose(got[0], wanted[0], rtol=1e-6, atol=1e-9)
    fitted = np.isfinite(wanted[0])  # constants mean nothing where there is no fit
    for mine, theirs in zip(got[1:], wanted[1:], strict=True):
        np.testing.assert_allclose(mine[fitted], theirs[fitted], rtol=1e-6, atol=1e-9)


def test_r2_of_constant_targets() -> None:
    flat = np.full(5, 3.0)
    assert fitting.r2(flat, flat) == 1.0
    assert fitting.r2(flat, flat + 1) == -np.inf
    assert search._r2([1, 2, 3], [1, 2, 3]) == 1.0
    assert search._r2([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]) == 0.0


def test_documented_fits() -> None:
    assert search._fit_scale([1, 2, 3], [2, 4, 6]) == pytest.approx(2)
    assert search._fit_scale([0, 0, 0], [1, 2, 3]) is None
    assert search._fit_offset([1, 2, 3], [6, 7, 8]) == pytest.approx(5)
    assert search._fit_offset([1, 2, 3], [6, 7, 8.1]) is None


def test_an_unknown_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="scale"):
        fitting.fit_rows(np.ones((1, 3)), np.arange(3.0), "cubic")
