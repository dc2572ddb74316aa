"""How far the vector maths is from the exact results, over more arguments than a test has time for:

    python -m benchmarks.vecmath_accuracy [--count 2000000] [--only sin,cos] [--every-float] [--module FILE]

Errors are in units in the last place of the correctly rounded result, from the exact value (so a correctly rounded result
shows up to 0.5). The reference is long double (x87, 64 bits of significand; on other machines long double must be as good),
for --every-float (all 2^32 float32 arguments, about two minutes a function) double.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
REFERENCE: dict[str, Callable[..., Array]] = {
    "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "sqrt": np.sqrt, "pow": np.power,
}  # fmt: skip
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, np.inf, -np.inf, np.nan]


def load_vm(path: str | None) -> ModuleType:
    """The installed extension, or a build of it elsewhere."""
    if path is None:
        from nssr.engine import _vm

        return _vm
    spec = importlib.util.spec_from_file_location("_vm", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ulps(got: Array, exact: Array) -> Array:
    """Distance of `got` from `exact` (of a wider type) in ULP; infinite where NaN, infinity or the sign of zero differ.

    Where one side overflows, the distance is taken from the first number that would: half an ULP beyond the greatest.
    """
    kind = got.dtype.type
    greatest = np.finfo(kind).max
    with np.errstate(all="ignore"):
        rounded = exact.astype(kind)
        unit = np.spacing(np.minimum(np.abs(np.where(np.isnan(rounded), 0, rounded)), greatest)).astype(exact.dtype)
        value = got.astype(exact.dtype)
        beyond = exact.dtype.type(greatest) + np.spacing(greatest).astype(exact.dtype)
        value = np.where(np.isinf(got) & np.isfinite(rounded), np.copysign(beyond, value), value)
        wide = np.where(np.isinf(rounded) & np.isfinite(got), np.copysign(beyond, exact), exact)
        error = np.abs(value - wide) / unit
    error = np.where(np.isinf(rounded) & np.isinf(got), np.where(got == rounded, 0, np.inf), error)
    zero_sign = (got == 0) & (rounded == 0) & (np.signbit(got) != np.signbit(rounded))
    nan = np.isnan(got) | np.isnan(rounded)
    return np.where(nan, np.where(np.isnan(got) & np.isnan(rounded), 0, np.inf), np.where(zero_sign, np.inf, error))


def arguments(name: str, kind: type, count: int, rng: np.random.Generator) -> tuple[Array, Array | None]:
    """About `count` arguments: a share of all bit patterns, the rest where the function does something."""
    wide = kind is np.float64
    n = count // 8
    signs = rng.choice([-1.0, 1.0], n)
    word = np.uint64 if wide else np.uint32
    patterns = rng.integers(0, np.iinfo(word).max, 2 * n, dtype=word, endpoint=True).view(kind)
    ends = {"exp": (750.0, 110.0), "sinh": (712.0, 91.0), "cosh": (712.0, 91.0)}.get(name, (30.0, 30.0))
    limit = ends[0] if wide else ends[1]
    parts = [EDGES, patterns, rng.uniform(-limit, limit, n), rng.uniform(-2, 2, n), signs * 10.0 ** rng.uniform(-12, 7, n)]
    if name in ("sin", "cos", "tan"):
        k = np.concatenate([rng.integers(0, 2**10, n // 2), rng.integers(0, 2**26, n // 2)]).astype(np.longdouble)
        parts += [k * (np.longdouble(np.pi) + np.longdouble(1.2246467991473532e-16)) / 2]
        parts += [signs * 10.0 ** rng.uniform(4, 308 if wide else 38, n)]
    elif name in ("asin", "acos"):
        parts += [signs * rng.uniform(0, 1, n), signs * (1 - 10.0 ** rng.uniform(-17, 0, n))]
    elif name == "log":
        parts += [1 + signs * 10.0 ** rng.uniform(-16, -0.3, n), rng.uniform(0.5, 2, n)]
    elif name == "exp":
        edges = (-745.13, -708.4, 709.78) if wide else (-103.97, -87.34, 88.72)
        parts += [np.concatenate([e + rng.uniform(-0.7, 0.7, n // 3) for e in edges])]
    elif name == "pow":
        base = np.concatenate([patterns[n:], np.abs(patterns[:n]), 10.0 ** rng.uniform(-5, 5, 3 * n)]).astype(kind)
        near = (1 + signs * 10.0 ** rng.uniform(-16 if wide else -7, -0.5, n)).astype(kind)
        tiny = np.abs(np.log(near.astype(np.longdouble)))
        range_ = rng.uniform(-746, 711, n) if wide else rng.uniform(-104, 89, n)
        exponents = [rng.uniform(-10, 10, n), 10.0 ** rng.uniform(-3, 2, n), rng.uniform(-40, 40, n)]
        exponents += [rng.integers(-64, 65, n).astype(float), rng.uniform(-1, 1, n)]
        with np.errstate(all="ignore"):
            parts_y = np.concatenate([*exponents, (range_ / np.where(tiny == 0, 1, tiny)).astype(np.float64)]).astype(kind)
            full = (range_ / np.log(np.abs(patterns[:n].astype(np.longdouble)))).astype(kind)
        return np.concatenate([base, near, np.abs(patterns[:n])]), np.concatenate([parts_y, full])
    with np.errstate(all="ignore"):
        return np.concatenate([np.asarray(p).astype(kind) for p in parts]), None


def worst(
    vm: ModuleType, name: str, a: Array, b: Array | None, wide: type, target: str | None = None
) -> tuple[float, int]:
    with np.errstate(all="ignore"):
        given = [a.astype(wide)] if b is None else [a.astype(wide), b.astype(wide)]
        error = ulps(vm.vecmath.apply(name, a, b, target), np.asarray(REFERENCE[name](*given)))
    at = int(np.argmax(error))
    return float(error[at]), at


def every_float(vm: ModuleType, name: str) -> tuple[float, float]:
    top, where = 0.0, 0.0
    for start in range(0, 2**32, 2**20):
        x = np.arange(start, start + 2**20, dtype=np.uint64).astype(np.uint32).view(np.float32)
        error, at = worst(vm, name, x, None, np.float64)
        if error > top:
            top, where = error, float(x[at])
    return top, where


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2_000_000)
    parser.add_argument("--only", default=",".join(REFERENCE))
    parser.add_argument("--every-float", action="store_true")
    parser.add_argument("--module", help="a built _vm extension; the installed one if not given")
    options = parser.parse_args()
    vm = load_vm(options.module)
    for name in options.only.split(","):
        if options.every_float:
            top, where = every_float(vm, name)
            print(f"{name:5} float32  all 2^32   {top:.3f} ULP at {where!r}", flush=True)
            continue
        for kind in (np.float64, np.float32):
            a, b = arguments(name, kind, options.count, np.random.default_rng(7))
            top, at = worst(vm, name, a, b, np.longdouble)
            where_ = repr(float(a[at])) if b is None else f"{float(a[at])!r}, {float(b[at])!r}"
            print(f"{name:5} {kind.__name__} {len(a):9,}  {top:.3f} ULP at {where_}", flush=True)


if __name__ == "__main__":
    main()
