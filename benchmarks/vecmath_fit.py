"""Computes the constants of the vector maths and prints csrc/kernels/vecmath_tables.inl:

    python -m benchmarks.vecmath_fit > csrc/kernels/vecmath_tables.inl

Polynomials are minimax fits in the relative error of the function they end up in: Remez's exchange in 70 digits (Muller,
Elementary Functions, chapter 3); coefficients are then rounded to the type. The error that is printed is that of the rounded
polynomial, which the arithmetic's own rounding comes on top of.
"""

from collections.abc import Callable
from fractions import Fraction

from mpmath import mp, mpf

mp.dps = 70
BITS = {"f64": 53, "f32": 24}
TYPES = {"f64": "double", "f32": "float"}
LN2, PI = mp.log(2), mp.pi
Function = Callable[[mpf], mpf]


def rounded(x: mpf, bits: int) -> mpf:
    """x to the nearest number of so many bits (no limit of the exponent)."""
    if x == 0:
        return mpf(0)
    exponent = int(mp.floor(mp.log(abs(x), 2))) + 1 - bits
    return mp.ldexp(mp.nint(mp.ldexp(x, -exponent)), exponent)


def truncated(x: mpf, bits: int) -> mpf:
    exponent = int(mp.floor(mp.log(abs(x), 2))) + 1 - bits
    return mp.ldexp(mp.floor(mp.ldexp(x, -exponent)), exponent)


def horner(coefficients: list[mpf], z: mpf) -> mpf:
    total = mpf(0)
    for c in reversed(coefficients):
        total = total * z + c
    return total


def remez(target: Function, weight: Function, low: mpf, high: mpf, terms: int) -> list[mpf]:
    """The polynomial closest to target where errors count `weight` times."""
    n = terms + 1
    points = [(low + high) / 2 - (high - low) / 2 * mp.cos(PI * (i + mpf("0.4")) / n) for i in range(n)]
    for _ in range(12):
        rows = mp.matrix(n, n)
        right = mp.matrix(n, 1)
        for i, z in enumerate(points):
            w = weight(z)
            for j in range(terms):
                rows[i, j] = w * z**j
            rows[i, terms] = (-1) ** i
            right[i] = w * target(z)
        solved = mp.lu_solve(rows, right)
        c, level = [solved[j] for j in range(terms)], abs(solved[terms])
        points, worst = extrema(lambda z, c=c: weight(z) * (target(z) - horner(c, z)), low, high, n)
        if worst < level * mpf("1.02"):
            break
    return c


def extrema(error: Function, low: mpf, high: mpf, wanted: int) -> tuple[list[mpf], mpf]:
    """Where |error| is largest between its changes of sign, and the largest of all."""
    n = 24 * wanted
    grid = [(low + high) / 2 - (high - low) / 2 * mp.cos(PI * i / n) for i in range(n + 1)]
    best: list[tuple[mpf, mpf]] = []
    for z, e in ((z, error(z)) for z in grid):
        if best and (best[-1][1] > 0) == (e > 0):
            if abs(e) > abs(best[-1][1]):
                best[-1] = (z, e)
        else:
            best.append((z, e))
    while len(best) > wanted:
        best.pop(0 if abs(best[0][1]) < abs(best[-1][1]) else -1)
    if len(best) < wanted:
        raise ValueError(f"{len(best)} alternations, {wanted} wanted")
    return [z for z, _ in best], max(abs(e) for _, e in best)


def fit(target: Function, weight: Function, low: mpf, high: mpf, terms: int, bits: int) -> tuple[list[mpf], mpf]:
    """Coefficients that are numbers of the type, and the largest weighted error."""
    c = [rounded(v, bits) for v in remez(target, weight, low, high, terms)]
    grid = [low + (high - low) * i / 400 for i in range(401)]
    return c, max(abs(weight(z) * (target(z) - horner(c, z))) for z in grid)


def by_series(direct: Function, series: Function) -> Function:
    """`direct` loses digits next to 0, where a few terms of the series are enough."""
    return lambda z: direct(z) if abs(z) > mpf("1e-9") else series(z)


