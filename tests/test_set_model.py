"""The TRM that reads examples as a set: its interface is the documented one, and of the examples only the set matters."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from nssr.encoding import CLIP, format_tasks, present_index
from nssr.errors import UserError
from nssr.model import SetTRM, create_model, enable_compile, fresh_carry, predict_slots, resize_heads
from nssr.muon import Muon, orthogonalised
from nssr.optimizer import EMA, grow, make_muon
from nssr.row_reader import N_DERIVED, derived, raw_values

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture
def model() -> SetTRM:
    torch.manual_seed(0)
    made = create_model(
        input_dim=32, seq_len=8, d_model=32, n_functions=11, n_heads=4, n_recursions=2, T=2, reading="set", dropout=0.0
    )
    assert isinstance(made, SetTRM)
    made.eval()
    return made


def tasks(n: int = 6, columns: int = 3, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    tables = [np.round(rng.normal(size=(4 + k, columns)) * 10.0 ** rng.uniform(-2, 3, columns), 3) for k in range(n)]
    return [(x, x.sum(axis=1)) for x in tables]


@pytest.fixture
def x() -> Tensor:
    return format_tasks(tasks(), input_dim=32, seq_len=8)


def answer(model: SetTRM, x: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = model(fresh_carry(len(x), x.shape[1], model.d_model), x)[1]
    return found


def test_it_answers_as_the_other_kind_does(model: SetTRM, x: Tensor) -> None:
    carry, out = model(fresh_carry(6, 8, 32), x)
    assert {name: tuple(v.shape) for name, v in out.items()} == {
        "primary_logits": (6, 11), "secondary_logits": (6, 11), "tertiary_logits": (6, 11), "composition_logits": (6, 4),
        "halt_logits": (6, 1),
    }  # fmt: skip
    assert carry.y.shape == carry.z.shape == (6, 8, 32)
    assert carry.steps.tolist() == [1] * 6
    assert not carry.y.requires_grad
    for state in (carry.y, carry.z):
        assert torch.allclose(state[:, 0].square().mean(-1).sqrt(), torch.ones(6), atol=1e-3)
        assert not state[:, 1:].any()
    again, _ = model(carry, x)
    assert not torch.allclose(again.y[:, 0], carry.y[:, 0])


def test_the_order_of_examples_does_not_matter(model: SetTRM, x: Tensor) -> None:
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    shuffled = x[5:][:, torch.randperm(8)]
    assert torch.allclose(answer(model, x[5:])["primary_logits"], answer(model, shuffled)["primary_logits"], atol=1e-5)


def test_padding_does_not_matter(model: SetTRM, x: Tensor) -> None:
    padded = x[:1].clone()
    padded[:, 4:] = 3.0
    padded[:, 4:, present_index(32)] = 0.0
    short, long = answer(model, x[:1, :4]), answer(model, padded)
    assert torch.allclose(short["primary_logits"], long["primary_logits"], atol=1e-5)


def test_no_examples_and_narrow_tokens_give_finite_answers(model: SetTRM) -> None:
    assert all(v.isfinite().all() for v in answer(model, torch.zeros(2, 8, 32)).values())
    for input_dim in (8, 14, 20):
        narrow = create_model(input_dim=input_dim, seq_len=4, d_model=16, n_functions=3, n_heads=2, reading="set")
        encoded = format_tasks(tasks(3, columns=2), input_dim=input_dim, seq_len=4)
        assert all(v.isfinite().all() for v in narrow(fresh_carry(3, 4, 16), encoded)[1].values())


def test_every_weight_learns(model: SetTRM, x: Tensor) -> None:
    model.T = 1
    sum(v.square().sum() for v in answer(model, x).values()).backward()  # type: ignore[union-attr]
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_a_make_is_told_by_its_word(model: SetTRM) -> None:
    assert model.architecture["reading"] == "set"
    assert "reading" not in model.settings
    twin = type(model)(**model.settings)
    twin.load_state_dict(model.state_dict())
    with pytest.raises(UserError, match="reading is 'rows'; it must be one of tokens, set"):
        create_model(input_dim=32, seq_len=8, d_model=32, n_functions=11, reading="rows")


def test_noisy_carries_give_other_opinions(model: SetTRM, x: Tensor) -> None:
    plain = predict_slots(model, x)
    noisy = predict_slots(model, x, n_carries=4, noise=0.5)
    assert abs(noisy.primary - plain.primary).max() > 1e-4
    np.testing.assert_allclose(np.exp(noisy.primary).sum(1), 1, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_blocks_give_the_same(model: SetTRM, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    counter, compile_ = CompileCounter(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, mode=None: compile_(f, backend=counter))
    eager = answer(model, x)["primary_logits"]
    assert enable_compile(model, "on", batch_size=6) is True
    assert torch.allclose(eager, answer(model, x)["primary_logits"], atol=1e-5)
    assert counter.frame_count
    torch._dynamo.reset()


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5, 6])
def test_numbers_come_back_from_their_features(columns: int) -> None:
    for numbers, outputs in tasks(4, columns=columns):
        found = raw_values(format_tasks([(numbers, outputs)], input_dim=32, seq_len=8))[0, : len(numbers)].numpy()
        np.testing.assert_allclose(found[:, :columns], numbers, rtol=5e-3, atol=1e-4)
        np.testing.assert_allclose(found[:, -1], outputs, rtol=5e-3, atol=1e-4)


def test_derived_features_are_finite_and_of_unit_scale() -> None:
    v = torch.tensor([0.0, -0.0, 1e-30, -1.0, 3.0, 1e9, -1e9])
    found = derived(v)
    assert found.shape == (7 * N_DERIVED,)
    assert found.isfinite().all()
    assert found.abs().max() <= CLIP


# ---- Muon ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 8), (5, 12), (12, 5)])
def test_an_update_has_about_the_same_length_in_every_direction(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalised(matrix)
    assert found.shape == matrix.shape
    lengths = torch.linalg.svdvals(found)
    assert lengths.min() > 0.5
    assert lengths.max() < 1.4
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(found.flatten(), (u @ v).flatten(), dim=0) > 0.95


def test_every_weight_is_in_one_group_and_moves(model: SetTRM, x: Tensor) -> None:
    optimizer = make_muon(model)
    ids = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    turned = {id(p) for p in optimizer.param_groups[0]["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in turned}
    assert "reader.second.weight" in names
    assert not names & {"reader.first.weight", "primary_head.weight", "y0"}
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.T = 1
    sum(v.square().sum() for v in answer(model, x).values()).backward()  # type: ignore[union-attr]
    optimizer.step()
    assert all(not torch.equal(before[name], p) for name, p in model.named_parameters())


def test_muon_survives_growth_and_a_checkpoint(model: SetTRM, x: Tensor) -> None:
    optimizer: torch.optim.Optimizer = make_muon(model)
    ema = EMA(model)

    def step() -> None:
        optimizer.zero_grad()
        (answer(model, x)["primary_logits"].square().sum() + answer(model, x)["composition_logits"].square().sum()).backward()
        optimizer.step()
        ema.update(model)

    model.T = 1
    step()
    old = optimizer.state[model.reader.second.weight]["momentum"]
    optimizer = grow(model, optimizer, 13, ema=ema)
    assert isinstance(optimizer, Muon)
    assert torch.equal(optimizer.state[model.reader.second.weight]["momentum"], old)
    assert optimizer.state[model.primary_head.weight]["exp_avg"].shape == (13, 32)
    step()
    twin = copy.deepcopy(model)
    other = make_muon(twin)
    other.load_state_dict(optimizer.state_dict())
    mine, theirs = optimizer.state[model.reader.second.weight], other.state[twin.reader.second.weight]
    assert torch.equal(mine["momentum"], theirs["momentum"])
    assert other.param_groups[0]["orthogonal"] is True


def test_heads_grow(model: SetTRM, x: Tensor) -> None:
    resize_heads(model, 11, 14)
    assert answer(model, x)["tertiary_logits"].shape == (6, 14)
