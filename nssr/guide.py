"""What any prior over programs must offer to the searches, and the priors that need no training.

A `Guide` says how likely each function is in each place of a composition. The guided search turns that into an order; the
formula search turns it into costs. A guide orders, it never forbids: every prior here gives every function a chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

COMPOSITIONS = ("none", "sequential", "nested", "parallel")


class SlotScores(NamedTuple):
    """Natural-log probabilities. ``primary``, ``secondary``, ``tertiary``: float64 (n_functions,); ``composition``: (4,)."""

    primary: npt.NDArray[np.float64]
    secondary: npt.NDArray[np.float64]
    tertiary: npt.NDArray[np.float64]
    composition: npt.NDArray[np.float64]


class Guide(Protocol):
    """A prior over the places of a composition. Each call may think on and answer anew."""

    def slot_scores(self, n_functions: int) -> SlotScores:
        """Scores for functions 0 .. n_functions-1."""


class UniformGuide:
    """Every function and every composition type alike."""

    def slot_scores(self, n_functions: int) -> SlotScores:
        flat = np.full(n_functions, -np.log(max(n_functions, 1)))
        return SlotScores(flat, flat, flat, np.full(len(COMPOSITIONS), -np.log(len(COMPOSITIONS))))


class UnigramGuide:
    """How often the library's own compositions use each function, with one count added for each (Laplace's rule)."""

    def __init__(self, metadata: Mapping[int, Mapping[str, Any]]) -> None:
        counts = np.ones(max(metadata, default=-1) + 1)
        for entry in metadata.values():
            for child, _ in entry.get("composition") or ():
                counts[child] += 1.0
        self._log = np.log(counts / counts.sum())

    def slot_scores(self, n_functions: int) -> SlotScores:
        known = self._log[:n_functions]
        if len(known) < n_functions:
            known = np.concatenate([known, np.full(n_functions - len(known), self._log.min())])
        return SlotScores(known, known, known, np.full(len(COMPOSITIONS), -np.log(len(COMPOSITIONS))))


def mixed(trained: SlotScores, prior: SlotScores, share: float) -> SlotScores:
    """Slot by slot ``(1 - share) * trained + share * prior``, so that no candidate falls far below the prior."""
    pairs = zip(trained, prior, strict=True)
    return SlotScores(*(np.logaddexp(np.log1p(-share) + a, np.log(share) + b) for a, b in pairs))


def costs(guide: Guide, names: Sequence[str]) -> dict[str, float]:
    """What a formula search takes for the rarity of each function: -log2 of its probability in any place, in bits.

    ``names`` are those of functions 0, 1, ...; the three places of a composition count alike. Raises ``ValueError`` for a
    guide whose scores are not one number per function.
    """
    slots = np.array(guide.slot_scores(len(names))[:3], dtype=np.float64)
    if slots.shape != (3, len(names)) or np.isnan(slots).any():
        raise ValueError(f"the guide must give {len(names)} numbers for each of three places, it gave an array {slots.shape}")
    bits = (np.log(3.0) - np.logaddexp.reduce(slots, axis=0)) / np.log(2.0)
    return dict(zip(names, bits.tolist(), strict=True))
