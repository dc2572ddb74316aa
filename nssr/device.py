"""Where the guide runs: the choice of a device, and torch.compile where it pays.

CUDA graphs reuse the memory of their results, so two rules hold with compiled blocks: :func:`mark_step` before each
supervision step, and a copy of whatever outlives it (``TRM.forward`` copies the carry). No weights are touched here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .errors import UserError

if TYPE_CHECKING:
    from .model import TRM


def resolve_device(name: str) -> torch.device:
    """The device for ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise UserError(f"unknown device {name!r}; choose auto, cpu or cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        why = "this PyTorch was built without CUDA" if torch.version.cuda is None else "no CUDA device was found"
        raise UserError(f"device 'cuda' was asked for, but {why}; use --device cpu, or install a CUDA build of PyTorch")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UserError(f"there is no device {name!r}; CUDA devices are numbered 0 to {torch.cuda.device_count() - 1}")
    return torch.device(name)


def enable_compile(model: TRM, mode: str = "auto", *, batch_size: int = 64) -> bool:
    """Compile the blocks with torch.compile, or go back to eager ones; returns whether they are compiled now.

    ``auto`` compiles on CUDA only: on CPU the blocks are bound by matrix products, and a minute or more of compiling
    bought 0.94 to 1.05 times the speed. Only ``_apply_blocks`` is compiled: the whole forward unrolls (n + 1) T calls,
    and heads inside it would be compiled anew at every discovery. The first calls, of ``batch_size`` rows, are made
    here, because torch.compile reports a missing compiler only then; whatever goes wrong, the model stays eager and
    one warning says so.
    """
    if mode not in ("auto", "on", "off"):
        raise UserError(f"unknown compile mode {mode!r}; choose auto, on or off")
    model._compiled_blocks = None
    cuda = model.device.type == "cuda"
    if mode == "off" or (mode == "auto" and not cuda):
        return False
    try:
        if not cuda:
            from torch._inductor import cpp_builder

            cpp_builder.get_cpp_compiler()  # raises at once where there is no C++ compiler
        compiled = torch.compile(model._run_blocks, mode="reduce-overhead" if cuda else None)
        _warm_up(model, compiled, batch_size)
    except Exception as error:
        warn_fallback(error)
        return False
    model._compiled_blocks = compiled
    return True


def _warm_up(model: TRM, compiled: Callable[[Tensor, Tensor | None], Tensor], batch_size: int) -> None:
    """One call of each kind that training makes (without gradient, with it, and its backward pass)."""
    x = torch.zeros(max(batch_size, 2), model.seq_len, model.input_dim, device=model.device)
    with torch.no_grad():
        h, _, mask = model._read(x)
    mark_step(model.device)
    with torch.no_grad():
        compiled(h, mask)
    mark_step(model.device)
    h.requires_grad_()
    torch.autograd.grad(compiled(h, mask).sum(), h)


def mark_step(device: torch.device) -> None:
    """Tell CUDA graphs that what the last supervision step returned is no longer needed."""
    if device.type == "cuda":
        torch.compiler.cudagraph_mark_step_begin()


def warn_fallback(error: Exception) -> None:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    warnings.warn(f"torch.compile failed, the model runs uncompiled: {lines[0][:200]}", RuntimeWarning, stacklevel=3)
