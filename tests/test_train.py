"""Training: documented losses and loops, batching, halting, averaged weights, growth with moments carried over."""

from __future__ import annotations

import copy
import inspect
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nssr import train
from nssr.encoding import format_tasks
from nssr.model import create_model, fresh_carry
from nssr.train import (
    COMP_TYPE_INDEX,
    EMA,
    TargetBatch,
    batch_loss,
    compute_loss,
    grow,
    make_optimizer,
    resize_optimizer,
    supervision_step,
    target_batch,
    train_on_examples,
    train_on_replay,
)

SIZE = {"input_dim": 32, "seq_len": 8}
N = 9
FUNCTIONS = [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: int(a < b), lambda a, b: b - a]


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def make_model(d_model=32, **kwargs):
    torch.manual_seed(0)
    settings = {"n_heads": 4, "n_recursions": 2, "T": 1, "dropout": 0.0, "n_functions": N, **kwargs}
    return create_model(**SIZE, d_model=d_model, **settings)


def make_buffer(n=10, n_examples=8):
    """Tasks over two columns: single functions, and functions of an incremented value."""
    rng = np.random.default_rng(0)
    buffer = []
    for k in range(n):
        function, inner = FUNCTIONS[k % len(FUNCTIONS)], k >= len(FUNCTIONS)
        rows = rng.integers(-9, 10, (n_examples, 2)).tolist()
        target = {"primary_id": k % len(FUNCTIONS), "secondary_id": None, "tertiary_id": None, "comp_type": "none"}
        if inner:
            target |= {"secondary_id": 7, "comp_type": "nested"}
        examples = [([a, b], function(a + inner, b + inner)) for a, b in rows]
        buffer.append({"name": f"task{k}", "examples": examples, "target": target})
    return buffer


def answers(model, buffer):
    x = format_tasks([t["examples"] for t in buffer], **SIZE)
    model.eval()
    with torch.no_grad():
        _, outputs = model(fresh_carry(len(x), 8, model.d_model), x)
    return batch_loss(outputs, target_batch(t["target"] for t in buffer)), outputs


def logits(batch, n=N, seed=0):
    g = torch.Generator().manual_seed(seed)
    widths = {"primary": n, "secondary": n, "tertiary": n, "composition": 4, "halt": 1}
    return {f"{k}_logits": torch.randn(batch, w, generator=g) for k, w in widths.items()}


def test_documented_names_and_defaults():
    assert COMP_TYPE_INDEX == {
        "none": 0, "sequential": 1, "nested": 2, "parallel": 3, "loop_direct": 0, "loop_binary": 0,
    }  # fmt: skip
    examples, replay = (inspect.signature(f).parameters for f in (train_on_examples, train_on_replay))
    assert [*examples][:4] == ["model", "optimizer", "examples", "target"]
    assert [*replay][:3] == ["model", "optimizer", "replay_buffer"]
    assert (examples["num_epochs"].default, examples["n_sup"].default) == (30, 16)
    assert (replay["epochs_per_task"].default, replay["n_sup"].default, replay["patience"].default) == (2, 16, 5)
    assert [*inspect.signature(compute_loss).parameters][:3] == ["outputs", "target", "batch_size"]


def test_loss_is_the_negative_log_probability_of_the_program_plus_the_halt_loss():
    out = logits(1)
    target = {"primary_id": 3, "secondary_id": 5, "tertiary_id": 1, "comp_type": "parallel"}
    log_p = {k: v.log_softmax(-1)[0] for k, v in out.items()}
    wanted = -(log_p["primary_logits"][3] + log_p["secondary_logits"][5] + log_p["tertiary_logits"][1])
    wanted -= log_p["composition_logits"][3]
    solved = float(batch_loss(out, target_batch([target])).solved)
    wanted += 0.5 * F.binary_cross_entropy_with_logits(out["halt_logits"][0, 0], torch.tensor(solved))
    assert torch.allclose(compute_loss(out, target, 1), wanted)


def test_unused_slots_cost_nothing_and_get_no_gradient():
    out = {k: v.requires_grad_() for k, v in logits(4).items()}
    target = {"primary_id": 3, "secondary_id": None, "tertiary_id": None, "comp_type": "none"}
    compute_loss(out, target, 4).backward()
    assert not out["secondary_logits"].grad.any()
    assert not out["tertiary_logits"].grad.any()
    assert out["primary_logits"].grad.any()
    assert out["halt_logits"].grad.any()


