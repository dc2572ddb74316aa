"""Throughput of the vector maths, by function, type, target and what the lanes hold:

    python -m benchmarks.vecmath [--only exp,log] [--rounds 7] [--module FILE]

G elements/s of CPU time over 1,024 elements in the first-level cache: median [least to most] of the rounds, all sides in
turns. Lanes: plain (0.1 to 3; asin and acos to 0.95), 20 % NaN, 20 % from outside the domain or range (negative for log,
sqrt and pow, infinities for the others), and for sin, cos and tan arguments up to 1e30, which need the long reduction.
Sides: our targets; numpy (which has vector code of its own for some functions); Python's math in a list comprehension.
Sides are compared before they are timed: 4 ULP of each other and of the exact result, so 8 here.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from benchmarks.rounds import Timing, in_turns
from benchmarks.vecmath_accuracy import REFERENCE, Array, load_vm, ulps

N = 1024
OURS_TIMES, NUMPY_TIMES = 2000, 400


def lanes(name: str, kind: type) -> dict[str, Array]:
    rng = np.random.default_rng(1)
    plain = rng.uniform(0.1, 0.95 if name in ("asin", "acos") else 3, N)
    some = rng.random(N) < 0.2
    outside = np.where(some, -plain if name in ("log", "sqrt", "pow") else rng.choice([np.inf, -np.inf], N), plain)
    sets = {"plain": plain, "20% NaN": np.where(some, np.nan, plain), "20% outside": outside}
    if name in ("sin", "cos", "tan"):
        sets["huge"] = 10.0 ** rng.uniform(8, 30, N)
    return {key: np.ascontiguousarray(values, dtype=kind) for key, values in sets.items()}


def shown(timing: Timing, items: float) -> str:
    low, high = items / max(timing.seconds) / 1e9, items / min(timing.seconds) / 1e9
    return f"{items / timing.median / 1e9:5.2f} [{low:4.2f} to {high:4.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(REFERENCE))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--module", help="a built _vm extension; the installed one if not given")
    options = parser.parse_args()
    vm = load_vm(options.module)
    apply = vm.vecmath.apply
    np.seterr(all="ignore")
    for kind in (np.float64, np.float32):
        for name in options.only.split(","):
            for what, a in lanes(name, kind).items():
                b = np.linspace(-3, 3, N).astype(kind) if name == "pow" else None
                given = [a] if b is None else [a, b]
                out = np.empty_like(a)
                reference = REFERENCE[name]
                distance = float(ulps(apply(name, a, b), np.asarray(reference(*(g.astype(np.longdouble) for g in given)))).max())
                if distance > 4:
                    raise SystemExit(f"{name} {kind.__name__} {what}: {distance} ULP from the exact result")
                sides: dict[str, Callable[[], object]] = {
                    target: lambda target=target, a=a, b=b, out=out, name=name: apply(name, a, b, target, out, OURS_TIMES)  # type: ignore[misc]
                    for target in vm.targets()
                }
                theirs = np.empty_like(a)

                def numpy_side(
                    reference: Callable[..., Array] = reference, given: list[Array] = given, to: Array = theirs
                ) -> None:
                    for _ in range(NUMPY_TIMES):
                        reference(*given, out=to)

                sides["numpy"] = numpy_side
                items = dict.fromkeys(sides, float(N * OURS_TIMES)) | {"numpy": float(N * NUMPY_TIMES)}
                if kind is np.float64 and what == "plain":
                    function, rows = getattr(math, name), [tuple(map(float, row)) for row in zip(*given, strict=True)]
                    sides["math"] = lambda function=function, rows=rows: [function(*row) for row in rows]  # type: ignore[misc]
                    items["math"] = float(N)
                timings = in_turns(sides, options.rounds)
                cells = "  ".join(f"{side} {shown(t, items[side])}" for side, t in timings.items())
                print(f"{kind.__name__} {name:5} {what:12} {cells}", flush=True)


if __name__ == "__main__":
    main()
