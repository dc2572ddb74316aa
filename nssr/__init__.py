"""NSSR: formulas and programs out of examples. See README.md; `nssr.engine` is the part that other tools embed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nssr.regressor import NSSRRegressor

__all__ = ["NSSRRegressor", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "NSSRRegressor":  # loads scikit-learn, which most who import nssr do not need
        from nssr.regressor import NSSRRegressor

        return NSSRRegressor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