def test_loss_of_many_rows_is_the_mean_and_follows_the_weights():
    out = logits(3)
    targets = TargetBatch(*(torch.tensor(t) for t in ([1, 2, 3], [-100, 4, 4], [-100, -100, 5], [0, 1, 3])))
    loss = batch_loss(out, targets)
    assert torch.allclose(loss.total, loss.rows.mean())
    for i in range(3):
        alone = batch_loss({k: v[i : i + 1] for k, v in out.items()}, targets.rows(torch.tensor([i])))
        assert torch.allclose(alone.total, loss.rows[i])
    weighted = batch_loss(out, targets, weight=torch.tensor([1.0, 0.0, 1.0]))
    assert torch.allclose(weighted.total, loss.rows[[0, 2]].mean())


def test_entropy_bonus_is_off_and_can_be_had():
    out, target = logits(2), {"primary_id": 0, "comp_type": "none"}
    assert compute_loss(out, target, 2, entropy_weight=0.05) < compute_loss(out, target, 2)
    assert torch.equal(compute_loss(out, target, 2), compute_loss(out, target, 2, entropy_weight=0.0))


def test_solved_means_every_slot_the_program_has():
    out = {k: torch.zeros_like(v) for k, v in logits(4).items()}
    out["primary_logits"][:, 2] = out["secondary_logits"][:, 5] = out["composition_logits"][:, 2] = 9.0
    wanted = [
        {"primary_id": 2, "secondary_id": 5, "comp_type": "nested"},
        {"primary_id": 2, "secondary_id": 4, "comp_type": "nested"},
        {"primary_id": 2, "comp_type": "nested"},
        {"primary_id": 2, "secondary_id": 5, "comp_type": "parallel"},
    ]
    assert batch_loss(out, target_batch(wanted)).solved.tolist() == [True, False, True, False]


def test_loops_have_the_class_none_and_wrong_targets_are_told():
    assert target_batch([{"primary_id": 1, "comp_type": "loop_binary"}]).composition.tolist() == [0]
    with pytest.raises(ValueError, match="comp_type is 'spiral'"):
        target_batch([{"primary_id": 1, "comp_type": "spiral"}])
    model, target = make_model(), {"primary_id": 0, "secondary_id": 9, "comp_type": "nested"}
    with pytest.raises(ValueError, match="secondary_id is 9, but the heads have 9 rows"):
        train_on_examples(model, make_optimizer(model), [([1], 1)], target, **SIZE)


def test_a_small_set_of_tasks_is_learned():
    model, buffer = make_model(), make_buffer()
    optimizer, ema = make_optimizer(model, lr=5e-3), EMA(model)
    losses = train_on_replay(model, optimizer, buffer, **SIZE, epochs_per_task=12, n_sup=2, patience=None, ema=ema)
    assert losses[-1] < losses[0] / 5
    for trained in (model, ema.model):
        loss, outputs = answers(trained, buffer)
        assert loss.solved.all()
        assert outputs["primary_logits"].argmax(-1).tolist() == [t["target"]["primary_id"] for t in buffer]
    assert (outputs["halt_logits"] > 0).any()  # it has come to know that it knows
    shuffled = [{**t, "examples": t["examples"][::-1]} for t in buffer]
    assert answers(model, shuffled)[0].solved.float().mean() >= 0.9


def test_one_task_is_learned_and_the_losses_are_per_epoch():
    model, task = make_model(), make_buffer(1, n_examples=20)[0]
    calls = []
    losses = train_on_examples(
        model, make_optimizer(model, lr=5e-3), task["examples"], task["target"], **SIZE, num_epochs=12, n_sup=4,
        progress=lambda *a: calls.append(a),
    )  # fmt: skip
    assert len(losses) == 12
    assert losses[-1] < losses[0] / 3
    assert answers(model, [task])[0].solved.all()
    assert [c[0] for c in calls] == list(range(1, len(calls) + 1))
    assert calls[0][1] == 48
    assert len(calls) < 48  # halted early once sure


def test_training_is_repeatable_and_seeded():
    def run(seed):
        model = make_model(dropout=0.1)
        return train_on_replay(
            model, make_optimizer(model), make_buffer(6, 20), **SIZE, n_sup=2, max_steps=8, batch_size=3, seed=seed
        )

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_bounds_of_a_run():
    def steps(**kwargs):
        model, done = make_model(), []
        losses = train_on_replay(
            model, make_optimizer(model), make_buffer(4), **SIZE, progress=lambda *a: done.append(a), **kwargs
        )
        return len(done), losses, done

    n, losses, done = steps(epochs_per_task=1, n_sup=2, patience=None)
    assert (n, len(losses), done[-1][1]) == (8, 4, 8)  # n_tasks * epochs_per_task epochs of one batch, two steps each
    n, losses, done = steps(n_sup=3, max_steps=7)
    assert (n, len(losses), done[-1][:2]) == (7, 3, (7, 7))
    n, losses, _ = steps(epochs_per_task=1, n_sup=1, batch_size=3, patience=None)
    assert (n, len(losses)) == (8, 4)
    count = iter(range(100))
    n, losses, _ = steps(n_sup=4, should_stop=lambda: next(count) >= 5)
    assert (n, len(losses)) == (5, 2)
    assert steps(should_stop=lambda: True)[:2] == (0, [])
    assert steps(max_steps=0)[:2] == (0, [])
    assert train_on_replay(make_model(), None, [], **SIZE) == []


