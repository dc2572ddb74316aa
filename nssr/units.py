"""Units of columns as dimensions: exponents of base dimensions, which a formula must bring together rightly.

Units are read by pint, which is loaded on first use. A number in a formula has no dimension, as the search sees it, so a
constant of nature that belongs into the law should be a column. Scales play no part: km and m are both lengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

from nssr.explore.problem import Dimension
from nssr.operation_names import suggestion

_LARGEST_DENOMINATOR = 1000  # pint holds exponents as floats: 0.333... stands for a third
_NONE = {"", "1", "-"}


@cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry()


def dimensionality(unit: str) -> dict[str, Fraction]:
    """``{"[length]": 1, "[time]": -1}`` for "m/s"; empty for "", "1", "-", "dimensionless", angles and plain numbers.

    Raises ``ValueError`` for text that pint cannot read and for names that it does not know.
    """
    if not isinstance(unit, str):
        raise ValueError(f"A unit is given as text, such as 'm/s', not as {unit!r}.")
    if unit.strip() in _NONE:
        return {}
    import pint

    try:
        found = _registry().parse_units(unit).dimensionality
    except pint.UndefinedUnitError as error:
        raise ValueError(f"There is no unit {unit!r}: {error}.") from None
    except Exception as error:  # pint reads by a parser of its own, which raises what it happens to meet
        raise ValueError(f"The unit {unit!r} cannot be read: {error}.") from None
    return {name: Fraction(power).limit_denominator(_LARGEST_DENOMINATOR) for name, power in found.items()}


def dimensions(
    units: Mapping[str, str], names: Sequence[str], target: str | None = None
) -> tuple[tuple[Dimension, ...], Dimension]:
    """The dimensions of the columns ``names`` and of the target, over the base dimensions that occur in any of them.

    ``units`` has an entry for every column, and one for the target: under its own name ``target``, or under "y" where it has
    none. A column that is forgotten would forbid right formulas in silence if it counted as a plain number, so that is an
    error; "" says that a column is a plain number. Raises ``ValueError`` for missing and surplus names and unknown units.
    """
    key = target if target is not None and target in units else "y"
    if key in names:
        raise ValueError(
            f"units[{key!r}] is that of a column, so the target's unit has no name: give y as a pandas Series with a name of "
            "its own, and the unit under that name."
        )
    missing = [name for name in (*names, key) if name not in units]
    if missing:
        shown = ", ".join(map(repr, missing))
        raise ValueError(f'units lacks {shown}: with units, every column and the target need one ("" for a plain number).')
    for name in units:
        if name != key and name not in names:
            raise ValueError(f"units names {name!r}, which is no column.{suggestion(name, [*names, key])}")
    found = []
    for name in (*names, key):
        try:
            found.append(dimensionality(units[name]))
        except ValueError as error:
            raise ValueError(f"units[{name!r}]: {error}") from None
    bases = sorted({base for dimension in found for base in dimension})
    vectors = [tuple(dimension.get(base, Fraction(0)) for base in bases) for dimension in found]
    return tuple(vectors[:-1]), vectors[-1]
