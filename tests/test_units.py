"""Units as dimensions, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest

from nssr.units import dimensionality, dimensions


@pytest.mark.parametrize("unit", ["", "1", "-", "dimensionless", "radian", "degree", "percent"])
def test_plain_numbers_have_no_dimension(unit: str) -> None:
    assert dimensionality(unit) == {}


def test_dimensions_are_exact() -> None:
    assert dimensionality("J") == dimensionality("kg*m**2/s^2") == {"[mass]": 1, "[length]": 2, "[time]": -2}
    assert dimensionality("m**0.5") == {"[length]": Fraction(1, 2)}
    assert dimensionality("Pa ** (1/3)")["[length]"] == Fraction(-1, 3)
    assert dimensionality("degC") == dimensionality("K")


def test_columns_and_target_share_base_dimensions() -> None:
    of_columns, of_target = dimensions({"m": "kg", "v": "km/h", "y": "J", "n": ""}, ["m", "v", "n"])
    assert of_columns == ((0, 1, 0), (1, 0, -1), (0, 0, 0))  # length, mass, time
    assert of_target == (2, 1, -2)
    assert all(isinstance(power, Fraction) for power in (*of_target, *of_columns[0]))
    assert dimensions({"a": "", "y": ""}, ["a"]) == (((),), ())


def test_the_target_goes_by_its_name_or_as_y() -> None:
    named = dimensions({"m": "kg", "E": "J"}, ["m"], "E")
    assert named == dimensions({"m": "kg", "y": "J"}, ["m"], "E") == dimensions({"m": "kg", "y": "J"}, ["m"])
    assert dimensions({"y": "m", "E": "J"}, ["y"], "E")[1] == dimensions({"x": "m", "y": "J"}, ["x"])[1]


@pytest.mark.parametrize(
    ("units", "names", "words"),
    [
        ({"m": "kg", "y": "J"}, ["m", "v"], "units lacks 'v'"),
        ({"m": "kg"}, ["m"], "units lacks 'y'"),
        ({"mass": "kg", "mas": "kg", "y": "J"}, ["mass"], "'mas', which is no column. Did you mean 'mass'"),
        ({"m": "kgg", "y": "J"}, ["m"], r"units\['m'\]: There is no unit 'kgg'"),
        ({"m": "kg**", "y": "J"}, ["m"], r"units\['m'\]: The unit 'kg\*\*' cannot be read"),
        ({"m": 3, "y": "J"}, ["m"], "given as text"),
        ({"y": "J"}, ["y"], "give y as a pandas Series"),
    ],
)
def test_what_is_refused(units: dict[str, str], names: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dimensions(units, names)
