"""What a TRM has to beat: networks of equal size that think only once, and a TRM that is shown wrong outputs.

Each takes the same features and has the same heads, so one trainer and one evaluation serve all. `DeepSets` (M. Zaheer et al.,
arXiv 1703.06114): the same two layers for every example, mean and maximum over them, two layers more. `OnePass`: a transformer
whose layers are all different and applied once, as many as the TRM applies.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nssr.dream_training import Batch, DreamStream
from nssr.encoding import CLIP
from nssr.model import FUNCTION_HEADS, N_COMPOSITIONS, TRM, Carry, _Block, _unit_rms


class _Once(nn.Module):
    """Features to a vector per task, by one pass; the interface is that of `TRM`."""

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, *, input_dim: int, seq_len: int, d_model: int, width: int, n_functions: int) -> None:
        super().__init__()
        self.input_dim, self.seq_len, self.d_model, self.n_functions = input_dim, seq_len, d_model, n_functions
        self._present = input_dim - 2
        self.is_compiled = False
        for name in FUNCTION_HEADS:
            self.add_module(f"{name}_head", nn.Linear(width, n_functions))
        self.composition_head = nn.Linear(width, N_COMPOSITIONS)
        self.halt_head = nn.Linear(width, 1)
        self.register_buffer("feature_mean", torch.zeros(input_dim))
        self.register_buffer("feature_std", torch.ones(input_dim))

    set_feature_statistics = TRM.set_feature_statistics

    @property
    def device(self) -> torch.device:
        return self.feature_mean.device

    def summary(self, features: Tensor, present: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, carry: Carry, x: Tensor) -> tuple[Carry, dict[str, Tensor]]:
        present = (x[..., self._present] > 0.5).to(x.dtype)[..., None]
        features = ((x - self.feature_mean) / self.feature_std).clamp(-CLIP, CLIP)
        pooled = self.summary(features, present)
        outputs = {f"{name}_logits": getattr(self, f"{name}_head")(pooled) for name in FUNCTION_HEADS}
        outputs |= {"composition_logits": self.composition_head(pooled), "halt_logits": self.halt_head(pooled)}
        return Carry(carry.y, carry.z, carry.steps + 1, carry.halted), outputs


class DeepSets(_Once):
    """``d_model`` units a layer; 288 has the size of a TRM of 128."""

    def __init__(self, *, d_model: int = 288, **sizes: Any) -> None:
        super().__init__(d_model=d_model, width=d_model, **sizes)
        self.each = nn.Sequential(
            nn.Linear(self.input_dim, d_model), nn.GELU(), nn.Linear(d_model, d_model), nn.GELU(), nn.Linear(d_model, d_model)
        )
        self.all = nn.Sequential(nn.Linear(2 * d_model, d_model), nn.GELU(), nn.Linear(d_model, d_model), nn.GELU())

    def summary(self, features: Tensor, present: Tensor) -> Tensor:
        h = self.each(features)
        mean = (h * present).sum(1) / present.sum(1).clamp(min=1.0)
        most = h.masked_fill(present < 0.5, -1e4).amax(1)
        return self.all(torch.cat([mean, most], dim=-1))


class OnePass(_Once):
    def __init__(self, *, d_model: int = 128, n_layers: int = 6, n_heads: int = 8, **sizes: Any) -> None:
        super().__init__(d_model=d_model, width=d_model, **sizes)
        self.project = nn.Sequential(nn.Linear(self.input_dim, d_model), nn.GELU(), nn.Linear(d_model, d_model))
        self.blocks = nn.ModuleList(_Block(d_model, n_heads, 4 * d_model, 0.0) for _ in range(n_layers))

    def summary(self, features: Tensor, present: Tensor) -> Tensor:
        h = _unit_rms(self.project(features)) * present
        mask = (present[..., 0] > 0.5)[:, None, None, :]
        for block in self.blocks:
            h = block(h, mask)
        h = _unit_rms(h)
        return (h * present).sum(1) / present.sum(1).clamp(min=1.0)


class ShuffledStream(DreamStream):
    """Dreams whose features are those of one task and whose answers those of another: nothing is left to learn but how often."""

    def take(self, n: int) -> Batch:
        batch = super().take(n)
        return Batch(batch.x, batch.solvers[torch.from_numpy(self.rng.permutation(n))])