def test_patience_ends_a_run_that_brings_nothing():
    model = make_model()
    optimizer = make_optimizer(model, lr=0.0, weight_decay=0.0)
    assert len(train_on_replay(model, optimizer, make_buffer(6), **SIZE, epochs_per_task=9, n_sup=1)) <= 8


def test_rates_and_modes_are_given_back_even_after_an_interruption():
    model = make_model().eval()
    optimizer = make_optimizer(model, lr=2e-3)
    rates = []

    def interrupt(done, _total, _loss):
        rates.append(optimizer.param_groups[0]["lr"])
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_on_replay(
            model, optimizer, make_buffer(3), **SIZE, n_sup=1, epochs_per_task=20, patience=None, progress=interrupt
        )
    assert {g["lr"] for g in optimizer.param_groups} == {2e-3}
    assert not model.training
    assert rates[0] < max(rates)
    assert max(rates) == pytest.approx(2e-3)
    assert rates[-1] < max(rates)


def test_one_optimiser_step_per_supervision_step_and_clipped_gradients():
    model, buffer = make_model(), make_buffer(5)
    optimizer = make_optimizer(model)
    x = format_tasks([t["examples"] for t in buffer], **SIZE)
    targets = target_batch(t["target"] for t in buffer)
    carry = fresh_carry(5, 8, 32)
    for step in (1, 2):
        result = supervision_step(model, optimizer, carry, x, targets)
        carry = result.carry
        assert {int(s["step"]) for s in optimizer.state.values()} == {step}
        norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
        assert norm <= 1.0 + 1e-4
    assert carry.steps.tolist() == [2] * 5


def test_a_gradient_that_is_not_finite_leaves_the_weights_alone():
    model, buffer = make_model(), make_buffer(2)
    before = copy.deepcopy(model.state_dict())
    x = format_tasks([t["examples"] for t in buffer], **SIZE)
    ema = EMA(model)
    targets = target_batch(t["target"] for t in buffer)
    weight = torch.tensor([math.inf, 1.0])
    supervision_step(model, make_optimizer(model), fresh_carry(2, 8, 32), x, targets, weight=weight, ema=ema)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert ema.step == 0


def half_sure(buffer):
    """An untrained model that says of half the tasks that they are solved."""
    model = make_model()
    with torch.no_grad():
        model.halt_head.weight[0] = torch.randn(32, generator=torch.Generator().manual_seed(0))
        model.halt_head.bias -= answers(model, buffer)[1]["halt_logits"].median()
    return model


@pytest.mark.parametrize(("explore", "least"), [(0.0, 1), (1.0, 2)])
def test_solved_tasks_leave_the_batch(monkeypatch, explore, least):
    buffer = make_buffer(6)
    model = half_sure(buffer)
    sizes, inner = [], train.supervision_step

    def spy(model, optimizer, carry, x, targets, **kwargs):
        assert not carry.halted.any()
        assert len(x) == len(targets) == len(carry.y)
        sizes.append(len(x))
        return inner(model, optimizer, carry, x, targets, **kwargs)

    monkeypatch.setattr(train, "supervision_step", spy)
    monkeypatch.setattr(train, "EXPLORE", explore)
    train_on_replay(model, make_optimizer(model, lr=0.0, weight_decay=0.0), buffer, **SIZE, n_sup=6, max_steps=6)
    assert sizes[:least] == [6] * least  # exploring tasks must make two steps at least
    assert min(sizes) < 6


def test_compiled_blocks_see_few_batch_sizes(monkeypatch):
    """Tasks that halt are replaced by rows of weight zero until the batch can be halved."""
    buffer = make_buffer(7)
    model = half_sure(buffer)
    model._compiled_blocks = model._run_blocks
    sizes, inner = [], train.supervision_step

    def spy(model, optimizer, carry, x, targets, *, weight, ema):
        sizes.append((len(x), int(weight.sum())))
        return inner(model, optimizer, carry, x, targets, weight=weight, ema=ema)

    monkeypatch.setattr(train, "supervision_step", spy)
    losses = train_on_replay(model, make_optimizer(model), buffer, **SIZE, n_sup=4, batch_size=4, max_steps=24)
    assert {rows for rows, _ in sizes} <= {4, 2}
    assert any(weight < rows for rows, weight in sizes)
    assert np.isfinite(losses).all()
    model._compiled_blocks = None


