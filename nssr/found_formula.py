"""A formula that was found in measurements: a tree over named columns that can be printed, evaluated, kept and copied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nssr import engine
from nssr.explore.tree import Tree, columns, div, formulas, graph, number, numbers, with_numbers
from nssr.formula import Formula
from nssr.notation import EVERY_DIGIT


@dataclass(frozen=True)
class FoundFormula:
    """``tree`` over the columns ``names``; equal where both are, so it can be a key of a dict.

    ``str`` is a Python expression where the names are identifiers (others stand in backticks), simplified by algebra;
    its numbers have as many digits as it takes to read back the same floats.

    >>> from nssr.explore.tree import column, mul, number
    >>> formula = FoundFormula(mul(number(0.5), mul(column(1), mul(column(0), column(0)))), ("v", "m"))
    >>> str(formula), formula.size, formula.predict([[3.0, 2.0]]).tolist()
    ('0.5*m*v**2', 7, [9.0])
    """

    tree: Tree
    names: tuple[str, ...]

    def __str__(self) -> str:
        return str(self._formula)

    def __repr__(self) -> str:
        return f"<FoundFormula {self}>"

    def _repr_latex_(self) -> str:
        """What notebooks show."""
        return rf"$\displaystyle {self.latex()}$"

    @property
    def size(self) -> int:
        """Numbers, columns, operators and functions in the printed formula."""
        return self._formula.size

    @property
    def used(self) -> tuple[str, ...]:
        """The names of the columns that the printed formula depends on, in the order of the columns."""
        return tuple(self.names[i] for i in self._formula.used)

    def sympy(self) -> Any:
        """A sympy expression over ``Symbol(name)`` of the columns. ``ValueError`` beyond `nssr.formula.ALGEBRA_LIMIT` nodes."""
        return self._formula.sympy()

    def latex(self) -> str:
        return self._formula.latex()

    def mathml(self) -> str:
        return self._formula.mathml()

    def rounded(self, digits: int) -> FoundFormula:
        """The formula with every number rounded to so many significant digits. ``ValueError`` for fewer than one."""
        if digits < 1:
            raise ValueError(f"a number cannot be rounded to {digits} significant digits; it needs one at least")
        values = [float(f"{value:.{digits - 1}e}") for value in numbers(self.tree)]
        return FoundFormula(with_numbers(self.tree, values), self.names)

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """The formula on every row, float64 (rows,); infinite or NaN where it has no finite value (a division by zero).

        ``X`` is a DataFrame or a mapping that has the columns the formula reads, by name, or an array (rows, columns) with all
        columns in the order of ``names``. Raises ``ValueError`` where columns are missing or hold no real numbers.
        """
        if isinstance(X, Mapping) or hasattr(X, "columns"):
            columns_given, n_rows = self._by_name(X)
        else:
            array = np.asarray(X)
            if array.ndim != 2 or array.shape[1] != len(self.names):
                raise ValueError(
                    f"X must have two dimensions and {len(self.names)} columns ({', '.join(self.names)}), "
                    f"its shape is {array.shape}"
                )
            columns_given, n_rows = [array[:, i] for i in range(len(self.names))], len(array)
        if n_rows == 0:
            return np.empty(0)
        data = engine.Columns([*columns_given, np.zeros(n_rows)])  # one column at least, for a formula that reads none
        return np.asarray(formulas([_ieee(self.tree)]).predict(data)[0], dtype=np.float64)

    def _by_name(self, X: Any) -> tuple[list[npt.NDArray[Any]], int]:
        """The columns in the order of ``names``; zeros for those that the formula does not read."""
        present = {str(key): key for key in (X if isinstance(X, Mapping) else X.columns)}
        used = {self.names[i] for i in columns(self.tree)}
        missing = [name for name in self.names if name in used and name not in present]
        if missing:
            raise ValueError(f"X lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}, which the formula reads")
        given = {name: np.atleast_1d(np.asarray(X[present[name]])) for name in used}
        lengths = {len(values) for values in given.values()}
        if len(lengths) > 1:
            raise ValueError(f"the columns have different lengths: {sorted(lengths)}")
        rows_of_any = next(iter(X.values()), ()) if isinstance(X, Mapping) else X
        n_rows = lengths.pop() if lengths else len(rows_of_any)
        return [given[name] if name in given else np.zeros(n_rows) for name in self.names], n_rows

    @cached_property
    def _formula(self) -> Formula:
        # The search keeps no formula whose divisor is zero on a row, so what algebra cancels was never zero.
        return Formula.from_graph(graph(_plain(self.tree)), self.names, divisors_nonzero=True, digits=EVERY_DIGIT)

    def __reduce__(self) -> tuple[Any, ...]:
        return FoundFormula, (self.tree, self.names)  # without what is cached: sympy objects are large and slow to load


def _ieee(tree: Tree) -> Tree:
    """The tree with 1/x written as a division: INV alone is 0 at 0, which nobody who reads the formula would expect."""
    args = tuple(_ieee(arg) for arg in tree.args)
    return div(number(1), args[0]) if tree.op == "INV" else Tree(tree.op, args, tree.value)


def _plain(tree: Tree) -> Tree:
    """The tree as people write it: a power of one half is a root."""
    args = tuple(_plain(arg) for arg in tree.args)
    if tree.op == "POW" and args[1] == number(0.5):
        return Tree("SQRT", args[:1])
    return Tree(tree.op, args, tree.value)

