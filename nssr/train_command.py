"""``python -m nssr.train``: train a guide on dreams, for so many minutes, and write it to a folder.

The folder holds ``guide.safetensors`` and its card ``guide.json`` (what others load), ``training.pt`` (to go on from),
``log.jsonl`` and TensorBoard's events. Ctrl-C ends the training early and keeps what was learnt; the same folder again goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nssr import __version__
from nssr.errors import UserError
from nssr.interrupt import first_ctrl_c

SAVE_EVERY_S = 60.0
HELD_OUT = 1024
HELD_OUT_SEED = 99
PRIOR_TASKS = 40_000


def parser() -> argparse.ArgumentParser:
    def positive(kind: type) -> Any:
        def convert(text: str) -> Any:
            try:
                value = kind(text)
            except ValueError:
                value = 0
            if not 0 < value < 1e9:
                raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
            return value

        return convert

    p = argparse.ArgumentParser(prog="python -m nssr.train", description=__doc__.split("\n")[0].split(": ", 1)[1])
    p.add_argument("--minutes", type=positive(float), default=10.0, help="how long to train (default: 10)")
    p.add_argument("--processor-time", action="store_true", help="count minutes of the processor, whatever else it has to do")
    p.add_argument("--out", required=True, metavar="DIR", help="folder for the guide; an unfinished training there goes on")
    p.add_argument("--packs", default="core,science", help="packs of primitives to dream of (default: core,science)")
    p.add_argument("--db", metavar="FILE", help="dream of this library's functions too")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    p.add_argument("--compile", default="auto", choices=("auto", "on", "off"), help="torch.compile (default: on CUDA)")
    p.add_argument("--threads", type=positive(int), default=os.cpu_count() or 1, help="threads (default: all cores)")
    p.add_argument("--seed", type=int, default=0, help="for the start and the dreams (default: 0)")
    p.add_argument("--batch-size", type=positive(int), default=512, help="tasks at once (default: 512)")
    p.add_argument("--lr", type=positive(float), default=4e-3, help="learning rate after the warm-up (default: 0.004)")
    p.add_argument("--optimizer", default="muon", choices=("muon", "adamw"), help="what updates the weights (default: muon)")
    p.add_argument(
        "--reading", default="set", choices=("set", "tokens"), help="how examples are read: all into one token, or each its own"
    )
    p.add_argument("--n-sup", type=positive(int), default=1, help="most supervision steps a task (default: 1)")
    p.add_argument("--cycles", type=positive(int), default=1, metavar="T", help="latent recursions a step, T (default: 1)")
    p.add_argument("--recursions", type=positive(int), default=2, metavar="N", help="thoughts in each, n (default: 2)")
    p.add_argument("--one-solver", action="store_true", help="loss of the simplest answer alone, not of all known ones")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 where something that was given is refused."""
    try:
        return _train(parser().parse_args(arguments))
    except UserError as error:
        print(f"nssr.train: {error}", file=sys.stderr)
        return 2


