"""Training on dreams: the loss is the search's probability, batches are refilled, a short run learns, and sleep brings a function
forward."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nssr import db, pretrained, registry, sleeping, train_command
from nssr.dream_training import DreamSettings, DreamStream, DreamTrainer, NoDreams, dream_loss, evaluate, held_out, schedule
from nssr.dreams import MOST_SOLVERS, Dreamer, Part
from nssr.encoding import format_examples
from nssr.model import create_model, predict_slots
from nssr.optimizer import EMA, grow, make_optimizer
from nssr.sleeping import sleep

SHAPE = {"input_dim": 32, "seq_len": 8}


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def library(packs: tuple[str, ...] = ("core",)) -> tuple[Any, dict[str, Any]]:
    conn = db.init_db(":memory:")
    return conn, registry.init_registry(conn, packs)


def trainer(state: dict[str, Any], **settings: Any) -> DreamTrainer:
    torch.manual_seed(0)
    n = registry.vocab_size(state)
    model = create_model(**SHAPE, d_model=32, n_functions=n, n_heads=4, dropout=0.0, T=1, n_recursions=1)
    chosen = DreamSettings(**{"batch_size": 64, "warm_up": 10, **settings})
    stream = DreamStream(Dreamer(state, seed=1), **SHAPE, seed=1, tables=4)
    return DreamTrainer(model, make_optimizer(model, lr=chosen.lr), EMA(model, 0.9), stream, chosen)


def test_the_loss_is_minus_the_log_of_the_probability_of_all_known_answers() -> None:
    rng = np.random.default_rng(0)
    names = ("primary", "secondary", "tertiary")
    outputs = {f"{name}_logits": torch.tensor(rng.normal(size=(2, 5)), dtype=torch.float32) for name in names}
    outputs["composition_logits"] = torch.tensor(rng.normal(size=(2, 4)), dtype=torch.float32)
    outputs["halt_logits"] = torch.zeros(2, 1)
    solvers = torch.full((2, MOST_SOLVERS, 4), -1, dtype=torch.int64)
    solvers[0, 0] = torch.tensor([0, 3, -1, -1])
    solvers[1, 0], solvers[1, 1] = torch.tensor([3, 0, 1, 2]), torch.tensor([1, 4, 2, -1])
    log_p = {name: rows.log_softmax(-1) for name, rows in outputs.items()}

    def of(row: int, kind: int, *functions: int) -> float:
        slots = zip(names, functions, strict=False)
        return float(log_p["composition_logits"][row, kind] + sum(log_p[f"{s}_logits"][row, f] for s, f in slots))

    found = dream_loss(outputs, solvers, all_solvers=True)
    assert float(found.nll[0]) == pytest.approx(-of(0, 0, 3), rel=1e-5)
    both = math.log(math.exp(of(1, 3, 0, 1, 2)) + math.exp(of(1, 1, 4, 2)))
    assert float(found.nll[1]) == pytest.approx(-both, rel=1e-5)
    assert float(found.total) == pytest.approx(float(found.nll.mean()) + 0.5 * math.log(2), rel=1e-5)
    assert float(dream_loss(outputs, solvers, all_solvers=False).nll[1]) == pytest.approx(-of(1, 3, 0, 1, 2), rel=1e-5)


def test_tasks_leave_the_batch_when_they_are_done_and_not_before() -> None:
    _, state = library()
    t = trainer(state, n_sup=3)
    t.measure_features(256)
    t.supervise(0.0)
    assert t.tasks == 64
    assert t._carry is not None
    first = t._batch.x.clone()  # type: ignore[union-attr]
    done = t._carry.halted.clone()
    t.supervise(0.1)
    assert t.tasks == 64 + int(done.sum())
    assert torch.equal(t._batch.x[~done], first[~done])  # type: ignore[union-attr]
    assert (t._carry.steps[~done] == 2).all()
    assert (t._carry.steps[done] == 1).all()
    t.supervise(0.2)
    assert t._carry.halted[~done].all()


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [schedule(k / 1000, k, 100) for k in range(1000)]
    assert rates[0] == pytest.approx(0.01, rel=0.01)
    assert max(rates) == pytest.approx(1.0, abs=0.05)
    assert rates[-1] == pytest.approx(0.02, abs=0.01)


def test_a_short_training_learns_something_and_the_same_seed_learns_the_same() -> None:
    _, state = library()
    held = held_out(state, Part.BEHAVIOUR, 128, seed=3, **SHAPE)
    nll = []
    for _ in range(2):
        t = trainer(state)
        t.measure_features(256)
        before = evaluate(t.ema.model, held)["nll"]
        for k in range(60):
            t.supervise(k / 60)
        nll.append(evaluate(t.ema.model, held)["nll"])
    assert nll[0] < before - 1.0
    assert nll[0] == nll[1]


def test_sleep_brings_a_new_function_forward() -> None:
    """After KE and PE are learned, their sum is ADD(KE, PE): its probability, before the sleep that follows and after."""
    conn, state = library()
    by_name = {entry["name"]: i for i, entry in state["metadata"].items()}
    model = pretrained.fitted_to(pretrained.load(), registry.plain_names(state))
    ema, optimizer = EMA(model), make_optimizer(model)
    ke = registry.register_learned(conn, state, "KE", 2, [(by_name["MUL"], [1, 1]), (by_name["MUL"], [0, 2])], [0.5])
    pe = registry.register_learned(conn, state, "PE", 2, [(by_name["MUL"], [0, 1])], [9.81])
    optimizer = grow(model, optimizer, registry.vocab_size(state), ema=ema)
    rng = np.random.default_rng(0)
    rows = np.round(np.column_stack([rng.uniform(0.5, 10, (30, 3)), rng.uniform(-100, 100, (30, 2))]), 2).tolist()
    examples = [(row, 0.5 * row[0] * row[1] ** 2 + 9.81 * row[0] * row[2]) for row in rows]

    def probability() -> float:
        o = predict_slots(ema.model, format_examples(examples, **SHAPE))
        slots = o.composition[0, 3] + o.primary[0, ke] + o.secondary[0, pe] + o.tertiary[0, by_name["ADD"]]
        return float(slots)

    before = probability()
    losses = sleep(state, model, optimizer, epochs=6, ema=ema, seed=1)
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    assert probability() > before + math.log(10)
    assert not model.training


class Dreamless(Dreamer):
    """Of a function that is asked for by itself there are no dreams."""

    def _belongs(self, records: Any, behaviour: Any) -> Any:
        return super()._belongs(records, behaviour) & (len(self.needing) != 1)


def test_a_function_that_nobody_can_dream_of_does_not_keep_sleep_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    conn, state = library()
    by_name = {entry["name"]: i for i, entry in state["metadata"].items()}
    for name in ("KE", "TWICE_KE"):
        steps = [(by_name["MUL"], [1, 1]), (by_name["MUL"], [0, 2])]
        last = registry.register_learned(conn, state, name, 2, steps, [0.5 if name == "KE" else 1.0])
    stream = DreamStream(Dreamless(state, seed=1, part=Part.ALL, needing=[last]), **SHAPE)
    with pytest.raises(NoDreams, match="16 tables gave no dream"):
        stream.take(4)
    monkeypatch.setattr(sleeping, "Dreamer", Dreamless)
    model = create_model(**SHAPE, d_model=32, n_functions=registry.vocab_size(state), n_heads=4, dropout=0.0, T=1, n_recursions=1)
    assert len(sleep(state, model, make_optimizer(model), epochs=1)) == 1


def test_the_command_trains_goes_on_and_writes_what_can_be_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "guide"
    arguments = ["--out", str(out), "--packs", "core", "--threads", "1", "--batch-size", "32"]
    monkey = {"HELD_OUT": 48, "PRIOR_TASKS": 500}
    before = {name: getattr(train_command, name) for name in monkey}
    try:
        for name, value in monkey.items():
            setattr(train_command, name, value)
        assert train_command.main([*arguments, "--minutes", "0.03"]) == 0
        first = pretrained.load(out / "guide.safetensors").card["data"]["tasks"]
        assert train_command.main([*arguments, "--minutes", "0.06"]) == 0
    finally:
        for name, value in before.items():
            setattr(train_command, name, value)
    said = capsys.readouterr().out
    assert f"going on from {first:,} tasks" in said
    guide = pretrained.load(out / "guide.safetensors")
    assert guide.card["data"]["tasks"] > first
    kinds = [json.loads(line)["kind"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert kinds.count("done") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--db", "none.db"], "there is no library none.db"),
        (["--packs", "core,sience"], "sience"),
        (["--device", "cudda"], "unknown device 'cudda'"),
    ],
)
def test_the_command_refuses_in_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_command.main(["--out", str(tmp_path / "g"), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