def test_ema_follows_with_a_growing_decay():
    model = make_model()
    ema = EMA(model)
    assert not any(p.requires_grad for p in ema.model.parameters())
    assert not ema.model.training
    start = ema.model.y0.clone()
    with torch.no_grad():
        model.y0 += 1.0
    ema.update(model)
    assert torch.allclose(ema.model.y0, start + 0.9, atol=1e-5)
    ema.step = 10**6
    before = ema.model.y0.clone()
    ema.update(model)
    assert torch.allclose(ema.model.y0, before + 0.001 * (model.y0 - before), atol=1e-6)
    model.set_feature_statistics(torch.full((32,), 2.0), torch.ones(32))
    ema.update(model)
    assert torch.equal(ema.model.feature_mean, model.feature_mean)


def test_ema_grows_with_the_vocabulary_and_is_saved():
    model = make_model()
    ema = EMA(model)
    known = ema.model.primary_head.weight.clone()
    grow(model, make_optimizer(model), N + 2)
    ema.update(model)  # without having been told
    assert ema.model.n_functions == N + 2
    assert torch.allclose(ema.model.primary_head.weight[:N], known, atol=1e-6)
    assert not any(p.requires_grad for p in ema.model.parameters())
    other = EMA(model)
    other.load_state_dict(ema.state_dict())
    assert other.step == 1
    assert torch.equal(other.model.primary_head.weight, ema.model.primary_head.weight)


@pytest.mark.parametrize("kind", ["ours", "plain", "adam", "sgd"])
def test_growth_carries_the_moments_row_by_row(kind):
    model, buffer = make_model(), make_buffer(5)
    optimizer = {
        "ours": lambda: make_optimizer(model, lr=3e-3),
        "plain": lambda: torch.optim.AdamW(model.parameters(), lr=3e-3),
        "adam": lambda: torch.optim.Adam(model.parameters(), lr=3e-3, amsgrad=True),
        "sgd": lambda: torch.optim.SGD(model.parameters(), lr=3e-3, momentum=0.9),
    }[kind]()
    train_on_replay(model, optimizer, buffer, **SIZE, n_sup=1, max_steps=5)
    old_head, old_block = model.primary_head.weight, model.blocks[0].qkv.weight
    before = copy.deepcopy(optimizer.state[old_head])
    grown = grow(model, optimizer, N + 3)
    assert grown is not optimizer
    assert type(grown) is type(optimizer)
    assert [len(g["params"]) for g in grown.param_groups] == [len(g["params"]) for g in optimizer.param_groups]
    assert {p for g in grown.param_groups for p in g["params"]} == set(model.parameters())
    assert grown.param_groups[0]["lr"] == 3e-3
    state = grown.state[model.primary_head.weight]
    for key, value in before.items():
        if torch.is_tensor(value) and value.ndim == 2:
            assert state[key].shape == (N + 3, 32)
            assert torch.equal(state[key][:N], value)
            new = value.mean(0).expand(3, -1) if "sq" in key else torch.zeros(3, 32)
            assert torch.allclose(state[key][N:], new)
        elif key == "step":
            assert int(state[key]) == 5
    for key, value in optimizer.state[old_block].items():
        assert torch.equal(torch.as_tensor(grown.state[old_block][key]), torch.as_tensor(value))
    losses = train_on_replay(model, grown, buffer, **SIZE, n_sup=1, max_steps=3)
    assert np.isfinite(losses).all()


def test_growth_to_the_same_size_changes_nothing():
    model = make_model()
    optimizer = make_optimizer(model)
    assert grow(model, optimizer, N) is optimizer
    assert resize_optimizer(optimizer, []) is not optimizer


def test_known_tasks_survive_growth():
    model, buffer = make_model(), make_buffer(5)
    optimizer = make_optimizer(model, lr=5e-3)
    train_on_replay(model, optimizer, buffer, **SIZE, n_sup=1, epochs_per_task=16, patience=None)
    before = answers(model, buffer)[1]["primary_logits"]
    grow(model, optimizer, N + 1)
    after = answers(model, buffer)[1]["primary_logits"]
    assert torch.allclose(before, after[:, :N], atol=1e-5)
    assert (after.argmax(-1) < N).all()


def test_decay_is_for_matrices_only():
    model = make_model()
    decayed, free = make_optimizer(model).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert all(p.ndim == 2 for p in decayed["params"])
    names = {p: n for n, p in model.named_parameters()}
    assert {"pos_emb", "y0", "z0", "ln_recursion.weight"} <= {names[p] for p in free["params"]}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_cuda():  # pragma: no cover
    from nssr.model import enable_compile

    model = make_model().cuda()
    enable_compile(model, "auto", batch_size=10)
    losses = train_on_replay(model, make_optimizer(model), make_buffer(), **SIZE, n_sup=2, max_steps=40, patience=None)
    assert losses[-1] < losses[0]
