"""The printed formula: what it looks like, and that it is never wrong.

The property test runs a composition by the primitives' meanings and reads the printed text back with an interpreter of
its own, both in 50 digits, so that a difference is a wrong formula and not a rounding error.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from typing import Any

import mpmath
import pytest
import sympy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nssr.algebra import ARITHMETIC_OF, FUNCTION_OF
from nssr.formula import ALGEBRA_LIMIT, Formula
from nssr.notation import quote
from nssr.primitives import ALL, BY_NAME
from nssr.symbolic import EXTREMUM_OF, RELATION_OF

HEADS = {"LOOP": 1, "WHILE": 2, "ACCUM": 2}


def make_state() -> dict[str, Any]:
    """A registry's state, as far as formulas read it; ids are not opcodes, as in an older library."""
    metadata = {
        p.opcode + 100: {
            "name": p.name,
            "arity": p.arity,
            "layer": 0,
            "composition": None,
            "constants": None,
            "const_mode": "multiplicative",
            "opcode": p.opcode,
        }
        for p in ALL
    }
    return {"metadata": metadata}


def learn(state, name, arity, *steps, constants=None, const_mode="multiplicative"):
    state["metadata"][max(state["metadata"]) + 1] = {
        "name": name,
        "arity": arity,
        "layer": 1,
        "composition": composition(state, *steps),
        "constants": constants,
        "const_mode": const_mode,
        "opcode": None,
    }


def composition(state, *steps):
    """Steps by name, ``("MUL", 0, 1)``; functions given to loops by name too."""
    ids = {meta["name"]: i for i, meta in state["metadata"].items()}
    return [(ids[name], [ids[a] if isinstance(a, str) else a for a in args]) for name, *args in steps]


STATE = make_state()
learn(STATE, "KE", 2, ("MUL", 0, 1), ("MUL", 2, 1), constants=[0.5])
learn(STATE, "PE", 2, ("MUL", 0, 1), constants=[9.81])
learn(STATE, "AFF", 1, ("SQUARE", 0), constants=[2.0, -1.25], const_mode="affine")
learn(STATE, "SHIFT", 2, ("DIV", 0, 1), ("INC", 2), constants=[-2.5], const_mode="additive")
learn(STATE, "NEST", 2, ("AFF", 0), ("KE", 2, 1), ("SHIFT", 3, 0))
learn(STATE, "HALVES", 1, ("NULL", 0), constants=[1.5], const_mode="additive")


def formula(names, *steps, **options) -> Formula:
    return Formula.from_composition(STATE, composition(STATE, *steps), len(names), names=list(names), **options)


