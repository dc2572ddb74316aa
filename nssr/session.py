"""One run of the command: a library that is open, a model that fits it, and what is learned with both.

Everything that can be refused is looked at before the library is opened for writing: a refusal changes no file. The
model is written whenever it has changed, the library at each registration, so a crash costs the task in progress.
"""

from __future__ import annotations

import difflib
import os
import sqlite3
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nssr import db, registry
from nssr.errors import UserError
from nssr.primitives import PACKS
from nssr.schema import FUNCTION_ARGUMENTS, SET_ASIDE
from nssr.table import Table

if TYPE_CHECKING:
    import torch

    from nssr.console import Console
    from nssr.interrupt import Interrupts
    from nssr.learning import Lesson

SAMPLE_ROWS = 4000
"""Tables with more rows are searched on a sample; what is found is checked on all of them."""

_SIZES = ("reading", "input_dim", "seq_len", "d_model", "n_heads", "n_layers", "n_recursions", "T", "dropout")


@dataclass(slots=True)
class Job:
    """A function to learn. ``rename`` says how a person gives it another name."""

    name: str
    table: Table
    rename: str

    def check_name(self, primitives: Iterable[str]) -> None:
        """UserError for a name that no function can have, or that a primitive has."""
        try:
            db.check_name(self.name)
        except ValueError as error:
            raise UserError(f"{error}; {self.rename}") from None
        if self.name in primitives:
            raise UserError(f"{self.name} is the name of a primitive; {self.rename}")


