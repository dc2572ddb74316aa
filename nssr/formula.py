"""The formula that a composition stands for, in the names of a person's columns.

``Formula`` expands learned functions down to primitives, rewrites what is the same value on every row (``EQ(v, v)`` is
1, ``NULL`` is 0), and leaves the algebra to :mod:`nssr.algebra`. A formula is never wrong: where the composition has a
finite value, the text has the same one, except where a divisor named in ``nonzero`` is zero after all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nssr.db import check_constants
from nssr.notation import CALL, COLUMN, DIGITS, NUMBER, Node, Piece, never_nan, tree_size, write_graph
from nssr.primitives import (
    ARITHMETIC,
    BITWISE,
    BY_NAME,
    COMPARISON,
    DIVISION,
    EXTREMUM,
    ITERATION,
    REAL,
    SELECTION,
)
from nssr.schema import FUNCTION_ARGUMENTS, SET_ASIDE

if TYPE_CHECKING:
    from nssr.algebra import Algebra

Steps = Iterable[tuple[int, Sequence[int]]]

ALGEBRA_LIMIT = 150
"""Expressions of more nodes than this are printed as composed, without algebra, so that printing stays fast."""

_NO_ALGEBRA = (ValueError, TypeError, ArithmeticError, RecursionError, MemoryError)  # sympy's, of MIN(sqrt(-1), x) and its like
_EXPANSION_LIMIT = 10_000  # steps; beyond it learned functions stay calls, since nested ones can double at each layer
_MOST_ARGUMENTS = {"LOOP": 4, "WHILE": 4, "ACCUM": 5}


@dataclass(frozen=True)
class Formula:
    """One expression, ready to be shown; make it with :meth:`from_composition` or :meth:`from_graph`.

    ``graph`` is the expression with learned functions expanded and lightly rewritten, ``shape`` the composition as it
    is, with learned functions kept by name; the last node of each is the result.
    """

    composition: tuple[tuple[int, tuple[int, ...]], ...]
    arity: int
    names: tuple[str, ...]
    constants: tuple[float, ...] | None
    const_mode: str
    nonzero: frozenset[int] = field(repr=False)
    divisors_nonzero: bool = field(repr=False)
    graph: tuple[Node, ...] = field(repr=False)
    shape: tuple[Node, ...] = field(repr=False)
    digits: int = field(default=DIGITS, repr=False)

    @classmethod
    def from_composition(
        cls,
        state: Mapping[str, Any],
        composition: Steps,
        arity: int,
        *,
        names: Sequence[str] | None = None,
        constants: Sequence[float] | None = None,
        const_mode: str = "multiplicative",
        nonzero: Collection[int] = (),
        divisors_nonzero: bool = False,
    ) -> Formula:
        """The formula of ``composition`` over a registry's ``state``.

        ``names`` are the inputs' column names (``x0``, ``x1``, ... by default). ``nonzero`` holds the inputs that are
        zero on no row: only what depends on no other divisor is cancelled. ``divisors_nonzero`` says that no divisor at
        all is zero on any row, as formula searches make sure. Raises ``ValueError`` for unknown ids, indices out of
        range, wrong numbers of arguments or constants, and names that are too few or not different.
        """
        steps = tuple((int(child), tuple(int(i) for i in args)) for child, args in composition)
        if not steps:
            raise ValueError("the composition is empty; it needs at least one step")
        columns = tuple(names) if names is not None else tuple(f"x{i}" for i in range(arity))
        if len(columns) != arity or len(set(columns)) != arity:
            raise ValueError(f"{arity} different names are needed, one for each input, got {list(columns)}")
        numbers = check_constants(constants, const_mode)
        certain = frozenset(nonzero)
        build = _Builder(state, certain, divisors_nonzero)
        try:
            graph = build.graph(steps, arity, numbers, const_mode)
        except _TooLarge:
            graph = _Builder(state, certain, divisors_nonzero, expand=False).graph(steps, arity, numbers, const_mode)
        shape = _Builder(state, expand=False, rewrite=False).graph(steps, arity, None, const_mode)
        constants_kept = tuple(numbers) if numbers else None
        return cls(steps, arity, columns, constants_kept, const_mode, certain, divisors_nonzero, graph, shape)

    @classmethod
    def from_graph(
        cls,
        graph: Sequence[Node],
        names: Sequence[str],
        *,
        nonzero: Collection[int] = (),
        divisors_nonzero: bool = False,
        digits: int = DIGITS,
    ) -> Formula:
        """The formula of an expression graph over columns, numbers and primitives; its last node is the result.

        ``names`` are those of all columns, read or not. ``nonzero`` and ``divisors_nonzero`` are as in
        :meth:`from_composition`, ``digits`` the significant digits of a printed number. There is no composition then, and
        :meth:`structure` shows the graph as it was given. Raises ``ValueError`` for an empty graph, for arguments that are
        no earlier nodes, for columns without a name, unknown operations and names that are not different.
        """
        columns, shape = tuple(names), tuple(graph)
        if len(set(columns)) != len(columns):
            raise ValueError(f"the names must be different, got {list(columns)}")
        certain = frozenset(nonzero)
        rewritten = _Builder({"metadata": {}}, certain, divisors_nonzero).rewritten(shape, len(columns))
        return cls((), len(columns), columns, None, "multiplicative", certain, divisors_nonzero, rewritten, shape, digits)

    def __str__(self) -> str:
        return self._piece.text

    def structure(self) -> str:
        """The composition in the names of its functions, learned ones kept: ``ADD(KE(m, v), PE(m, h)) * 0.5``."""
        text = write_graph(self.shape, self.names, calls=True)[-1].text
        if not self.constants:
            return text
        numbers = [write_graph([Node(NUMBER, (), _plain(k))], ())[-1].text for k in self.constants]
        signs = {"multiplicative": "*", "additive": "+", "affine": "*+"}[self.const_mode]
        return text + "".join(f" {sign} {number}" for sign, number in zip(signs, numbers, strict=True))

    @property
    def size(self) -> int:
        """Numbers, columns, operators and functions in the printed formula: less is simpler."""
        return self._piece.size

    @property
    def used(self) -> tuple[int, ...]:
        """The inputs that the printed formula depends on, in order."""
        return tuple(sorted(self._piece.columns))

    def sympy(self) -> Any:
        """The formula as a sympy expression over ``Symbol(name)`` of the columns; see :mod:`nssr.symbolic`.

        Raises ``ValueError`` for formulas of more than ``ALGEBRA_LIMIT`` nodes.
        """
        from nssr import symbolic

        if self._algebra is None:
            raise ValueError(f"the formula has more than {ALGEBRA_LIMIT} nodes, too many for algebra; print its text")
        return symbolic.expression(self._algebra)

    def latex(self) -> str:
        """The formula in LaTeX; one of more than ``ALGEBRA_LIMIT`` nodes is its text, set as such."""
        from nssr import symbolic

        return self._set(symbolic.latex, symbolic.latex_text)

    def mathml(self) -> str:
        """The formula in presentation MathML, which browsers render; one of more than ``ALGEBRA_LIMIT`` nodes is its text."""
        from nssr import symbolic

        return self._set(symbolic.mathml, symbolic.mathml_text)

    def _set(self, as_algebra: Callable[[Algebra], str], as_text: Callable[[str], str]) -> str:
        if self._algebra is not None:
            with suppress(*_NO_ALGEBRA):
                return as_algebra(self._algebra)
        return as_text(str(self))

    @cached_property
    def _algebra(self) -> Algebra | None:
        if tree_size(self.graph) > ALGEBRA_LIMIT:
            return None
        from nssr.algebra import Algebra

        return Algebra(self.graph, self.names, self.nonzero, self.divisors_nonzero, self.digits)

    @cached_property
    def _piece(self) -> Piece:
        composed = write_graph(self.graph, self.names, digits=self.digits)[-1]
        simplified = self._algebra.piece() if self._algebra is not None else None
        return composed if simplified is None or composed.size < simplified.size else simplified


class _TooLarge(Exception):
    """Expanding the learned functions would take too many steps."""


class _Builder:
    """Nodes of one expression: each different one once, arguments before their users.

    With ``rewrite`` a node is replaced where its value is known on every row. These rewrites are exact, so they may
    stand anywhere, even inside comparisons, which algebra (true of real numbers, not of rounded ones) may not enter.
    """

    def __init__(
        self,
        state: Mapping[str, Any],
        nonzero: frozenset[int] = frozenset(),
        divisors_nonzero: bool = False,
        *,
        expand: bool = True,
        rewrite: bool = True,
    ) -> None:
        self._metadata: Mapping[int, Mapping[str, Any]] = state["metadata"]
        self._nonzero, self._divisors_nonzero = nonzero, divisors_nonzero
        self._expand, self._rewrite = expand, rewrite
        self._nodes: list[Node] = []
        self._sure: list[bool] = []
        self._index: dict[Node, int] = {}
        self._steps = 0

    def graph(self, steps: Steps, arity: int, constants: Sequence[float] | None, mode: str) -> tuple[Node, ...]:
        """The nodes that the result depends on; it is the last one."""
        inputs = [self._add(Node(COLUMN, (), i)) for i in range(arity)]
        return self._needed(self._run(steps, inputs, constants, mode, ()))

    def rewritten(self, graph: Sequence[Node], n_columns: int) -> tuple[Node, ...]:
        """A graph that is there already, with the same rewrites."""
        if not graph:
            raise ValueError("the graph is empty; it needs at least one node")
        places: list[int] = []
        for i, node in enumerate(graph):
            if not all(0 <= j < i for j in node.args):
                raise ValueError(f"node {i} ({node.op}): its arguments {node.args} are no earlier nodes")
            if node.op == COLUMN and not 0 <= node.value < n_columns:
                raise ValueError(f"node {i}: there is no column {node.value}, only {n_columns} names")
            args = tuple(places[j] for j in node.args)
            if node.op == NUMBER:
                places.append(self._number(node.value))
            elif node.op == COLUMN:
                places.append(self._add(node))
            elif node.op not in BY_NAME or BY_NAME[node.op].arity != len(args):
                raise ValueError(f"node {i}: no operation {node.op!r} over {len(args)} arguments is known")
            else:
                places.append(self._operation(node.op, args))
        return self._needed(places[-1])

    def _needed(self, result: int) -> tuple[Node, ...]:
        needed = {result}
        for i in range(result, -1, -1):
            if i in needed:
                needed.update(self._nodes[i].args)
        place = {old: new for new, old in enumerate(sorted(needed))}
        return tuple(
            Node(node.op, tuple(place[j] for j in node.args), node.value)
            for node in (self._nodes[i] for i in sorted(needed))
        )

    def _run(
        self, steps: Steps, inputs: list[int], constants: Sequence[float] | None, mode: str, inside: tuple[int, ...]
    ) -> int:
        values = list(inputs)
        for child, args in steps:
            self._steps += 1
            if self._expand and self._steps > _EXPANSION_LIMIT:
                raise _TooLarge
            values.append(self._step(child, args, values, inside))
        result = values[-1]
        if constants:
            result = self._operation("ADD" if mode == "additive" else "MUL", (result, self._number(constants[0])))
        if constants and mode == "affine":
            result = self._operation("ADD", (result, self._number(constants[1])))
        return result

    def _step(self, child: int, args: Sequence[int], values: list[int], inside: tuple[int, ...]) -> int:
        meta = self._meta(child)
        name = str(meta["name"]) if meta["composition"] is not None else str(meta["name"]).removeprefix(SET_ASIDE)
        if meta["composition"] is not None:
            if child in inside:
                raise ValueError(f"the function {name!r} (id {child}) is composed of itself")
            operands = self._operands(name, args, values, meta["arity"])
            if not self._expand:
                return self._add(Node(CALL, operands, name))
            mode = meta.get("const_mode") or "multiplicative"
            constants = check_constants(meta.get("constants"), mode)
            return self._run(meta["composition"], list(operands), constants, mode, (*inside, child))
        if name not in BY_NAME:
            raise ValueError(f"there is no primitive {name!r} (id {child})")
        if BY_NAME[name].rule == ITERATION:
            split = FUNCTION_ARGUMENTS[name]
            functions = tuple(str(self._meta(i)["name"]) for i in args[:split])
            args = args[: _MOST_ARGUMENTS[name]]
            least = 3 if name == "LOOP" else _MOST_ARGUMENTS[name]
            operands = self._operands(name, args[split:], values, max(least, len(args)) - split)
            return self._add(Node(name, operands, functions))
        return self._operation(name, self._operands(name, args, values, BY_NAME[name].arity))

    def _meta(self, child: int) -> Mapping[str, Any]:
        if child not in self._metadata:
            raise ValueError(f"there is no function with id {child}")
        return self._metadata[child]

    def _operands(self, name: str, args: Sequence[int], values: list[int], arity: int) -> tuple[int, ...]:
        """The nodes that a step is given; surplus arguments are dropped, as the registry drops them."""
        if len(args) < arity:
            raise ValueError(f"{name} takes {arity} arguments, got {len(args)}")
        for i in args[:arity]:
            if not -1 <= i < len(values):
                raise ValueError(
                    f"argument {i} of {name} is no index of the {len(values)} values before it, and not -1"
                )
        return tuple(self._number(0) if i == -1 else values[i] for i in args[:arity])

    def _number(self, value: float) -> int:
        return self._add(Node(NUMBER, (), _plain(value)))

    def _add(self, node: Node) -> int:
        if node not in self._index:
            self._index[node] = len(self._nodes)
            self._nodes.append(node)
            self._sure.append(never_nan(node, self._sure))
        return self._index[node]

    def _operation(self, name: str, args: tuple[int, ...]) -> int:
        """The node of a primitive over ``args``, or a simpler one of the same value."""
        if not self._rewrite:
            return self._add(Node(name, args))
        if name == "CONST":
            return args[0]
        if name == "NULL":
            return self._number(0)
        numbers = [self._nodes[i].value if self._nodes[i].op == NUMBER else None for i in args]
        if all(k is not None for k in numbers):
            value = _fold(name, numbers)
            return self._add(Node(name, args)) if value is None else self._number(value)
        if name == "COND":
            if numbers[0] is not None or args[1] == args[2]:
                return args[2] if numbers[0] == 0 else args[1]
        elif len(args) == 2:
            simpler = self._same(name, args[0]) if args[0] == args[1] else self._with_number(name, args, numbers)
            if simpler is not None:
                return simpler
        return self._add(Node(name, args))

    def _same(self, name: str, arg: int) -> int | None:
        """The value of a primitive over twice the same argument, where it is known."""
        if name in ("MIN", "MAX", "AND", "OR"):
            return arg
        if name in ("LT", "GT"):
            return self._number(0)
        if name == "DIV":
            node = self._nodes[arg]
            certain = self._divisors_nonzero or (node.op == COLUMN and node.value in self._nonzero)
            return self._number(1) if certain and self._sure[arg] else None
        if name in ("EQ", "LTE", "GTE", "NEQ", "SUB") and self._sure[arg]:
            return self._number(0 if name in ("NEQ", "SUB") else 1)
        return None

    def _with_number(self, name: str, args: tuple[int, ...], numbers: list[Any]) -> int | None:
        """The value of a binary primitive of which one argument is 0 or 1, where that says it."""
        for i, (arg, number) in enumerate(zip(args, numbers, strict=True)):
            other = args[1 - i]
            right = i == 1
            if number == 0 and (name in ("ADD", "OR") or (name == "SUB" and right)):
                return other
            if number == 1 and (name == "MUL" or (name in ("DIV", "POW") and right)):
                return other
            if number == 0 and (name == "DIV" and right):  # as documented
                return arg
            if number == 0 and (name == "MUL" or (name == "DIV" and not right)) and self._sure[other]:
                return arg
        return None


def _plain(value: float) -> int | float:
    """A float that is a whole number as an int: it prints shorter and algebra with it is exact."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _fold(name: str, numbers: list[Any]) -> int | float | None:
    """The value of a primitive over numbers, unless it is exact only as a fraction, a root or another function."""
    primitive = BY_NAME[name]
    whole = all(isinstance(k, int) for k in numbers)
    if primitive.meaning is None or not numbers or (primitive.rule == REAL and whole and name != "POW"):
        return None
    if primitive.rule not in (ARITHMETIC, BITWISE, COMPARISON, DIVISION, EXTREMUM, REAL, SELECTION):
        return None
    try:
        value = primitive.meaning(numbers)
    except (TypeError, OverflowError, ValueError):
        return None
    if isinstance(value, int):
        return value if value.bit_length() <= 256 else None
    if not math.isfinite(value) or (whole and not value.is_integer()):
        return None
    return _plain(value)
