"""Examples read as a set: every row through the same small network, then statistics over the rows, then one token.

After DeepSets (M. Zaheer et al., arXiv 1703.06114). What a row costs is two layers, where attention between rows costs every
layer of every recursion for every row; a task costs a fifth, so the guide sees five times as many dreams in the same time.

Beside the features of :mod:`nssr.encoding` the first layer gets what programs are made of: the logarithm, square, inverse,
root, exponential, sine, cosine and hyperbolic tangent of every column and of the output. A sum of two functions is then a linear
relation between features, and so is a product, of logarithms. The first layer computes in float32 even where the others use
bfloat16: "y is a + b" is a difference of large numbers, and eight bits of mantissa do not show it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .encoding import CLIP, layout

N_DERIVED = 9
_LARGEST_LINEAR = 499.0  # v / 100 is clipped at 5; what is larger is had from its logarithm


def raw_values(x: Tensor) -> Tensor:
    """The numbers of each example, back from their features: float32 (batch, length, columns + 1), the output last.

    x: (batch, length, input_dim). The encoding has one layout for few columns (six features each) and one for more (four), and
    does not say which; the fifth feature is a sign in the first and a hundredth of a number in the second. More columns than the
    second has room for share slots, and what comes back for those is their means.
    """
    places = layout(x.shape[-1])
    wide, narrow = (range(0, places.y - step + 1, step) for step in (6, 4))
    found = _numbers(x, narrow)
    if len(wide):
        sign, rest = x[..., 4], x[..., 5]
        known = (sign == rest.sign()) & ((sign == 0) | (sign.abs() == 1))
        few = (known | (x[..., places.present] < 0.5)).all(dim=1)[:, None, None]
        found = torch.where(few, F.pad(_numbers(x, wide), (0, len(narrow) - len(wide))), found)
    return torch.cat([found, _numbers(x, [places.y])], dim=-1)


def _numbers(x: Tensor, at: Sequence[int]) -> Tensor:
    """The inverse of the encoding's value features, which start at the places ``at``."""
    start = list(at)
    linear, sign, log = (x[..., [k + part for k in start]] for part in range(3))
    over = (log - 4.0).clamp(0.0, 0.9)
    large = sign * (4.0 + 12.0 * over / (1.0 - over)).clamp(max=20.0).exp()
    linear = 100.0 * linear
    return torch.where(linear.abs() < _LARGEST_LINEAR, linear, large)


def derived(v: Tensor) -> Tensor:
    """What programs compute from one number, at about unit scale and within +-CLIP: (..., k) to (..., N_DERIVED * k)."""
    size = v.abs()
    inverse = torch.where(size < 1e-6, torch.full_like(v, 1e6), v).reciprocal()
    return torch.cat(
        [
            (size + 1e-3).log() / 3.0, torch.asinh(v * v) / 3.0, torch.asinh(inverse), size.sqrt() / 5.0,
            v.clamp(-6.0, 6.0).exp() / 50.0, v.sin(), v.cos(), v.tanh(), v.clamp(-30.0, 30.0) / 10.0,
        ],
        dim=-1,
    ).clamp(-CLIP, CLIP)  # fmt: skip


class RowReader(nn.Module):
    """Tasks (batch, length, input_dim) to one token each, (batch, d_model). ``width``: units per row."""

    def __init__(self, input_dim: int, d_model: int, width: int) -> None:
        super().__init__()
        places = layout(input_dim)
        self.has_numbers = places.y_width > 2  # a token too narrow for that holds no plain numbers
        n_derived = N_DERIVED * (places.y // 4 + 1) if self.has_numbers else 0
        self.first = nn.Linear(input_dim + n_derived, width)
        self.second = nn.Linear(width, width)
        self.pooled = nn.Linear(3 * width, d_model)

    def forward(self, x: Tensor, features: Tensor, present: Tensor) -> Tensor:
        """``x`` as encoded; ``features`` the same, normalised; ``present`` bool (batch, length)."""
        with torch.autocast(x.device.type, enabled=False):
            if self.has_numbers:
                features = torch.cat([features, derived(raw_values(x))], dim=-1)
            h = self.first(features)
        h = self.second(F.gelu(h))
        there = present.to(h.dtype)[..., None]
        n = there.sum(dim=1).clamp(min=1.0)
        mean = (h * there).sum(dim=1) / n
        most = (h + (there - 1.0) * 1e4).amax(dim=1)
        most = torch.where(present.any(dim=1, keepdim=True), most, torch.zeros_like(most))
        variance = ((h - mean[:, None]) * there).square().sum(dim=1) / n
        token: Tensor = self.pooled(torch.cat([mean, most, (variance + 1e-4).sqrt()], dim=-1))
        return token
