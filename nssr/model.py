"""The Tiny Recursive Model (TRM): two transformer layers, applied again and again, that guess a program from examples.

After "Less is More: Recursive Reasoning with Tiny Networks" (Jolicoeur-Martineau, arXiv 2510.04871). Two states, both
(batch, seq_len, d_model): ``y``, the answer so far, which the heads read, and ``z``, a scratch pad. One latent
recursion improves z ``n_recursions`` times from x + y + z and then y once from y + z. One supervision step
(``forward``) runs T latent recursions, the last one with gradient; the caller carries the detached states on to the
next step.

What differs from the sketch in the documentation, and why, is said where it stands: the state keeps unit RMS (as in the
paper; a pre-norm stack alone lets it grow without bound), the start states are learned, tokens that hold no example are
masked, positions start at zero (examples are a set). The token format is that of :mod:`nssr.encoding`; of what the
numbered functions mean this module knows nothing.

:class:`SetTRM` is the one that comes with NSSR: the same recursion, states and heads over one token that sums up the examples
(:mod:`nssr.row_reader`), which costs a fifth per task and knows more after the same CPU seconds (docs/guide.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .device import enable_compile, mark_step, resolve_device, warn_fallback
from .encoding import CLIP, present_index
from .errors import UserError
from .row_reader import RowReader

__all__ = [
    "FUNCTION_HEADS", "N_COMPOSITIONS", "TRM", "Carry", "SetTRM", "SlotPredictions", "create_model", "enable_compile",
    "fresh_carry", "predict_slots", "reset_carry", "resize_heads", "resolve_device",
]  # fmt: skip

FUNCTION_HEADS = ("primary", "secondary", "tertiary")
N_COMPOSITIONS = 4
"""none, sequential, nested, parallel, in the order of ``train.COMP_TYPE_INDEX``."""


@dataclass
class Carry:
    """What one supervision step hands to the next: y and z (batch, seq_len, d_model), and per row the number of steps
    done (int64) and whether it has halted (bool)."""

    y: Tensor
    z: Tensor
    steps: Tensor
    halted: Tensor

    def rows(self, index: Tensor) -> Carry:
        """The carry of some rows of the batch."""
        return Carry(self.y[index], self.z[index], self.steps[index], self.halted[index])


def _unit_rms(h: Tensor) -> Tensor:
    return h * torch.rsqrt(h.square().mean(dim=-1, keepdim=True) + 1e-6)


class _Block(nn.Module):
    """One pre-norm transformer layer: LayerNorm, multi-head self-attention, residual, LayerNorm, feed-forward,
    residual."""

    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.ln_attention = nn.LayerNorm(d_model)
        # Not nn.MultiheadAttention: its inference fast path computes other bits than training does, and it was slower.
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.attention_out = nn.Linear(d_model, d_model)
        self.ln_ff = nn.LayerNorm(d_model)
        self.ff = nn.Sequential(
            nn.Linear(d_model, d_ff), nn.GELU(), nn.Dropout(dropout), nn.Linear(d_ff, d_model), nn.Dropout(dropout)
        )

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        batch, length, d_model = h.shape
        qkv = self.qkv(self.ln_attention(h)).view(batch, length, 3, self.n_heads, d_model // self.n_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        h = h + self.attention_out(attended.transpose(1, 2).reshape(batch, length, d_model))
        return h + self.ff(self.ln_ff(h))


class _Thought(nn.Module):
    """The second half of a transformer layer, for one token alone: LayerNorm, feed-forward, residual. Attention of a token to
    itself is a matrix; without it the paper's network was better where the context is short, and this one is faster."""

    def __init__(self, d_model: int, d_ff: int, dropout: float) -> None:
        super().__init__()
        self.ln_ff = nn.LayerNorm(d_model)
        self.ff = nn.Sequential(
            nn.Linear(d_model, d_ff), nn.GELU(), nn.Dropout(dropout), nn.Linear(d_ff, d_model), nn.Dropout(dropout)
        )

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        return h + self.ff(self.ln_ff(h))