def _train(options: argparse.Namespace) -> int:
    import torch

    from nssr import checkpoint, db, pretrained, registry
    from nssr.device import enable_compile, resolve_device
    from nssr.dream_training import DreamSettings, DreamStream, DreamTrainer, Log, dream_optimizer, evaluate, held_out
    from nssr.dreams import Dreamer, Part
    from nssr.learning import CONFIG
    from nssr.model import create_model
    from nssr.optimizer import EMA

    device = resolve_device(options.device)
    folder = Path(options.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be made: {error.strerror}") from error
    if options.db is not None and not Path(options.db).is_file():
        raise UserError(f"there is no library {options.db}")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    packs = [word.strip() for word in options.packs.split(",") if word.strip()]
    conn = db.init_db(options.db or ":memory:")
    try:
        state = registry.init_registry(conn, packs) if options.db is None else registry.load_registry(conn)
    except ValueError as error:
        raise UserError(str(error)) from error
    finally:
        conn.close()
    names = registry.plain_names(state)
    shape = {"input_dim": CONFIG["input_dim"], "seq_len": CONFIG["seq_len"]}
    model = create_model(
        **shape, d_model=CONFIG["d_model"], n_functions=len(names), n_heads=CONFIG["n_heads"], n_layers=CONFIG["n_layers"],
        reading=options.reading, dropout=0.0, T=options.cycles, n_recursions=options.recursions,
    ).to(device)  # fmt: skip
    settings = DreamSettings(
        batch_size=options.batch_size, n_sup=options.n_sup, lr=options.lr, muon=options.optimizer == "muon",
        all_solvers=not options.one_solver, seed=options.seed,
    )  # fmt: skip
    optimizer = dream_optimizer(model, settings)
    ema = EMA(model, settings.ema)
    path = folder / "training.pt"
    before: dict[str, Any] = {}
    if checkpoint.load(path, model, optimizer, ema, names):
        before = dict(checkpoint.read(path)["config"])
        print(f"going on from {before['tasks']:,} tasks and {before['seconds']:.0f} s in {folder}")
    # Other dreams than those that were dreamed before.
    stream = DreamStream(Dreamer(state, seed=options.seed + 1 + before.get("tasks", 0)), **shape, seed=options.seed)
    trainer = DreamTrainer(model, optimizer, ema, stream, settings)
    if before:
        trainer.step, trainer.tasks = before["step"], before["tasks"]
    else:
        trainer.measure_features()
    enable_compile(model, options.compile, batch_size=options.batch_size)
    counts = _label_counts(state, options.seed)
    sets = {
        part.name.lower(): held_out(state, part, HELD_OUT, seed=HELD_OUT_SEED, **shape)
        for part in (Part.BEHAVIOUR, Part.STRUCTURE)
    }
    log = Log(folder)
    total, spent = 60.0 * options.minutes, float(before.get("seconds", 0.0))
    clock = time.process_time if options.processor_time else time.monotonic
    begun = saved = clock()
    worked = float(before.get("cpu_seconds", 0.0)) - time.process_time()

    def config() -> dict[str, Any]:
        return {
            "step": trainer.step, "tasks": trainer.tasks, "seconds": spent + clock() - begun,
            "cpu_seconds": worked + time.process_time(),
        }  # fmt: skip

    def report(facts: dict[str, Any]) -> None:
        nonlocal saved
        log.write("train", facts, trainer.step)
        minutes, per_second, tasks = facts["seconds"] / 60, facts["tasks_per_second"], facts["tasks"]
        print(
            f"{minutes:6.1f} of {options.minutes:g} min  {tasks:>10,} tasks  {per_second:6.0f} tasks/s  "
            f"nll {facts['nll']:.3f}  right at once {facts['solved']:.1%}",
            flush=True,
        )
        if clock() - saved > SAVE_EVERY_S:
            checkpoint.save(path, model, optimizer, ema, names, config())
            for name, batch in sets.items():
                log.write(name, {"seconds": facts["seconds"], **evaluate(ema.model, batch)}, trainer.step)
            saved = clock()

    with first_ctrl_c() as interrupted:
        trainer.train(total, report=report, should_stop=interrupted, start=spent, clock=clock)
        if interrupted():
            print("interrupted; what was learnt so far is kept", flush=True)
    checkpoint.save(path, model, optimizer, ema, names, config())
    scores = {name: evaluate(ema.model, batch) for name, batch in sets.items()}
    learned = sum(entry["composition"] is not None for entry in state["metadata"].values())
    facts = {
        "made_by": f"nssr {__version__}: python -m nssr.train --minutes {options.minutes:g} --seed {options.seed}",
        "data": {"packs": packs, "tasks": trainer.tasks, "learned_functions": learned},
        "training": {**dataclasses.asdict(settings), **config(), "device": device.type, "threads": options.threads},
        "scores": {"held_out": HELD_OUT, **scores},
        "label_counts": counts,
    }
    pretrained.save(folder / "guide.safetensors", ema.model, names, facts)
    log.write("done", config(), trainer.step)
    log.close()
    for name, score in scores.items():
        print(f"held out by {name}: nll {score['nll']:.3f}, right at once {score['solved']:.1%}")
    print(f"{folder / 'guide.safetensors'}: {(folder / 'guide.safetensors').stat().st_size / 1e6:.2f} MB")
    return 0


def _label_counts(state: dict[str, Any], seed: int) -> dict[str, list[int]]:
    """How often the answers of dreams hold each function in each slot."""
    import numpy as np

    from nssr.dreams import Dreamer

    dreamer, seen = Dreamer(state, seed=seed + 17), 0
    n = dreamer.table.n_functions
    counts = {name: np.zeros(n, dtype=np.int64) for name in ("primary", "secondary", "tertiary")}
    kinds = np.zeros(4, dtype=np.int64)
    while seen < PRIOR_TASKS:
        labels = dreamer.dream().labels
        seen += len(labels)
        for name, row in counts.items():
            used = labels[name][labels[name] >= 0]
            row += np.bincount(used, minlength=n)
        kinds += np.bincount(labels["comp"], minlength=4)
    return {**{name: row.tolist() for name, row in counts.items()}, "composition": kinds.tolist()}


if __name__ == "__main__":
    sys.exit(main())
