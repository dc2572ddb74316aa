"""The TRM: documented interface, recursion, pooling over present tokens, growth, devices and compilation."""

from __future__ import annotations

import copy
import inspect
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from nssr.encoding import format_tasks, present_index
from nssr.errors import UserError
from nssr.model import (
    TRM,
    Carry,
    create_model,
    enable_compile,
    fresh_carry,
    predict_slots,
    reset_carry,
    resize_heads,
    resolve_device,
)

HEADS = ("primary", "secondary", "tertiary")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model(input_dim=32, seq_len=8, d_model=32, n_functions=11, n_heads=4, n_recursions=2, T=2).eval()


def tasks(n=6, seed=0):
    rng = np.random.default_rng(seed)
    return [[((v := rng.integers(-9, 9, 3)).tolist(), int(v[0] + k * v[1])) for _ in range(4 + k)] for k in range(n)]


@pytest.fixture
def x():
    return format_tasks(tasks(), input_dim=32, seq_len=8)


def start(model, x):
    return fresh_carry(len(x), x.shape[1], model.d_model)


def test_documented_constructor_and_defaults():
    parameters = inspect.signature(TRM).parameters
    required = {"input_dim", "seq_len", "d_model", "n_functions"}
    defaults = {"n_heads": 8, "n_layers": 2, "d_ff": None, "dropout": 0.1, "n_recursions": 6, "T": 3}
    assert {n for n, p in parameters.items() if p.default is p.empty} == required
    assert {n: p.default for n, p in parameters.items() if p.default is not p.empty} == defaults
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters.values())
    made = create_model(input_dim=32, seq_len=8, d_model=16, n_functions=3)
    assert (made.d_ff, made.T, made.n_recursions, made.n_layers, made.n_heads) == (64, 3, 6, 2, 8)
    assert isinstance(made.ln_recursion, nn.LayerNorm)
    assert TRM(**made.settings).settings == made.settings


