"""Guides as they are given away: weights in a safetensors file, and a card in JSON that says what they are.

The guide that comes with NSSR lies in `nssr/weights`. It knows functions by name: in a library with other functions, or with the
same ones in another order, the rows of its heads are put where those names are, and a function it never heard of gets the
mean of all rows, neither favoured nor excluded. No file here can run code: safetensors holds numbers, JSON holds text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nssr.encoding import ENCODING_VERSION
from nssr.errors import UserError

if TYPE_CHECKING:
    from nssr.model import TRM

FORMAT = "nssr-pretrained-guide"
FORMAT_VERSION = 1
SHIPPED = Path(__file__).parent / "weights" / "guide.safetensors"


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A model, the names of the functions that its heads know, and its card."""

    model: TRM
    vocabulary: tuple[str, ...]
    card: Mapping[str, Any]


def card_path(path: str | os.PathLike[str]) -> Path:
    return Path(path).with_suffix(".json")


def save(path: str | os.PathLike[str], model: TRM, vocabulary: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Writes weights to ``path`` and their card beside it, each whole or not at all. ``facts``: plain values for the card."""
    from safetensors.torch import save as to_bytes

    from nssr.checkpoint import replacing

    path = Path(path)
    if len(vocabulary) != model.n_functions:
        raise ValueError(f"the model has {model.n_functions} functions and the vocabulary {len(vocabulary)}")
    card = {
        "format": FORMAT, "format_version": FORMAT_VERSION, "encoding_version": ENCODING_VERSION,
        "reading": model.reading, "settings": model.settings, "vocabulary": list(vocabulary), **facts,
    }  # fmt: skip
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for place, content in (
        (path, to_bytes(tensors, {"format": FORMAT})),
        (card_path(path), json.dumps(card, indent=1).encode() + b"\n"),
    ):
        with replacing(place) as file:
            file.write(content)


def load(path: str | os.PathLike[str] | None = None) -> Pretrained:
    """The guide at ``path`` (default: NSSR's own), in eval mode.

    UserError, in one line, for what is missing, damaged, foreign or of another encoding.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    from nssr.model import create_model

    path = SHIPPED if path is None else Path(path)
    try:
        content, text = path.read_bytes(), card_path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UserError(f"{card_path(path)} is damaged: it is no text") from None
    try:
        card = json.loads(text)
    except ValueError:
        raise UserError(f"{card_path(path)} is damaged: it is no JSON") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT or card.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{card_path(path)} is no card of a guide that this NSSR reads")
    if card.get("encoding_version") != ENCODING_VERSION:
        raise UserError(
            f"{path} was trained on encoding {card.get('encoding_version')} of the examples, this NSSR has {ENCODING_VERSION}"
        )
    try:
        tensors = from_bytes(content)
    except (SafetensorError, ValueError) as error:
        raise UserError(f"{path} is damaged or no safetensors file") from error
    try:
        vocabulary = tuple(str(name) for name in card["vocabulary"])
        model = create_model(reading=card.get("reading", "tokens"), **card["settings"])
        if len(vocabulary) != model.n_functions:
            raise ValueError("its vocabulary is not that of its heads")
        model.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, UserError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:150]
        raise UserError(f"{path} does not fit its card: {first}") from error
    return Pretrained(model.train(False), vocabulary, card)


def fitted_to(guide: Pretrained, names: Sequence[str]) -> TRM:
    """A copy of the model whose heads are those of a library with these functions, by name."""
    import torch

    from nssr.model import FUNCTION_HEADS

    model = type(guide.model)(**{**guide.model.settings, "n_functions": len(names)}).train(False)
    known = {name: k for k, name in enumerate(guide.vocabulary)}
    places = torch.tensor([known.get(name, -1) for name in names])
    state = dict(guide.model.state_dict())
    for head in FUNCTION_HEADS:
        for part in ("weight", "bias"):
            rows = state[f"{head}_head.{part}"]
            placed = rows[places.clamp(min=0)].clone()
            placed[places < 0] = rows.mean(dim=0)
            state[f"{head}_head.{part}"] = placed
    model.load_state_dict(state)
    return model


def prior(guide: Pretrained, names: Sequence[str]) -> Any:
    """How often its dreams' answers held each function in each slot, as `SlotScores`: what a guide has to beat."""
    from nssr.guide import SlotScores

    known = {name: k for k, name in enumerate(guide.vocabulary)}
    scores = []
    for slot in ("primary", "secondary", "tertiary"):
        counts = np.array(guide.card["label_counts"][slot], dtype=np.float64)
        row = np.array([counts[known[name]] if name in known else counts.mean() for name in names]) + 1.0
        scores.append(np.log(row / row.sum()))
    kinds = np.array(guide.card["label_counts"]["composition"], dtype=np.float64) + 1.0
    first, second, third = scores
    return SlotScores(first, second, third, np.log(kinds / kinds.sum()))