@pytest.mark.parametrize(
    ("text", "names", "steps", "options"),
    [
        ("0.5*m*v**2", "mv", [("MUL", 0, 1), ("MUL", 2, 1)], {"constants": [0.5]}),
        ("9.81*m*h", "mh", [("MUL", 0, 1)], {"constants": [9.81]}),
        ("0.5*m*v**2 + 9.81*m*h", "mvh", [("KE", 0, 1), ("PE", 0, 2), ("ADD", 3, 4)], {}),
        ("1408.2/volume", ["volume"], [("DIV", 0, 0), ("DIV", 1, 0)], {"constants": [1408.2], "nonzero": {0}}),
        ("volume/volume", ["volume"], [("DIV", 0, 0)], {}),
        ("1", ["volume"], [("DIV", 0, 0)], {"nonzero": {0}}),
        ("1", "v", [("EQ", 0, 0)], {}),
        ("0", "v", [("SUB", 0, 0)], {}),
        ("0", "v", [("NULL", 0)], {}),
        ("x", "xy", [("NULL", 1), ("ADD", 0, 2)], {}),
        ("x", "xy", [("EQ", 1, 1), ("MUL", 2, 0)], {}),
        ("x", "x", [("CONST", 0)], {}),
        ("x", "x", [("INC", 0), ("DEC", 1)], {}),
        ("1/V", "V", [("EQ", 0, 0), ("DIV", 1, 0)], {}),
        ("(V + 1)/V**2", "V", [("INC", 0), ("MUL", 0, 0), ("DIV", 1, 2)], {}),
        ("m*v/v", "mv", [("MUL", 0, 1), ("DIV", 2, 1)], {}),
        ("m", "mv", [("MUL", 0, 1), ("DIV", 2, 1)], {"nonzero": {1}}),
        ("x + y", "xy", [("ADD", 0, 1), ("MUL", 2, 2), ("DIV", 3, 2)], {"divisors_nonzero": True}),
        ("2*(length + width)", ["length", "width"], [("ADD", 0, 1), ("ADD", 2, 2)], {}),
        ("9.81*(x + y)", "xy", [("ADD", 0, 1)], {"constants": [9.81]}),
        ("(x + y)/2", "xy", [("EQ", 0, 0), ("INC", 2), ("ADD", 0, 1), ("DIV", 4, 3)], {}),
        ("1.8*T + 32", "T", [("CONST", 0)], {"constants": [1.8, 32], "const_mode": "affine"}),
        ("y - x - 2.5", "xy", [("SUB", 1, 0)], {"constants": [-2.5], "const_mode": "additive"}),
        ("-x", "x", [("CONST", 0)], {"constants": [-1.0]}),
        ("-3", "x", [("NULL", 0)], {"constants": [-3.0], "const_mode": "additive"}),
        ("0.333333333333*x", "x", [("CONST", 0)], {"constants": [1 / 3]}),
        ("0.3*x", "x", [("CONST", 0)], {"constants": [0.1 + 0.2]}),
        ("6.02214076e+23*x", "x", [("CONST", 0)], {"constants": [6.02214076e23]}),
        ("z/sqrt(x**2 + y**2)", "xyz",
         [("SQUARE", 0), ("SQUARE", 1), ("ADD", 3, 4), ("SQRT", 5), ("DIV", 2, 6)], {}),
        ("2*x*y", "xy", [("ADD", 0, 1), ("SQUARE", 2), ("SQUARE", 0), ("SUB", 3, 4), ("SQUARE", 1), ("SUB", 5, 6)], {}),
        ("2*pi*x", "x", [("PI",), ("MUL", 1, 0), ("ADD", 2, 2)], {}),
        ("exp(-x)", "x", [("NEG", 0), ("EXP", 1)], {}),
        ("abs(x)", "x", [("SQUARE", 0), ("SQRT", 1)], {}),
        ("x**1.5", "x", [("HALVES", 0), ("POW", 0, 1)], {}),
        ("~(a & b)", "ab", [("AND", 0, 1), ("NOT", 2)], {}),
        ("a | b & a", "ab", [("AND", 1, 0), ("OR", 0, 2)], {}),
        ("(a | b) & a", "ab", [("OR", 0, 1), ("AND", 2, 0)], {}),
        ("(a < b) == b", "ab", [("LT", 0, 1), ("EQ", 2, 1)], {}),
        ("a if a > b else b", "ab", [("GT", 0, 1), ("COND", 2, 0, 1)], {}),
        ("(2*a if a > b else b) + 1", "ab", [("GT", 0, 1), ("ADD", 0, 0), ("COND", 2, 3, 1), ("INC", 4)], {}),
        ("min(a, b)", "ab", [("MIN", 0, 1), ("ADD", 2, 0), ("SUB", 3, 0)], {}),
        ("LOOP(INC, b, a)", "ab", [("LOOP", "INC", 1, 0)], {}),
        ("LOOP(ADD, b, 0, a)", "ab", [("LOOP", "ADD", 1, -1, 0)], {}),
        ("LOOP(KE, b + b, 0, a) + 1", "ab", [("ADD", 1, 1), ("LOOP", "KE", 2, -1, 0), ("INC", 3)], {}),
        ("WHILE(LT, INC, a, b)", "ab", [("WHILE", "LT", "INC", 0, 1)], {}),
        ("ACCUM(LT, INC, a, 0, b)", "ab", [("ACCUM", "LT", "INC", 0, -1, 1)], {}),
    ],
)  # fmt: skip
def test_text(text, names, steps, options):
    assert str(formula(names, *steps, **options)) == text