def polynomials() -> dict[str, tuple[str, Function, Function, mpf, mpf, dict[str, int]]]:
    tiny = mpf("1e-20")
    half = LN2 / 2 * mpf("1.00001")
    atanh_z = by_series(lambda z: mp.atanh(mp.sqrt(z)) / mp.sqrt(z), lambda z: 1 + z / 3 + z**2 / 5 + z**3 / 7)
    s_max = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)
    z_log = s_max**2 * mpf("1.0001")
    r_pi2, r_pi4 = (PI / 2) ** 2 * mpf("1.0001"), (PI / 4) ** 2 * mpf("1.0001")
    sin_z = by_series(
        lambda z: (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, lambda z: -mpf(1) / 6 + z / 120 - z**2 / 5040 + z**3 / 362880
    )
    cos_z = by_series(lambda z: (1 - mp.cos(mp.sqrt(z))) / z, lambda z: mpf(1) / 2 - z / 24 + z**2 / 720 - z**3 / 40320)
    sin_weight = lambda z: z / (1 + z * sin_z(z))  # noqa: E731
    atan_z = by_series(lambda z: (mp.atan(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, lambda z: -mpf(1) / 3 + z / 5 - z**2 / 7 + z**3 / 9)
    asin_z = by_series(lambda z: (mp.asin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, lambda z: mpf(1) / 6 + 3 * z / 40 + 15 * z**2 / 336)
    expm1_r = by_series(lambda r: (mp.expm1(r) - r) / r**2, lambda r: mpf(1) / 2 + r / 6 + r**2 / 24 + r**3 / 120)
    exp_weight = by_series(lambda r: r**2 / mp.expm1(r), lambda r: r * (1 - r / 2))
    log_z = by_series(lambda z: 2 * (atanh_z(z) - 1) / z, lambda z: mpf(2) / 3 + 2 * z / 5 + 2 * z**2 / 7)
    log_tail = by_series(lambda z: (atanh_z(z) - 1 - z / 3) / z**2, lambda z: mpf(1) / 5 + z / 7 + z**2 / 9 + z**3 / 11)
    log_f = by_series(lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3, lambda f: mpf(1) / 3 - f / 4 + f**2 / 5 - f**3 / 6)
    log_f_weight = by_series(lambda f: f**3 / mp.log1p(f), lambda f: f**2)
    tan_max = mp.sqrt(2) - 1
    return {
        "kExp": ("(exp(r) - 1 - r) / r^2, |r| <= ln(2)/2", expm1_r, exp_weight, -half, half, {"f64": 10, "f32": 6}),
        "kLog": ("(2 atanh(s) - 2s) / s^3, z = s^2, |s| <= 0.1716", log_z, lambda z: z / (2 * atanh_z(z)), tiny, z_log,
                 {"f64": 7}),
        "kLogDirect": ("(log(1 + f) - f + f^2/2) / f^3, sqrt(1/2) <= 1 + f <= sqrt(2)", log_f, log_f_weight,
                       (mp.sqrt(mpf(1) / 2) - 1) * mpf("1.0001"), (mp.sqrt(2) - 1) * mpf("1.0001"), {"f32": 8}),
        "kLogTail": ("(atanh(s)/s - 1 - z/3) / z^2, z = s^2, |s| <= 0.1716", log_tail, lambda z: z**2, tiny, z_log,
                     {"f64": 9}),
        "kSin": ("(sin(r)/r - 1) / z, z = r^2, |r| <= pi/2", sin_z, sin_weight, tiny, r_pi2, {"f64": 9, "f32": 5}),
        "kSin4": ("(sin(r)/r - 1) / z, z = r^2, |r| <= pi/4", sin_z, sin_weight, tiny, r_pi4, {"f64": 7, "f32": 4}),
        "kCos4": ("(1 - cos(r)) / z, z = r^2, |r| <= pi/4", cos_z, lambda z: z / mp.cos(mp.sqrt(z)), tiny, r_pi4,
                  {"f64": 7, "f32": 4}),
        "kAsin": ("(asin(s)/s - 1) / z, z = s^2, |s| <= 1/2", asin_z, lambda z: z / (1 + z * asin_z(z)), tiny, mpf(1) / 4,
                  {"f64": 12, "f32": 5}),
        "kAtan": ("(atan(t)/t - 1) / z, z = t^2, |t| <= sqrt(2) - 1", atan_z, lambda z: z / (1 + z * atan_z(z)), tiny,
                  tan_max**2 * mpf("1.0001"), {"f64": 11, "f32": 5}),
    }  # fmt: skip


def for_pow_of_f32() -> list[tuple[str, str, Function, Function, mpf, mpf, int]]:
    """f32's pow is computed in doubles: shorter polynomials, still rounded to double."""
    every = polynomials()
    _, log_z, log_weight, low, high, _ = every["kLog"]
    _, expm1_r, _, r_low, r_high, _ = every["kExp"]
    return [
        ("kLogShort", "as kLog", log_z, log_weight, low, high, 5),
        ("kExpShort", "as kExp", expm1_r, lambda r: r**2 / mp.exp(r), r_low, r_high, 5),
    ]


def literal(x: mpf, kind: str) -> str:
    value = Fraction(int(mp.ldexp(x, 400)), 2**400)
    number = float(value)
    assert Fraction(number) == value, "not a number of the type"
    return number.hex() + ("f" if kind == "f32" else "")


def array(name: str, kind: str, values: list[mpf]) -> str:
    body = ",\n".join("    " + literal(v, kind) for v in values)
    return f"static constexpr {TYPES[kind]} {name}[] = {{\n{body}}};"


def split(x: mpf, sizes: list[int]) -> list[mpf]:
    """x as a sum of parts of so many bits each; the last is rounded, the others are cut off."""
    parts = []
    for i, bits in enumerate(sizes):
        parts.append(truncated(x, bits) if i + 1 < len(sizes) else rounded(x, bits))
        x -= parts[-1]
    return parts


def turns(step: int, first: int, count: int) -> list[list[mpf]]:
    """2^E / pi modulo 2, in [-1, 1], as four doubles, for E = first, first + step, ..."""
    rows = []
    with mp.workdps(420):
        for i in range(count):
            whole = mp.ldexp(1 / mp.pi, first + step * i)
            rows.append(split_nearest(whole - 2 * mp.nint(whole / 2), 4))
    return rows


def split_nearest(x: mpf, count: int, bits: int = 53) -> list[mpf]:
    parts = []
    for _ in range(count):
        parts.append(rounded(x, bits))
        x -= parts[-1]
    return parts


def main() -> None:
    print("// Constants of the vector maths, printed by `python -m benchmarks.vecmath_fit` (methods are described there).")
    print("// Included once inside each target's namespace (see vecmath.inl).")
    for kind, bits in BITS.items():
        print(f"\ntemplate <>\nstruct Constants<{TYPES[kind]}> {{")
        for name, (what, target, weight, low, high, terms) in polynomials().items():
            if kind in terms:
                c, error = fit(target, weight, low, high, terms[kind], bits)
                print(f"    // {what}; relative error 2^{mp.nstr(mp.log(error, 2), 4)}")
                print("    " + array(name, kind, c).replace("\n", "\n    "))
        if kind == "f32":
            print(f"    static constexpr double kLn2Double = {literal(rounded(+LN2, 53), 'f64')};")
            for name, what, target, weight, low, high, count in for_pow_of_f32():
                c, error = fit(target, weight, low, high, count, 53)
                print(f"    // {what}, in doubles; relative error 2^{mp.nstr(mp.log(error, 2), 4)}")
                print("    " + array(name, "f64", c).replace("\n", "\n    "))
        sizes = {"f64": [30, 30, 30, 53], "f32": [11, 11, 11, 11, 24]}[kind]
        below = {"f64": 22, "f32": 12}[kind]
        print(f"    // pi, in parts whose products with a multiple of 1/2 below 2^{below} are exact.")
        print("    " + array("kPi", kind, split(+PI, sizes)).replace("\n", "\n    "))
        print("    // pi in full digits, for targets with fused multiply-add.")
        print("    " + array("kPiWhole", kind, split_nearest(+PI, 3, bits)).replace("\n", "\n    "))
        print("    // ln(2): the first part times an exponent is exact.")
        print("    " + array("kLn2", kind, split(+LN2, {"f64": [40, 53], "f32": [14, 24]}[kind])).replace("\n", "\n    "))
        print("    // pi and pi/2: nearest, and what is missing.")
        for name, value in (("kPiHead", +PI), ("kHalfPiHead", PI / 2)):
            head = rounded(value, bits)
            print("    " + array(name, kind, [head, rounded(value - head, bits)]).replace("\n", "\n    "))
        for name, value in (("kInvPi", 1 / PI), ("kLog2e", 1 / LN2), ("kSqrtHalf", mp.sqrt(mpf(1) / 2))):
            print(f"    static constexpr {TYPES[kind]} {name} = {literal(rounded(value, bits), kind)};")
        if kind == "f64":
            third = rounded(mpf(1) / 3, 53)
            print("    // 1/3: nearest, and what is missing.")
            print("    " + array("kThird", kind, [third, rounded(mpf(1) / 3 - third, 53)]).replace("\n", "\n    "))
        print("};")
    print("\n// 2^E / pi modulo 2 in four doubles, E = -32, -16, ..., 960 (M. Payne, R. Hanek, SIGNUM Newsletter 18, 1983).")
    print("static constexpr double kTurns[63][4] = {")
    print(",\n".join("    {" + ", ".join(literal_wide(v) for v in row) + "}" for row in turns(16, -32, 63)) + "};")


def literal_wide(x: mpf) -> str:
    return float(x).hex()


if __name__ == "__main__":
    main()