class TRM(nn.Module):
    """The whole model: input projection, positions, shared blocks, and five heads on y averaged over the examples."""

    feature_mean: Tensor
    feature_std: Tensor
    reading = "tokens"
    """How examples become tokens; a word for checkpoints and cards."""

    def __init__(
        self,
        *,
        input_dim: int,
        seq_len: int,
        d_model: int,
        n_heads: int = 8,
        n_layers: int = 2,
        d_ff: int | None = None,
        dropout: float = 0.1,
        n_functions: int,
        n_recursions: int = 6,
        T: int = 3,
    ) -> None:
        super().__init__()
        d_ff = 4 * d_model if d_ff is None else d_ff
        sizes = {"seq_len": seq_len, "d_model": d_model, "n_heads": n_heads, "n_layers": n_layers, "d_ff": d_ff}
        sizes |= {"n_functions": n_functions, "n_recursions": n_recursions, "T": T}
        for name, value in sizes.items():
            if value < 1:
                raise UserError(f"{name} is {value}; it must be at least 1")
        if d_model % n_heads:
            raise UserError(f"d_model ({d_model}) must be a multiple of n_heads ({n_heads})")
        self.input_dim, self.seq_len, self.d_model, self.n_heads = input_dim, seq_len, d_model, n_heads
        self.n_layers, self.d_ff, self.dropout, self.n_functions = n_layers, d_ff, dropout, n_functions
        self.n_recursions, self.T = n_recursions, T
        self._present = present_index(input_dim)
        self._compiled_blocks: Callable[[Tensor, Tensor | None], Tensor] | None = None

        self._make_reader()
        self.y0 = nn.Parameter(torch.randn(d_model))
        self.z0 = nn.Parameter(torch.randn(d_model))
        self.blocks = nn.ModuleList(self._make_block() for _ in range(n_layers))
        self.ln_recursion = nn.LayerNorm(d_model)
        self.primary_head = nn.Linear(d_model, n_functions)
        self.secondary_head = nn.Linear(d_model, n_functions)
        self.tertiary_head = nn.Linear(d_model, n_functions)
        self.composition_head = nn.Linear(d_model, N_COMPOSITIONS)
        self.halt_head = nn.Linear(d_model, 1)
        nn.init.zeros_(self.halt_head.weight)  # an untrained model is sure that it is not done, as in the paper's code
        nn.init.constant_(self.halt_head.bias, -5.0)
        self.register_buffer("feature_mean", torch.zeros(input_dim))
        self.register_buffer("feature_std", torch.ones(input_dim))

    def _make_reader(self) -> None:
        d_model = self.d_model
        self.input_proj = nn.Sequential(nn.Linear(self.input_dim, d_model), nn.GELU(), nn.Linear(d_model, d_model))
        self.pos_emb = nn.Parameter(torch.zeros(1, self.seq_len, d_model))

    def _make_block(self) -> nn.Module:
        return _Block(self.d_model, self.n_heads, self.d_ff, self.dropout)

    def __getstate__(self) -> dict[str, Any]:
        # A compiled callable reads the weights of the object it was made from: no copy may take it along.
        return {**self.__dict__, "_compiled_blocks": None}

    @property
    def architecture(self) -> dict[str, Any]:
        """What decides the shapes of the weights; the number of functions aside, which grows."""
        return {"reading": self.reading, **self._sizes}

    @property
    def _sizes(self) -> dict[str, int]:
        names = ("input_dim", "seq_len", "d_model", "n_heads", "n_layers", "d_ff")
        return {name: getattr(self, name) for name in names}

    @property
    def settings(self) -> dict[str, Any]:
        """Every argument of the constructor: ``type(model)(**model.settings)`` is a fresh model of the same make."""
        rest = {"dropout": self.dropout, "n_functions": self.n_functions}
        return {**self._sizes, **rest, "n_recursions": self.n_recursions, "T": self.T}

    @property
    def device(self) -> torch.device:
        return self.y0.device

    @property
    def is_compiled(self) -> bool:
        return self._compiled_blocks is not None

    def set_feature_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Normalise features (input_dim) by these from now on; saved with the weights. A feature that never varies
        (deviation below 1e-3) is centred and not scaled."""
        mean, std = (torch.as_tensor(v, dtype=torch.float32, device=self.device) for v in (mean, std))
        if mean.shape != (self.input_dim,) or std.shape != (self.input_dim,):
            raise ValueError(f"mean and std must have shape ({self.input_dim},), not {mean.shape} and {std.shape}")
        self.feature_mean.copy_(mean)
        self.feature_std.copy_(torch.where(std > 1e-3, std, torch.ones_like(std)))

    def forward(self, carry: Carry, x: Tensor) -> tuple[Carry, dict[str, Tensor]]:
        """One supervision step. x: float (batch, length, input_dim), length at most seq_len.

        Returns the detached carry and the logits: ``primary_logits``, ``secondary_logits``, ``tertiary_logits``
        (batch, n_functions), ``composition_logits`` (batch, 4), ``halt_logits`` (batch, 1).
        """
        if x.shape[-1] != self.input_dim or x.shape[1] > self.seq_len:
            raise ValueError(f"x has shape {tuple(x.shape)}, not (batch, up to {self.seq_len}, {self.input_dim})")
        h, weight, mask = self._read(x)
        n_tokens = h.shape[1]
        # A fresh carry is zeros; the learned start is added rather than put in its place, so noise on it survives.
        first = (carry.steps == 0).to(h.dtype)[:, None, None]
        y, z = (
            state[:, :n_tokens] + first * start for state, start in ((carry.y, self.y0), (carry.z, self.z0))
        )
        y, z = self._deep_recursion(h, y, z, mask)
        pooled = (y * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0)
        outputs = {f"{name}_logits": getattr(self, f"{name}_head")(pooled) for name in FUNCTION_HEADS}
        outputs["composition_logits"] = self.composition_head(pooled)
        outputs["halt_logits"] = self.halt_head(pooled)
        y, z = y.detach(), z.detach()
        if unused := carry.y.shape[1] - n_tokens:
            y, z = F.pad(y, (0, 0, 0, unused)), F.pad(z, (0, 0, 0, unused))
        if self.is_compiled:  # a CUDA graph writes its next result into the same memory
            y, z = y.clone(), z.clone()
        return Carry(y, z, carry.steps + 1, carry.halted), outputs

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the recursion thinks about, (batch, tokens, d_model); what each token counts in the answer, (batch, tokens, 1);
        and which tokens may be attended to, as `_apply_blocks` takes it."""
        present = x[..., self._present] > 0.5
        mask = (present | ~present.any(dim=1, keepdim=True))[:, None, None, :]  # no examples at all: attend to padding
        h = (_unit_rms(self.input_proj(self._normalised(x))) + self.pos_emb[:, : x.shape[1]]) * present[..., None]
        return h, present.to(h.dtype)[..., None], mask

    def _normalised(self, x: Tensor) -> Tensor:
        return ((x - self.feature_mean) / self.feature_std).clamp(-CLIP, CLIP)

    def _apply_blocks(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        """All blocks in turn, then unit RMS. h: (batch, length, d_model); mask: bool, broadcast to attention
        weights."""
        if self._compiled_blocks is not None:
            try:
                return self._compiled_blocks(h, mask)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                self._compiled_blocks = None
                warn_fallback(error)
        return self._run_blocks(h, mask)

    def _run_blocks(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            h = block(h, mask)
        return _unit_rms(h)

    def _latent_recursion(self, x: Tensor, y: Tensor, z: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Think n_recursions times about the input, then answer once without seeing it."""
        for _ in range(self.n_recursions):
            z = self._apply_blocks(self.ln_recursion(x + y + z), mask)
        return self._apply_blocks(self.ln_recursion(y + z), mask), z

    def _deep_recursion(self, x: Tensor, y: Tensor, z: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """T latent recursions, of which only the last is differentiated (the whole of it: cutting the gradient to one
        step cost the paper 31 points)."""
        with torch.no_grad():
            for _ in range(self.T - 1):
                y, z = self._latent_recursion(x, y, z, mask)
        return self._latent_recursion(x, y, z, mask)


class SetTRM(TRM):
    """A TRM that reads its examples as a set, into one token: the order of examples does not matter, before training and after.

    Of the carry only the first token is used; the others stay zero, so that one carry fits both kinds. The paper's own variant
    without attention (its section 4.5) mixes tokens by another network; here there is nothing to mix, and ``n_heads`` has no
    effect.
    """

    reading = "set"

    def _make_reader(self) -> None:
        self.reader = RowReader(self.input_dim, self.d_model, width=2 * self.d_model)

    def _make_block(self) -> nn.Module:
        return _Thought(self.d_model, self.d_ff, self.dropout)

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        token = _unit_rms(self.reader(x, self._normalised(x), x[..., self._present] > 0.5))[:, None]
        return token, torch.ones_like(token[..., :1]), None


_READINGS: dict[str, type[TRM]] = {kind.reading: kind for kind in (TRM, SetTRM)}


def create_model(
    *, input_dim: int, seq_len: int, d_model: int, n_functions: int, reading: str = "tokens", **kwargs: Any
) -> TRM:
    """A TRM of these sizes; further keywords are those of :class:`TRM`. ``reading``: "tokens", an example each, as documented, or
    "set", all examples in one (:class:`SetTRM`)."""
    if reading not in _READINGS:
        raise UserError(f"reading is {reading!r}; it must be one of {', '.join(_READINGS)}")
    return _READINGS[reading](input_dim=input_dim, seq_len=seq_len, d_model=d_model, n_functions=n_functions, **kwargs)


def fresh_carry(batch_size: int, seq_len: int, d_model: int, *, device: torch.device | str | None = None) -> Carry:
    """A carry of zeros, from which ``forward`` starts anew."""
    shape = (batch_size, seq_len, d_model)
    return Carry(
        torch.zeros(shape, device=device),
        torch.zeros(shape, device=device),
        torch.zeros(batch_size, dtype=torch.int64, device=device),
        torch.zeros(batch_size, dtype=torch.bool, device=device),
    )


def reset_carry(carry: Carry) -> Carry:
    """A fresh carry with the shapes, dtypes and device of this one."""
    return Carry(*(torch.zeros_like(part) for part in (carry.y, carry.z, carry.steps, carry.halted)))


def resize_heads(model: TRM, old_n: int, new_n: int) -> None:
    """Make room for functions ``old_n .. new_n - 1`` in the three function heads; nothing happens if new_n <= old_n.

    Known rows keep their weights; a new one starts as the mean of them, so that it is neither favoured nor excluded,
    with a little noise to tell it from its sisters. Optimizers still hold the old tensors: see
    :func:`nssr.train.grow`.
    """
    if new_n <= old_n:
        return
    if old_n != model.n_functions:
        raise ValueError(f"the heads have {model.n_functions} functions, not {old_n}")
    noise = torch.Generator().manual_seed(new_n)
    for name in FUNCTION_HEADS:
        head = getattr(model, f"{name}_head")
        setattr(model, f"{name}_head", _grown(head, new_n, noise))
    model.n_functions = new_n


def _grown(head: nn.Linear, new_n: int, noise: torch.Generator) -> nn.Linear:
    weight, bias = head.weight.detach(), head.bias.detach()
    old_n, width = weight.shape
    grown = nn.Linear(width, new_n, device=weight.device, dtype=weight.dtype)
    jitter = torch.randn(new_n - old_n, width, generator=noise).to(weight)
    spread = weight.std() if old_n > 1 else weight.new_tensor(width**-0.5)
    with torch.no_grad():
        grown.weight[:old_n], grown.bias[:old_n] = weight, bias
        grown.weight[old_n:] = weight.mean(dim=0) + 0.1 * spread * jitter
        grown.bias[old_n:] = bias.mean()
    grown.train(head.training).requires_grad_(head.weight.requires_grad)
    return grown


@dataclass(frozen=True, slots=True)
class SlotPredictions:
    """What the guide believes about each task of a batch: log-probabilities, float32, of every slot of a program.

    ``primary``, ``secondary``, ``tertiary``: (batch, n_functions); ``composition``: (batch, 4); ``halt``: (batch,), the
    probability that the first choice of every slot is right.
    """

    primary: np.ndarray
    secondary: np.ndarray
    tertiary: np.ndarray
    composition: np.ndarray
    halt: np.ndarray


def predict_slots(
    model: TRM,
    x: Tensor,
    *,
    n_carries: int = 1,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
    steps: int = 1,
) -> SlotPredictions:
    """Ask the guide about encoded tasks x (batch, length, input_dim), on whatever device the model is.

    The executor verifies every guess, so width is worth more than depth: ``n_carries`` copies of each task, all but
    the first with Gaussian ``noise`` (in units of the state's RMS) on the carry before each of the ``steps``
    supervision steps, go through one batch, and their probabilities are averaged. ``generator`` is a CPU generator
    whatever the device; without one the noise is the same at every call. Neither dropout nor gradients are active; the
    model is left in the mode it was in.
    """
    if n_carries < 1 or steps < 1:
        raise ValueError(f"n_carries ({n_carries}) and steps ({steps}) must be at least 1")
    batch, length, _ = x.shape
    tasks = x.to(model.device, torch.float32).repeat(n_carries, 1, 1)
    n_rows = len(tasks)
    if model.is_compiled:  # few batch sizes, so that few graphs are compiled
        tasks = F.pad(tasks, (0, 0, 0, 0, 0, max(2, 1 << (n_rows - 1).bit_length()) - n_rows))
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    was_training = model.training
    model.train(False)
    try:
        # Inference tensors cannot enter the graphs that training compiled; no_grad can.
        with torch.no_grad() if model.is_compiled else torch.inference_mode():
            carry = fresh_carry(len(tasks), length, model.d_model, device=model.device)
            for _ in range(steps):
                if noise and n_carries > 1:
                    carry.y, carry.z = (
                        _disturbed(state, batch, n_rows, noise, generator) for state in (carry.y, carry.z)
                    )
                mark_step(model.device)
                carry, outputs = model(carry, tasks)
            return _averaged({name: value[:n_rows] for name, value in outputs.items()}, n_carries)
    finally:
        model.train(was_training)


def _disturbed(state: Tensor, start: int, stop: int, noise: float, generator: torch.Generator) -> Tensor:
    """``state`` with noise on its rows from ``start`` to ``stop``."""
    drawn = torch.randn((stop - start, *state.shape[1:]), generator=generator).to(state.device)
    return torch.cat([state[:start], state[start:stop] + noise * drawn, state[stop:]])


def _averaged(outputs: dict[str, Tensor], n_carries: int) -> SlotPredictions:
    shape = (n_carries, len(outputs["halt_logits"]) // n_carries)

    def mean(name: str) -> np.ndarray:
        log_p = outputs[f"{name}_logits"].float().log_softmax(dim=-1).unflatten(0, shape)
        return (log_p.logsumexp(dim=0) - np.log(n_carries)).cpu().numpy()

    halt = outputs["halt_logits"].float().squeeze(-1).sigmoid().unflatten(0, shape).mean(dim=0)
    slots = {name: mean(name) for name in (*FUNCTION_HEADS, "composition")}
    return SlotPredictions(**slots, halt=halt.cpu().numpy())