def test_structure():
    assert formula("mvh", ("KE", 0, 1), ("PE", 0, 2), ("ADD", 3, 4)).structure() == "ADD(KE(m, v), PE(m, h))"
    kinetic = formula("mv", ("MUL", 0, 1), ("MUL", 2, 1), constants=[0.5])
    assert kinetic.structure() == "MUL(MUL(m, v), v) * 0.5"
    affine = formula("x", ("NULL", 0), ("COND", 1, 0, -1), constants=[2, -3.5], const_mode="affine")
    assert affine.structure() == "COND(NULL(x), x, 0) * 2 + -3.5"
    assert formula("ab", ("LOOP", "ADD", 1, -1, 0)).structure() == "LOOP(ADD, b, 0, a)"
    assert formula(["a b", "c"], ("PI",), ("MUL", 0, 2)).structure() == "MUL(`a b`, PI())"


def test_size_and_used():
    simple = formula("V", ("EQ", 0, 0), ("DIV", 1, 0))
    longer = formula("V", ("INC", 0), ("MUL", 0, 0), ("DIV", 1, 2))
    assert (simple.size, longer.size) == (3, 7)
    assert formula("mv", ("MUL", 0, 1), ("MUL", 2, 1)).size == 5
    assert formula("xyz", ("SUB", 0, 0), ("MUL", 3, 1), ("ADD", 4, 2)).used == (2,)
    assert formula("xyz", ("LT", 2, 0), ("COND", 3, 0, 2)).used == (0, 2)
    assert formula("xy", ("EQ", 0, 0)).used == ()
    assert str(formula("xy", ("NEST", 0, 1))).count("x") > 1
    assert formula("xyz", ("MUL", 0, 1), ("DIV", 3, 1), nonzero=[1]).used == (0,)