@pytest.mark.parametrize("wrong", [{"n_heads": 3}, {"T": 0}, {"n_recursions": 0}, {"n_functions": 0}, {"input_dim": 7}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        TRM(**{"input_dim": 32, "seq_len": 8, "d_model": 32, "n_functions": 4, **wrong})


def test_forward_shapes_and_carry(model, x):
    carry, out = model(start(model, x), x)
    assert {name: tuple(v.shape) for name, v in out.items()} == {
        "primary_logits": (6, 11),
        "secondary_logits": (6, 11),
        "tertiary_logits": (6, 11),
        "composition_logits": (6, 4),
        "halt_logits": (6, 1),
    }
    assert carry.y.shape == carry.z.shape == (6, 8, 32)
    assert not carry.y.requires_grad
    assert not carry.z.requires_grad
    assert carry.steps.tolist() == [1] * 6
    assert out["primary_logits"].requires_grad


def test_fresh_and_reset_carry_are_zeros(model, x):
    fresh = fresh_carry(3, 8, 32)
    assert fresh.y.shape == fresh.z.shape == (3, 8, 32)
    assert fresh.steps.shape == fresh.halted.shape == (3,)
    assert fresh.halted.dtype == torch.bool
    used, _ = model(start(model, x), x)
    for carry in (fresh, reset_carry(used)):
        assert not any(part.any() for part in (carry.y, carry.z, carry.steps, carry.halted))
    assert reset_carry(used).y.shape == used.y.shape
    assert used.y.any()


def test_an_untrained_model_does_not_halt(model, x):
    _, out = model(start(model, x), x)
    assert torch.allclose(out["halt_logits"], torch.tensor(-5.0))


def test_state_keeps_unit_rms_however_long_it_thinks(model, x):
    carry = start(model, x)
    for _ in range(10):
        carry, out = model(carry, x)
    for state in (carry.y, carry.z):
        assert torch.allclose(state.square().mean(-1).sqrt(), torch.ones(6, 8), atol=1e-3)
    assert all(v.isfinite().all() for v in out.values())


def test_only_the_last_cycle_has_gradient_and_answers_are_given_blind(model, x, monkeypatch):
    model.T, model.n_recursions = 3, 2
    enabled, inputs = [], []
    cycle, blocks = TRM._latent_recursion, TRM._apply_blocks

    def spy_cycle(self, *args):
        enabled.append(torch.is_grad_enabled())
        return cycle(self, *args)

    def spy_blocks(self, h, mask=None):
        inputs.append(h.detach())
        return blocks(self, h, mask)

    monkeypatch.setattr(TRM, "_latent_recursion", spy_cycle)
    monkeypatch.setattr(TRM, "_apply_blocks", spy_blocks)
    model(start(model, x), x)
    assert enabled == [False, False, True]
    assert len(inputs) == 3 * (2 + 1)  # effective depth T (n + 1) n_layers


def test_latent_recursion_answers_without_the_input(model):
    h, y, z = (torch.randn(2, 8, 32) for _ in range(3))
    seen = []
    model._apply_blocks = lambda h, mask=None: seen.append(h) or torch.full_like(h, float(len(seen)))
    answer, thought = model._latent_recursion(h, y, z)
    ln = model.ln_recursion
    assert torch.equal(seen[0], ln(h + y + z))
    assert torch.equal(seen[1], ln(h + y + 1.0))
    assert torch.equal(seen[2], ln(y + 2.0))
    assert (answer == 3).all()
    assert (thought == 2).all()


def test_every_weight_learns(model, x):
    model.T = 1
    _, out = model(start(model, x), x)
    sum(v.square().sum() for v in out.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_the_learned_start_is_used_in_the_first_step_only(model, x):
    carry, _ = model(start(model, x), x)
    before = model(carry, x)[1]["primary_logits"]
    fresh = model(start(model, x), x)[1]["primary_logits"]
    with torch.no_grad():
        model.y0.neg_()
    assert torch.equal(before, model(carry, x)[1]["primary_logits"])
    assert not torch.allclose(fresh, model(start(model, x), x)[1]["primary_logits"])


def test_order_of_examples_matters_little(model, x):
    """Positions start at zero, so before training it does not matter at all."""
    task = format_tasks([tasks()[4]], input_dim=32, seq_len=8)
    shuffled = task[:, torch.randperm(8, generator=torch.Generator().manual_seed(1))]
    a, b = (model(start(model, t), t)[1]["primary_logits"] for t in (task, shuffled))
    assert torch.allclose(a, b, atol=1e-5)


def test_padding_tokens_do_not_matter(model, x):
    short = x[:1, :4]
    padded = x[:1].clone()
    padded[:, 4:] = 3.0
    padded[:, 4:, present_index(32)] = 0.0
    a, b = (model(start(model, t), t)[1]["primary_logits"] for t in (short, padded))
    assert torch.allclose(a, b, atol=1e-5)


def test_a_task_without_examples_gives_finite_answers(model):
    empty = torch.zeros(2, 8, 32)
    carry, out = model(start(model, empty), empty)
    assert all(v.isfinite().all() for v in (*out.values(), carry.y))


def test_batch_equals_single(model, x):
    _, together = model(start(model, x), x)
    for i in range(len(x)):
        _, alone = model(fresh_carry(1, 8, 32), x[i : i + 1])
        for name, value in alone.items():
            assert torch.allclose(together[name][i : i + 1], value, atol=1e-5)


def test_feature_statistics_normalise_and_are_saved(model, x):
    flat = x.reshape(-1, 32)
    model.set_feature_statistics(flat.mean(0), flat.std(0))
    assert {"feature_mean", "feature_std"} <= model.state_dict().keys()
    assert (model.feature_std > 0).all()
    twin = TRM(**model.settings).eval()
    twin.load_state_dict(model.state_dict())
    assert torch.equal(model(start(model, x), x)[1]["primary_logits"], twin(start(model, x), x)[1]["primary_logits"])
    with pytest.raises(ValueError, match="shape"):
        model.set_feature_statistics(torch.zeros(3), torch.ones(3))


def test_wrong_token_width_is_told(model):
    with pytest.raises(ValueError, match="not \\(batch, up to 8, 32\\)"):
        model(fresh_carry(1, 8, 32), torch.zeros(1, 8, 16))


def test_resize_heads_keeps_known_rows_and_starts_new_ones_average(model):
    model.double()
    before = copy.deepcopy(model)
    resize_heads(model, 11, 14)
    assert model.n_functions == 14
    for name in HEADS:
        old, new = getattr(before, f"{name}_head"), getattr(model, f"{name}_head")
        assert new.weight.shape == (14, 32)
        assert new.weight.dtype == torch.float64
        assert torch.equal(new.weight[:11], old.weight)
        assert torch.equal(new.bias[:11], old.bias)
        distance = (new.weight[11:] - old.weight.mean(0)).abs().mean()
        assert 0 < distance < old.weight.std()
    assert torch.equal(model.composition_head.weight, before.composition_head.weight)


def test_resize_heads_never_shrinks_and_refuses_a_wrong_size(model):
    heads = [getattr(model, f"{name}_head") for name in HEADS]
    resize_heads(model, 11, 11)
    resize_heads(model, 11, 5)
    assert [getattr(model, f"{name}_head") for name in HEADS] == heads
    with pytest.raises(ValueError, match="have 11 functions, not 9"):
        resize_heads(model, 9, 12)


def test_predictions_are_normalised_and_repeatable(model, x):
    model.train()
    a, b = predict_slots(model, x), predict_slots(model, x)
    assert model.training
    for name, width in {"primary": 11, "secondary": 11, "tertiary": 11, "composition": 4}.items():
        value = getattr(a, name)
        assert value.shape == (6, width)
        np.testing.assert_allclose(np.exp(value).sum(1), 1, rtol=1e-5)
        np.testing.assert_array_equal(value, getattr(b, name))
    assert a.halt.shape == (6,)
    np.testing.assert_allclose(a.halt, 1 / (1 + np.exp(5)), rtol=1e-4)


def test_predictions_average_the_probabilities_of_noisy_carries(model, x):
    plain = predict_slots(model, x)
    same = predict_slots(model, x, n_carries=3)
    np.testing.assert_allclose(plain.primary, same.primary, atol=1e-5)
    noisy = [predict_slots(model, x, n_carries=4, noise=0.5) for _ in range(2)]
    np.testing.assert_array_equal(noisy[0].primary, noisy[1].primary)
    assert abs(noisy[0].primary - plain.primary).max() > 1e-4
    np.testing.assert_allclose(np.exp(noisy[0].primary).sum(1), 1, rtol=1e-5)
    seeded = [
        predict_slots(model, x, n_carries=4, noise=0.5, generator=torch.Generator().manual_seed(s)) for s in (5, 5, 6)
    ]
    np.testing.assert_array_equal(seeded[0].primary, seeded[1].primary)
    assert (seeded[0].primary != seeded[2].primary).any()


def test_no_tasks_give_no_predictions(model, x):
    assert predict_slots(model, x[:0], n_carries=2).primary.shape == (0, 11)


def test_predictions_after_more_steps_are_those_of_the_loop(model, x):
    carry = start(model, x)
    with torch.no_grad():
        for _ in range(3):
            carry, out = model(carry, x)
    wanted = out["primary_logits"].log_softmax(-1)
    np.testing.assert_allclose(predict_slots(model, x, steps=3).primary, wanted, atol=1e-5)


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for unknown in ("tpu", "cuda:x", ""):
        with pytest.raises(UserError, match="unknown device"):
            resolve_device(unknown)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_cuda_is_refused_with_advice():
    with pytest.raises(UserError, match="--device cpu"):
        resolve_device("cuda")


def test_compile_is_off_on_cpu_unless_asked(model):
    assert enable_compile(model) is False
    assert enable_compile(model, "off") is False
    assert not model.is_compiled
    with pytest.raises(UserError, match="compile mode"):
        enable_compile(model, "maybe")


@pytest.fixture
def counted(monkeypatch):
    """torch.compile with a backend that counts graphs and runs them eagerly: the real tracer, no minute of C++."""
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    counter, compile_ = CompileCounter(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, mode=None: compile_(f, backend=counter))
    yield counter
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_blocks_give_the_same_and_growing_never_recompiles(model, x, counted):
    keys = set(model.state_dict())
    eager = model(start(model, x), x)[1]
    assert enable_compile(model, "on", batch_size=6) is True
    assert model.is_compiled
    compiled = model(start(model, x), x)[1]
    for name, value in eager.items():
        assert torch.allclose(value, compiled[name], atol=1e-5)
    assert set(model.state_dict()) == keys
    graphs = counted.frame_count
    for n in (12, 15):
        resize_heads(model, model.n_functions, n)
        assert model(start(model, x), x)[1]["primary_logits"].shape == (6, n)
    assert counted.frame_count == graphs
    padded = predict_slots(model, x, n_carries=3, noise=0.3).primary
    assert padded.shape == (6, 15)
    twin = copy.deepcopy(model)
    assert not twin.is_compiled  # else it would run on the weights of the original
    assert enable_compile(model, "off") is False
    assert not model.is_compiled
    np.testing.assert_allclose(predict_slots(model, x, n_carries=3, noise=0.3).primary, padded, atol=1e-5)


def boom(*_args, **_kwargs):
    raise RuntimeError("no compiler here\nsecond line")


def test_a_compiler_that_fails_at_once_means_eager_and_one_warning(model, x, monkeypatch):
    monkeypatch.setattr(torch, "compile", boom)
    with pytest.warns(RuntimeWarning, match="no compiler here$") as caught:
        assert enable_compile(model, "on") is False
    assert len(caught) == 1
    model(start(model, x), x)


def test_a_missing_cpp_compiler_is_found_by_the_probe(model, monkeypatch):
    from torch._inductor import cpp_builder

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", boom)
    with pytest.warns(RuntimeWarning, match="runs uncompiled") as caught:
        assert enable_compile(model, "on") is False
    assert len(caught) == 1


def test_a_compiler_that_fails_at_the_first_call_or_later_means_eager(model, x, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda f, mode=None: boom)
    with pytest.warns(RuntimeWarning, match="runs uncompiled"):
        assert enable_compile(model, "on") is False
    wanted = model(start(model, x), x)[1]["primary_logits"]
    model._compiled_blocks = boom
    with pytest.warns(RuntimeWarning, match="runs uncompiled") as caught:
        got = model(start(model, x), x)[1]["primary_logits"]
    assert len(caught) == 1
    assert torch.equal(got, wanted)
    assert not model.is_compiled


@needs_cuda
def test_cuda_compiled_agrees_with_eager():  # pragma: no cover
    torch.manual_seed(0)
    model = create_model(input_dim=32, seq_len=8, d_model=32, n_functions=5, T=2, n_recursions=2).cuda().eval()
    x = format_tasks(tasks(8), input_dim=32, seq_len=8).cuda()
    eager = predict_slots(model, x, steps=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert enable_compile(model, "auto", batch_size=8) is True
    np.testing.assert_allclose(predict_slots(model, x, steps=2).primary, eager.primary, atol=1e-3)


@needs_cuda
def test_cuda_carry_lives_on_the_device():  # pragma: no cover
    carry: Carry = fresh_carry(2, 8, 16, device="cuda")
    assert {t.device.type for t in (carry.y, carry.z, carry.steps, carry.halted)} == {"cuda"}