class Session:
    """The open library, the model and its optimizer; made for options that `check_choices` has seen."""

    def __init__(self, options: Namespace, jobs: Sequence[Job], console: Console, interrupts: Interrupts) -> None:
        self.options, self.console = options, console
        self.folder = Path(options.checkpoint_dir)
        self.path = library_path(options)
        self.guided = options.guide != "off"
        self.model: Any = None
        self.optimizer: Any = None
        packs, without = words(options.packs), words(options.without)
        existed = self.path.exists()
        check_choices(packs, without, existed)
        reserved = {p.name for pack in {"core", *packs} for p in PACKS[pack]} - free_names(without)
        for job in jobs:
            job.check_name(() if existed else reserved)
        if self.guided or options.db is None:
            _require_writable(self.folder)
        # Asked here and not left to SQLite, which leaves the files of its log beside a library that it cannot write.
        if self.path.is_file() and not os.access(self.path, os.W_OK):
            raise UserError(
                f"The library {self.path} cannot be written; give yourself write permission for it and its directory, "
                "or choose another path"
            )
        console.busy("loading")
        _load()
        _check_target()
        where = self._check_model() if self.guided else None
        interrupts.something_at_stake()
        self.conn: sqlite3.Connection = db.init_db(str(self.path))
        try:
            self.known = self._known(jobs, without, reserved) if existed else {}
            self.state = registry.init_registry(self.conn, packs, without)
            if self.guided:
                self._make_model(where)
            if existed:
                learned = sum(e["composition"] is not None for e in self.state["metadata"].values())
                console.note(f"library {self.path}: {learned} learned function{'s' * (learned != 1)}")
        except BaseException:
            self.conn.close()
            raise

    def _known(self, jobs: Sequence[Job], without: Sequence[str], reserved: set[str]) -> dict[str, Lesson]:
        """What the library knows of the jobs already. UserError for a name under which it knows something else."""
        from nssr import learning

        there = {f["name"] for f in db.get_all_functions(self.conn)}
        # A pack that is asked for only now brings its names later.
        state = registry.load_registry(self.conn, [name for name in without if name in there or SET_ASIDE + name in there])
        taken = {e["name"]: e for e in state["metadata"].values()}
        learned = {name for name, entry in taken.items() if entry["composition"] is not None}
        known = {}
        for job in jobs:
            job.check_name(reserved - learned)
            if registry.name_is_free(state, job.name):
                continue
            job.check_name(name for name, entry in taken.items() if entry["composition"] is None)
            lesson = learning.known_function(state, job.name, job.table.sample(SAMPLE_ROWS, 0).examples())
            assert lesson is not None
            if not lesson.r2 > 0.99:
                best = f"at best R2 = {lesson.r2:.3g}" if lesson.r2 > -1e300 else "it has no value there"
                raise UserError(
                    f"the library has a function named {job.name} already, and it does not explain this data ({best}); "
                    f"{job.rename}"
                )
            known[job.name] = lesson
        return known

    # ---- the model ---------------------------------------------------------------------------------------------------

    def _check_model(self) -> torch.device:
        """The device, once it is sure that it exists and that the checkpoint, if there is one, can be loaded or done without."""
        from nssr import checkpoint, device
        from nssr.model import create_model

        where = device.resolve_device(self.options.device)
        path = self.folder / "model.pt"
        if path.exists():
            vocab = checkpoint.read(path)["vocab"]
            config = self._config()
            model = create_model(n_functions=len(vocab), **{k: config[k] for k in _SIZES})
            with suppress(checkpoint.OtherReading):  # told when the model is made
                checkpoint.load(path, model, None, None, vocab)
        return where

    def _config(self) -> dict[str, Any]:
        from nssr import learning

        # The guide that comes with NSSR was trained with this little recursion, so it is used with it on any device.
        return dict(learning.SMALL_CONFIG, checkpoint_dir=str(self.folder))

    def _make_model(self, where: Any) -> None:
        import torch

        from nssr import checkpoint, device, learning
        from nssr.model import create_model
        from nssr.optimizer import EMA, make_optimizer

        torch.manual_seed(self.options.seed)
        # One thread trains this small a model as fast as two, and does not fall behind when the machine has other work: 12 s
        # for a whole run either way, but 7 against 20 s for the training alone beside two busy processes.
        torch.set_num_threads(1)
        config = self._config()
        n = registry.vocab_size(self.state)
        self.model = create_model(n_functions=n, **{k: config[k] for k in _SIZES}).to(where)
        self.optimizer = make_optimizer(self.model, lr=config["lr"])
        self.state["config"] = config
        self.state["ema"] = EMA(self.model)
        path = learning.checkpoint_path(self.state)
        try:
            loaded = learning.load_checkpoint(self.model, self.optimizer, self.state)
        except checkpoint.OtherReading as error:
            loaded = False
            self.console.note(f"{error}; this one starts anew")
        else:
            if not loaded and path.exists():
                self.console.note(f"the model in {path} belongs to another library; this one starts anew")
        if not loaded and self.options.guide == "on":
            self._take_shipped()
        if self.options.compile != "off":
            device.enable_compile(self.model, self.options.compile)

    def _take_shipped(self) -> None:
        """Weights of the guide that comes with NSSR; where it cannot be used one line says why, and training starts anew."""
        from nssr import pretrained
        from nssr.optimizer import EMA

        try:
            shipped = pretrained.fitted_to(pretrained.load(), registry.plain_names(self.state))
            if shipped.architecture != self.model.architecture:
                raise UserError(f"{pretrained.SHIPPED} has another architecture than this NSSR")
        except UserError as error:
            self.console.note(f"{error}; the model starts untrained")
            return
        self.model.load_state_dict(shipped.state_dict())
        self.state["ema"] = EMA(self.model)
        self.state["trained"] = True

    def save(self) -> None:
        """Write the model, if it has been trained and fits the library (it may not, in the middle of an interrupt)."""
        from nssr import learning

        if self.model is None or not self.state.get("trained"):
            return
        if self.model.n_functions != registry.vocab_size(self.state):
            return
        try:
            learning.save_checkpoint(self.model, self.optimizer, self.state)
        except (OSError, RuntimeError) as error:  # torch has its own words for a full disk
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"the model cannot be written to {self.folder} ({reason}); what was found is in the library"
            ) from error

    # ---- learning ----------------------------------------------------------------------------------------------------

    def learn(self, job: Job, announce: Callable[[Lesson], None]) -> Lesson:
        """One job. ``announce`` is called once its outcome is known; training may follow."""
        from nssr import engine, learning

        if job.name in self.known:
            announce(self.known[job.name])
            return self.known[job.name]
        table = job.table
        sample = table.sample(SAMPLE_ROWS, self.options.seed)
        whole = None
        if sample is not table:
            whole = engine.Dataset.from_columns(list(table.columns), table.target)
        epochs = self.options.train_epochs
        announced = []

        def once(lesson: Lesson) -> None:
            announced.append(lesson)
            announce(lesson)

        lesson, self.optimizer = learning.learn_task(
            self.conn, self.state, self.model, self.optimizer, job.name, sample.examples(),
            max_search_steps=self.options.max_steps, max_depth=self.options.max_depth, n_threads=self.options.threads,
            whole=whole, rows=table.examples, progress=self.console.progress, announce=once, keep=self._keep,
            train_epochs=epochs, num_epochs=learning.REPLAY_EPOCHS if epochs is None else epochs,
        )  # fmt: skip
        if not announced:
            announce(lesson)
        return lesson

    def _keep(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.save()

    def close(self) -> None:
        self.conn.close()


def _load() -> None:
    """Import and compile now what the search needs, so that no Ctrl-C can come in the middle of that later."""
    import numpy as np

    from nssr import learning  # noqa: F401
    from nssr.engine import fitting

    for fit in ("scale", "offset", "affine"):
        fitting.fit_rows(np.ones((1, 4)), np.arange(4.0), fit)


def words(text: str) -> list[str]:
    """``"ADD, MUL"`` as a list."""
    return [word.strip() for word in text.split(",") if word.strip()]


def library_path(options: Namespace) -> Path:
    return Path(options.db) if options.db is not None else Path(options.checkpoint_dir) / "symbolic.db"


def check_choices(packs: Sequence[str], without: Sequence[str], existed: bool) -> None:
    """UserError for packs and primitives that do not exist. A library that exists may have more packs than asked."""
    for pack in packs:
        if pack not in PACKS:
            raise UserError(f"--packs: there is no pack {pack!r}; choose from {', '.join(PACKS)}")
    usable = [p.name for pack in PACKS if existed or pack in {"core", *packs} for p in PACKS[pack]]
    for name in without:
        if name not in usable:
            near = difflib.get_close_matches(name.upper(), usable, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(usable)}"
            raise UserError(f"--without: there is no primitive {name!r}; {hint}")


def free_names(without: Iterable[str]) -> set[str]:
    """Names of primitives that a learned function may take, because this session does without them."""
    return {name for name in without if name not in FUNCTION_ARGUMENTS}


def _check_target() -> None:
    """UserError if the environment asks for an instruction set that this machine or this build lacks."""
    from nssr import engine

    try:
        engine.target()
    except ValueError as error:
        raise UserError(f"{error}; unset NSSR_TARGET, or choose one of these") from None


def _require_writable(folder: Path) -> None:
    """UserError unless files can be made in ``folder``, or in what it would be made in; leaves nothing behind."""
    place = folder
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        tempfile.TemporaryFile(dir=place).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--checkpoint-dir: nothing can be written to {folder} ({place}: {reason}); choose another directory"
        ) from None