@pytest.mark.parametrize("name", ["E", "I", "S", "N", "O", "Q", "beta", "lambda", "gamma", "pi2", "x", "Ångström", "β"])
def test_names_of_sympy_are_columns(name):
    found = formula([name, "y"], ("MUL", 0, 1), ("INC", 2), ("MUL", 3, 0))
    assert str(found) == f"{name}*({name}*y + 1)"
    column = sympy.Symbol(name)
    assert found.sympy() == column * (column * sympy.Symbol("y") + 1)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a b", "`a b`"), ("m/s", "`m/s`"), ("1st", "`1st`"), ("x{0}", "`x{0}`"), ("a`b", "`a``b`"), ("pi", "`pi`"),
     ("if", "`if`"), ("x²", "`x²`"), ("__import__('os')", "`__import__('os')`"), ("%s", "`%s`"), ("lambda", "lambda")],
)  # fmt: skip
def test_other_names_are_quoted(name, shown):
    found = formula([name, "x000000"], ("LT", 0, 1), ("MUL", 2, 0), ("ADD", 3, 1))
    assert str(found) == f"{shown}*({shown} < x000000) + x000000"
    assert found.structure() == f"ADD(MUL(LT({shown}, x000000), {shown}), x000000)"
    assert {symbol.name for symbol in found.sympy().free_symbols} == {name, "x000000"}
    assert quote(name) == shown
    assert found.latex()


def test_sympy_and_latex():
    m, v = sympy.symbols("m v")
    kinetic = formula("mv", ("MUL", 0, 1), ("MUL", 2, 1), constants=[0.5])
    assert kinetic.sympy() == 0.5 * m * v**2
    assert kinetic.latex() == "0.5 m v^{2}"
    a, b = sympy.symbols("a b")
    larger = formula("ab", ("GT", 0, 1), ("COND", 2, 0, 1), ("SQUARE", 3))
    assert larger.sympy().subs({a: 3, b: 2}) == 9
    assert larger.sympy().subs({a: 3, b: 4}) == 16
    assert larger.latex().startswith(r"\left(\begin{cases} a & \text{for}\: a > b")
    assert formula("ab", ("LTE", 0, 1)).sympy().subs({a: 1, b: 1}) == 1
    assert str(formula("ab", ("LOOP", "ADD", 1, -1, 0)).sympy()) == "LOOP(ADD, b, 0, a)"
    assert formula(["m_1 (kg)"], ("SQUARE", 0)).latex() == r"\text{m\_1 (kg)}^{2}"


def test_every_operation_has_text_or_a_call_form_and_most_have_a_sympy_meaning():
    known = {*ARITHMETIC_OF, *FUNCTION_OF, *RELATION_OF, *EXTREMUM_OF, "COND"}
    vanish = {"CONST", "NULL"}
    assert {p.name for p in ALL} - known - vanish == {"OR", "AND", "NOT", "LOOP", "WHILE", "ACCUM"}
    assert known <= set(BY_NAME)
    for p in ALL:
        heads = ["INC"] * HEADS.get(p.name, 0)
        values = {"LOOP": 2, "WHILE": 2, "ACCUM": 3}.get(p.name, p.arity)
        found = formula("abc", (p.name, *heads, *range(values)))
        assert str(found)
        assert found.structure().startswith(p.name + "(")
        assert found.latex()


@pytest.mark.parametrize(
    ("steps", "arity", "options", "expected"),
    [
        ([], 1, {}, "empty"),
        ([(99999, [0])], 1, {}, "no function with id 99999"),
        ([("ADD", 0)], 1, {}, "ADD takes 2 arguments, got 1"),
        ([("ADD", 0, 1)], 1, {}, "argument 1 of ADD"),
        ([("ADD", 0, -2)], 1, {}, "argument -2 of ADD"),
        ([("LOOP", "INC", 0)], 1, {}, "LOOP takes 2 arguments, got 1"),
        ([("INC", 0)], 2, {"names": ["a"]}, "2 different names"),
        ([("INC", 0)], 2, {"names": ["a", "a"]}, "2 different names"),
        ([("INC", 0)], 1, {"constants": [1, 2]}, "takes 1 constants"),
        ([("INC", 0)], 1, {"constants": [1], "const_mode": "cubic"}, "unknown const_mode"),
    ],
)
def test_refused(steps, arity, options, expected):
    known = [step for step in steps if isinstance(step[0], int)] or composition(STATE, *steps)
    with pytest.raises(ValueError, match=expected):
        Formula.from_composition(STATE, known, arity, **options)


def test_a_function_made_of_itself_is_refused():
    state = make_state()
    learn(state, "F", 1, ("INC", 0))
    own = max(state["metadata"])
    state["metadata"][own]["composition"] = [(own, [0])]
    with pytest.raises(ValueError, match="composed of itself"):
        Formula.from_composition(state, [(own, [0])], 1)


def test_enormous_formulas_print_at_once():
    start = time.perf_counter()
    squares = formula("x", *[("SQUARE", i) for i in range(60)])
    assert str(squares) == f"x**{2**60}"
    numbers = formula("x", ("ADD", 0, 0), *[("SQUARE", i) for i in range(1, 60)])
    assert "**" in str(numbers)
    power = formula("x", ("EQ", 0, 0), ("INC", 1), *[("POW", i, i) for i in range(2, 12)], ("POW", 0, 12))
    assert len(str(power)) < 2000
    doubling = formula("xy", *[("ADD" if i % 2 else "MUL", i, i + 1) for i in range(300)])
    assert len(str(doubling)) < 20_000
    assert str(doubling).startswith("t1 = x*y; t2 = y + t1; ")
    assert doubling.structure().startswith("t1 = MUL(x, y); t2 = ADD(y, t1); ")
    assert doubling.used == (0, 1)
    with pytest.raises(ValueError, match=str(ALGEBRA_LIMIT)):
        doubling.sympy()
    assert doubling.latex().startswith(r"\text{t1 = x*y; ")
    chain = formula("x", *[("INC", i) for i in range(3000)])
    assert len(str(chain)) < 100_000
    state = make_state()
    learn(state, "F0", 1, ("INC", 0), ("MUL", 1, 0))
    for i in range(40):
        learn(state, f"F{i + 1}", 1, (f"F{i}", 0), ("INC", 0), (f"F{i}", 2), ("MUL", 1, 3))
    nested = Formula.from_composition(state, composition(state, ("F40", 0), ("INC", 1)), 1)
    assert str(nested) == "F40(x0) + 1"
    assert time.perf_counter() - start < 5


def test_sympy_is_imported_when_needed_only():
    code = "import sys, nssr.formula, nssr.table; sys.exit('sympy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- never wrong -----------------------------------------------------------------------------------------------------


class NoValue(Exception):
    """A point that says nothing: a divisor is zero, or numbers too large or small for 50 digits to decide."""


def real(function):
    def meaning(inp):
        value = function(mpmath.mpf(inp[0]))
        return mpmath.nan if isinstance(value, mpmath.mpc) else value

    return meaning


def power(inp):
    base, exponent = mpmath.mpf(inp[0]), mpmath.mpf(inp[1])
    if exponent == 0 or base == 1:
        return mpmath.mpf(1)
    if mpmath.isnan(base) or mpmath.isnan(exponent) or (base < 0 and exponent != int(exponent)):
        return mpmath.nan
    if (base == 0 and exponent < 0) or abs(exponent) > 200:
        raise NoValue
    return base**exponent


def divide(inp):
    if inp[1] == 0:
        raise NoValue
    return mpmath.mpf(inp[0]) / inp[1]


FUNCTIONS = "SQRT EXP LOG SIN COS TAN ASIN ACOS ATAN SINH COSH TANH"
EXACT = {name: real(getattr(mpmath, name.lower())) for name in FUNCTIONS.split()}
EXACT |= {"PI": lambda inp: +mpmath.pi, "POW": power, "DIV": divide, "INV": lambda inp: divide([1, inp[0]])}


def apply(name, inputs, seen):
    """A primitive in 50 digits; ``seen`` collects the values on the way."""
    if name in ("EXP", "SINH", "COSH", "SIN", "COS", "TAN") and abs(inputs[0]) > 50:
        raise NoValue
    if name == "LOG" and inputs[0] == 0:
        raise NoValue
    value = EXACT[name](inputs) if name in EXACT else BY_NAME[name].meaning(inputs)
    seen.append(value)
    if abs(value) > 1e5 or 0 < abs(value) < 1e-8:
        raise NoValue
    return value


def run(steps, inputs, constants, const_mode, seen):
    values = list(inputs)
    for child, args in steps:
        meta = STATE["metadata"][child]
        given_values = [0 if i == -1 else values[i] for i in args]
        if meta["composition"] is None:
            values.append(apply(meta["name"], given_values, seen))
        else:
            values.append(run(meta["composition"], given_values, meta["constants"], meta["const_mode"], seen))
    result = values[-1]
    if constants and const_mode != "additive":
        result = result * mpmath.mpf(constants[0])
    if constants and const_mode != "multiplicative":
        result = result + mpmath.mpf(constants[-1])
    seen.append(result)
    return result


BINARY = {
    ast.Add: "ADD", ast.Sub: "SUB", ast.Mult: "MUL", ast.Div: "DIV", ast.Pow: "POW", ast.BitOr: "OR", ast.BitAnd: "AND",
    ast.Lt: "LT", ast.LtE: "LTE", ast.Gt: "GT", ast.GtE: "GTE", ast.Eq: "EQ", ast.NotEq: "NEQ",
}  # fmt: skip


def read(node, values):
    """The value of a printed formula: Python's grammar, the primitives' meanings."""
    match node:
        case ast.Constant():
            return node.value if isinstance(node.value, int) else mpmath.mpf(node.value)
        case ast.Name():
            return +mpmath.pi if node.id == "pi" else values[node.id]
        case ast.UnaryOp():
            value = read(node.operand, values)
            return -value if isinstance(node.op, ast.USub) else ~value
        case ast.IfExp():
            return read(node.body if read(node.test, values) != 0 else node.orelse, values)
        case ast.BinOp():
            name, inputs = BINARY[type(node.op)], [read(node.left, values), read(node.right, values)]
            if name == "POW" and all(isinstance(k, int) for k in inputs) and 0 <= inputs[1] < 100:
                return inputs[0] ** inputs[1]  # squares and cubes of ints are ints
        case ast.Compare():
            assert len(node.ops) == 1, "comparisons must not chain"
            name = BINARY[type(node.ops[0])]
            inputs = [read(node.left, values), read(node.comparators[0], values)]
        case ast.Call():
            name, inputs = node.func.id.upper(), [read(arg, values) for arg in node.args]
        case _:
            raise TypeError(ast.dump(node))
    return EXACT[name](inputs) if name in EXACT else BY_NAME[name].meaning(inputs)


OPERATIONS = [i for i, meta in STATE["metadata"].items() if meta["arity"] >= 0]
CONSTANTS = [
    (None, "multiplicative"),
    (None, "multiplicative"),
    ([0.5], "multiplicative"),
    ([-2.5], "multiplicative"),
    ([9.81], "multiplicative"),
    ([3.25], "additive"),
    ([-1.0], "additive"),
    ([1.5, -0.75], "affine"),
]
column_values = st.one_of(st.integers(-4, 5), st.integers(-40, 40).map(lambda k: mpmath.mpf(k) / 8))


@st.composite
def compositions(draw):
    arity = draw(st.integers(1, 3))
    steps: list[tuple[int, list[int]]] = []
    for _ in range(draw(st.integers(1, 10))):
        child = draw(st.sampled_from(OPERATIONS))
        n = arity + len(steps)
        recent = st.integers(max(0, n - 3), n - 1)
        args = [
            draw(st.one_of(recent, recent, st.integers(-1, n - 1))) for _ in range(STATE["metadata"][child]["arity"])
        ]
        steps.append((child, args))
    points = draw(st.lists(st.tuples(*[column_values] * arity), min_size=6, max_size=6))
    return arity, steps, draw(st.sampled_from(CONSTANTS)), draw(st.integers(0, 2)), points


NAMED = {meta["name"]: i for i, meta in STATE["metadata"].items()}


@settings(max_examples=200, deadline=None)
@given(compositions())
@example((2, [(NAMED["FDIV"], [0, 1]), (NAMED["LT"], [0, 2])], (None, "multiplicative"), 0, [(0, 0)] * 6))
def test_text_and_sympy_have_the_value_of_the_composition(case):
    arity, steps, (constants, const_mode), certainty, points = case
    found = Formula.from_composition(
        STATE,
        steps,
        arity,
        constants=constants,
        const_mode=const_mode,
        nonzero=range(arity) if certainty else (),
        divisors_nonzero=certainty == 2,
    )
    text = ast.parse(str(found))
    assert found.size > 0
    assert {n.id for n in ast.walk(text) if isinstance(n, ast.Name)} >= {f"x{i}" for i in found.used}
    for point in points:
        if certainty and 0 in point:
            continue
        seen: list[Any] = []
        with mpmath.workdps(50):
            try:
                expected = run(steps, point, constants, const_mode, seen)
            except (NoValue, TypeError):  # bits of a float
                continue
            if mpmath.isnan(expected):
                continue
            values = {f"x{i}": value for i, value in enumerate(point)}
            try:
                for line in text.body:
                    value = read(line.value, values)
                    if isinstance(line, ast.Assign):
                        values[line.targets[0].id] = value
            except NoValue:  # FDIV, which is printed as DIV is, makes NaN of 0/0, and a comparison 0 of that
                assert any(mpmath.isnan(v) for v in seen)
                continue
            tolerance = 1e-9 * max([1, *(abs(v) for v in seen if not mpmath.isnan(v))])  # 12 digits are printed
            assert abs(value - expected) <= tolerance
            if not any(mpmath.isnan(v) for v in seen) and found._algebra is not None:
                check_sympy(found.sympy(), point, expected, tolerance)


def check_sympy(expr, point, expected, tolerance):
    if expr.has(sympy.core.function.AppliedUndef):
        return
    exact = {
        sympy.Symbol(f"x{i}"): sympy.Rational(int(value * 8), 8)  # columns are eighths
        for i, value in enumerate(point)
    }
    value = expr.subs(exact).evalf(30)
    if not value.is_number or value.has(sympy.nan, sympy.zoo):
        return  # a divisor of sympy's own making, as in tan(acos(x)) at 0
    assert abs(complex(value) - complex(expected)) <= tolerance
