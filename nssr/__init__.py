"""NSSR: formulas and programs out of examples. See README.md; `nssr.engine` is the part that other tools embed."""

__version__ = "0.1.0"
