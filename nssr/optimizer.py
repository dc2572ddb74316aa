"""What trains the weights and what must survive when the vocabulary grows: the optimizer and the averaged copy.

Optimizers hold tensors, and growing a head replaces them; :func:`grow` does both sides at once, so that no discovery
costs the moments gathered before. Tasks, targets and losses are not known here.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from .model import TRM, resize_heads
from .muon import Muon


class EMA:
    """Exponential moving average of a model's weights, which the search uses: ``ema.model``, in eval mode.

    The decay grows from 0.1 to ``decay``, min(decay, (t + 1) / (t + 10)), so that a short run is not an average of the
    initial weights. Without it the paper's accuracy fell from 87 to 80 %.
    """

    def __init__(self, model: TRM, decay: float = 0.999) -> None:
        self.decay = decay
        self.step = 0
        self.model = copy.deepcopy(model).train(False).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: TRM) -> None:
        """Move towards ``model``; heads that grew since the last call grow here too."""
        resize_heads(self.model, self.model.n_functions, model.n_functions)
        self.model.requires_grad_(False)
        decay = min(self.decay, (self.step + 1) / (self.step + 10))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1.0 - decay)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
        self.step += 1

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "decay": self.decay, "model": self.model.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved average; its heads must have the size of these."""
        self.model.load_state_dict(state["model"])
        self.step, self.decay = int(state["step"]), float(state["decay"])


def make_optimizer(model: TRM, lr: float = 1e-3, *, weight_decay: float = 0.1) -> torch.optim.AdamW:
    """AdamW with the paper's betas (0.9, 0.95). Decay is for matrices: not for biases, norms, positions and start
    states."""
    matrices = [p for p in model.parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), fused=True)


MATRIX_RATE = 7.5
"""The learning rate of Muon's matrices, in units of that of the rest."""


def make_muon(model: TRM, lr: float = 4e-3, *, weight_decay: float = 0.05) -> Muon:
    """The optimizer of a long training: Muon for the matrices inside the network, AdamW for the one that reads features, the
    heads, and all vectors."""
    named = list(model.named_parameters())
    heads = [p for name, p in named if name.endswith("_head.weight")]
    first, *hidden = [p for name, p in named if p.ndim == 2 and not name.endswith("_head.weight")]
    groups: list[dict[str, Any]] = [
        {"params": hidden, "orthogonal": True, "lr": MATRIX_RATE * lr, "weight_decay": weight_decay},
        {"params": [first, *heads], "weight_decay": weight_decay},
        {"params": [p for _, p in named if p.ndim != 2], "weight_decay": 0.0},
    ]
    return Muon(groups, lr=lr)


def grow(model: TRM, optimizer: torch.optim.Optimizer, new_n: int, *, ema: EMA | None = None) -> torch.optim.Optimizer:
    """Give the heads ``new_n`` functions and return a new optimizer of the same kind that carries on with the old
    moments.

    Starting Adam anew at every discovery would throw away what it knows about all other weights. Where nothing grows,
    the optimizer given is returned.
    """
    before = dict(model.named_parameters())
    if new_n <= model.n_functions:
        return optimizer
    resize_heads(model, model.n_functions, new_n)
    if ema is not None:
        resize_heads(ema.model, ema.model.n_functions, new_n)
        ema.model.requires_grad_(False)
    after = dict(model.named_parameters())
    return resize_optimizer(optimizer, [(before[name], after[name]) for name in before])


def resize_optimizer(
    optimizer: torch.optim.Optimizer, replaced: Iterable[tuple[Tensor, Tensor]]
) -> torch.optim.Optimizer:
    """A new optimizer over the new tensors of the pairs (old, new), with the old one's settings and state.

    New rows of a first moment start at zero. Those of a second moment start at the mean over the known rows: with
    zeros, and a bias correction that has long faded, their first steps would be several times too large.
    """
    new_of = dict(replaced)
    groups = [{**g, "params": [new_of.get(p, p) for p in g["params"]]} for g in optimizer.param_groups]
    kind: Callable[..., torch.optim.Optimizer] = type(optimizer)
    accepted = inspect.signature(kind).parameters
    rebuilt = kind(groups, **{k: v for k, v in optimizer.defaults.items() if k in accepted})
    for old, state in optimizer.state.items():
        new = new_of.get(old, old)
        rebuilt.state[new] = {key: _padded(key, value, old, new) for key, value in state.items()}
    return rebuilt


def _padded(key: str, value: Any, old: Tensor, new: Tensor) -> Any:
    if not isinstance(value, Tensor):
        return value
    if value.shape != old.shape or old.shape == new.shape:
        return value.clone()
    grown = value.new_zeros(new.shape)
    if "sq" in key:
        grown += value.mean(dim=0)
    grown[: len(value)] = value
    return grown
