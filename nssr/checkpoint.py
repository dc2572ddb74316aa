"""The guide on disk: weights, optimizer, averaged weights and vocabulary in one file that is whole or not there.

A file is written beside its place, flushed to the disk and renamed, so a process killed at any moment leaves the old
file or the new one. It holds tensors and plain containers only and is read with ``weights_only=True``: opening a
stranger's checkpoint runs no code. A file that cannot be used is refused in one sentence and left untouched.
"""

from __future__ import annotations

import os
import secrets
import time
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

from .encoding import ENCODING_VERSION
from .errors import UserError
from .model import TRM
from .optimizer import EMA, grow

FORMAT = "nssr-guide"
FORMAT_VERSION = 1


class OtherReading(UserError):
    """A guide of the right sizes whose weights are those of another network, such as an older NSSR made."""


_LEFT_BEHIND_S = 3600.0  # a temporary file older than this belongs to a process that was killed


def save(
    path: str | os.PathLike[str],
    model: TRM,
    optimizer: torch.optim.Optimizer | None,
    ema: EMA | None,
    vocab: Sequence[str],
    config: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint to ``path``, replacing what is there. ``vocab``: the names of the functions in the order of
    their ids; ``config``: plain values, kept for the reader's information."""
    path = Path(path)
    if len(vocab) != model.n_functions:
        raise ValueError(f"the model has {model.n_functions} functions and the vocabulary {len(vocab)}")
    payload = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "encoding_version": ENCODING_VERSION,
        "architecture": model.architecture,
        "recursion": {"T": model.T, "n_recursions": model.n_recursions, "dropout": model.dropout},
        "vocab": [str(name) for name in vocab],
        "config": _plain(dict(config or {}), "config"),
        "model": _plain(model.state_dict(), "model"),
        "optimizer": None if optimizer is None else _plain(optimizer.state_dict(), "optimizer"),
        "ema": None if ema is None else _plain(ema.state_dict(), "ema"),
    }
    with replacing(path) as file:
        torch.save(payload, file)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of ``path`` once all of it is on the disk; an error leaves what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_behind(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def load(
    path: str | os.PathLike[str],
    model: TRM,
    optimizer: torch.optim.Optimizer | None,
    ema: EMA | None,
    vocab: Sequence[str],
) -> bool:
    """Load ``path`` into model, optimizer and average, in place; returns whether that was done.

    A vocabulary that has grown since is no obstacle: the weights are loaded at their old size and the heads grown,
    moments included. False if there is no file, or if it is stale: its functions are more than those of ``vocab``, or
    others. UserError if it is no checkpoint, is damaged, or fits another encoding or architecture. Nothing is changed
    unless True is returned. The recursion depths, the dropout and the optimizer's settings stay those of the arguments.
    """
    path = Path(path)
    if len(vocab) != model.n_functions:
        raise ValueError(f"the model has {model.n_functions} functions and the vocabulary {len(vocab)}")
    if not path.exists():
        return False
    saved = read(path)
    _require_same_architecture(path, saved["architecture"], model.architecture)
    known = saved["vocab"]
    if known != list(vocab)[: len(known)]:
        return False
    # Everything is tried on stand-ins of the saved size first, so that a file that fails half-way changes nothing.
    try:
        stand_in = type(model)(**{**model.settings, "n_functions": len(known)}).to(model.device)
        stand_in.load_state_dict(saved["model"])
        average = EMA(stand_in)
        if saved["ema"] is not None:
            average.load_state_dict(saved["ema"])
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged: its weights do not fit its own description ({_first_line(error)})"
        ) from error
    moments = None if optimizer is None else _stand_in_optimizer(path, saved, optimizer, model, stand_in)
    if moments is None:
        moments = torch.optim.SGD(stand_in.parameters())  # something for grow() to carry along
    moments = grow(stand_in, moments, len(vocab), ema=average)
    model.load_state_dict(stand_in.state_dict())
    if optimizer is not None:
        _take_moments(optimizer, moments, model, stand_in)
    if ema is not None:
        ema.load_state_dict(average.state_dict())
    return True


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The contents of a checkpoint, tensors on the CPU: ``vocab``, ``config``, ``architecture``, ``recursion``,
    ``model``, ``optimizer``, ``ema``. UserError if the file is no checkpoint of this format and encoding."""
    advice = "it was left as it is; move it away, or give another path"
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch.load itself does not look at the checksums
                raise zipfile.BadZipFile("a checksum is wrong")
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # torch raises half a dozen kinds for what is not its own file, or only half of one
        if "weights_only" in str(error) or "Weights only" in str(error):
            raise UserError(f"{path} is no guide of NSSR (it is not a file of plain tensors); {advice}") from error
        raise UserError(f"{path} is damaged or no guide of NSSR; {advice}") from error
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise UserError(f"{path} is no guide of NSSR; {advice}")
    if saved.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{path} has format {saved.get('format_version')}, this NSSR reads {FORMAT_VERSION}; {advice}")
    if saved.get("encoding_version") != ENCODING_VERSION:
        trained, mine = saved.get("encoding_version"), ENCODING_VERSION
        raise UserError(f"{path} was trained on encoding {trained} of the examples, this NSSR has {mine}; {advice}")
    if missing := {"architecture", "vocab", "model", "optimizer", "ema"} - saved.keys():
        raise UserError(f"{path} is damaged: it has no {', '.join(sorted(missing))}; {advice}")
    vocab = saved["vocab"]
    if not (isinstance(vocab, list) and vocab and all(isinstance(name, str) for name in vocab)):
        raise UserError(f"{path} is damaged: it names no functions; {advice}")
    return saved


def _require_same_architecture(path: Path, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    saved = {"reading": "tokens", **saved}  # what there was before there were two
    differing = [name for name in wanted if saved.get(name) != wanted[name]]
    if differing == ["reading"]:
        raise OtherReading(
            f"{path} holds a guide that reads its examples as {saved['reading']}, not as {wanted['reading']} as this one does"
        )
    if differing:
        theirs = ", ".join(f"{name}={saved.get(name)}" for name in differing)
        mine = ", ".join(f"{name}={wanted[name]}" for name in differing)
        raise UserError(f"{path} holds a guide with {theirs}, not {mine}; use those settings, or another path")


def _stand_in_optimizer(
    path: Path, saved: Mapping[str, Any], optimizer: torch.optim.Optimizer, model: TRM, stand_in: TRM
) -> torch.optim.Optimizer | None:
    """The saved optimizer over the stand-in's weights, grouped as ``optimizer`` groups the model's; None if it cannot
    be had, in which case training goes on with fresh moments."""
    if saved["optimizer"] is None:
        return None
    name_of = {p: name for name, p in model.named_parameters()}
    named = dict(stand_in.named_parameters())
    groups = [{**g, "params": [named[name_of[p]] for p in g["params"]]} for g in optimizer.param_groups]
    kind: Any = type(optimizer)
    try:
        copy: torch.optim.Optimizer = kind(groups, lr=optimizer.param_groups[0]["lr"])
        copy.load_state_dict(saved["optimizer"])
        for parameter, state in copy.state.items():
            for value in state.values():
                if isinstance(value, torch.Tensor) and value.ndim and value.shape != parameter.shape:
                    raise ValueError("a moment has another shape than its weight")
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        message = f"{path}: the optimizer's state does not fit ({_first_line(error)}); its moments start anew"
        warnings.warn(message, RuntimeWarning, stacklevel=3)
        return None
    return copy


def _take_moments(optimizer: torch.optim.Optimizer, source: torch.optim.Optimizer, model: TRM, stand_in: TRM) -> None:
    """State of ``source`` (over the stand-in's weights) into ``optimizer`` (over the model's), which keeps its
    settings."""
    named = dict(stand_in.named_parameters())
    optimizer.state.clear()
    for name, parameter in model.named_parameters():
        if state := source.state.get(named[name]):
            optimizer.state[parameter] = dict(state)


def _plain(value: Any, where: str) -> Any:
    """``value`` in types that ``weights_only`` reads back; numpy scalars and paths are converted, the rest is
    refused."""
    if value is None or type(value) in (bool, int, float, str) or isinstance(value, torch.Tensor):
        return value.detach() if isinstance(value, torch.Tensor) else value
    if isinstance(value, Mapping):
        return {_plain(k, where): _plain(v, f"{where}[{k!r}]") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(v, where) for v in value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{where} is a {type(value).__name__}, which a checkpoint does not hold")


def _remove_left_behind(path: Path) -> None:
    for old in path.parent.glob(f".{path.name}.*.tmp"):
        try:
            if time.time() - old.stat().st_mtime > _LEFT_BEHIND_S:
                old.unlink()
        except OSError:
            continue  # someone else was faster


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable, where folders can be opened for that (not on Windows)."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
