"""The guide that comes with NSSR, and guides as files: by name into any library, and refused in one line where they are wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nssr import db, pretrained, registry
from nssr.encoding import ENCODING_VERSION, format_examples, format_tasks
from nssr.errors import UserError
from nssr.model import FUNCTION_HEADS, create_model, predict_slots


def names_of(packs: tuple[str, ...]) -> list[str]:
    return registry.plain_names(registry.init_registry(db.init_db(":memory:"), packs))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for source in (pretrained.SHIPPED, pretrained.card_path(pretrained.SHIPPED)):
        shutil.copy(source, tmp_path)
    return tmp_path / pretrained.SHIPPED.name


def changed(copy: Path, **facts: Any) -> None:
    card = json.loads(pretrained.card_path(copy).read_text())
    pretrained.card_path(copy).write_text(json.dumps(card | facts))


def test_the_shipped_guide_is_small_and_says_what_it_is() -> None:
    guide = pretrained.load()
    assert pretrained.SHIPPED.stat().st_size < 4_000_000
    assert guide.card["data"]["tasks"] > 1_000_000
    assert set(guide.card["scores"]) == {"held_out", "behaviour", "structure"}
    assert list(guide.vocabulary) == names_of(("core", "science"))


def test_it_knows_an_addition_when_it_sees_one() -> None:
    rng = np.random.default_rng(0)
    examples = [([a, b], a + b) for a, b in rng.integers(-20, 20, (12, 2)).tolist()]
    names = names_of(("core",))
    model = pretrained.fitted_to(pretrained.load(), names)
    opinion = predict_slots(model, format_examples(examples, input_dim=32, seq_len=8))
    assert names[int(opinion.primary[0].argmax())] == "ADD"
    usual = pretrained.prior(pretrained.load(), names)
    assert opinion.primary[0].max() > usual.primary[names.index("ADD")]


def test_rows_go_where_the_names_are() -> None:
    guide = pretrained.load()
    shuffled = [*reversed(guide.vocabulary), "NEW"]
    model = pretrained.fitted_to(guide, shuffled)
    for head in FUNCTION_HEADS:
        before, after = (getattr(m, f"{head}_head").weight for m in (guide.model, model))
        assert torch.equal(after[:-1], before.flip(0))
        assert torch.allclose(after[-1], before.mean(0))
    first, second, third, kinds = pretrained.prior(guide, shuffled)
    for row in (first, second, third, kinds):
        assert np.exp(row).sum() == pytest.approx(1.0)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    model = create_model(input_dim=32, seq_len=8, d_model=16, n_functions=3, n_heads=2, dropout=0.0, T=1, n_recursions=1)
    path = tmp_path / "mine.safetensors"
    pretrained.save(path, model, ["A", "B", "C"], {"scores": {}})
    guide = pretrained.load(path)
    assert guide.vocabulary == ("A", "B", "C")
    for name, value in model.state_dict().items():
        assert torch.equal(value, guide.model.state_dict()[name])
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    with pytest.raises(ValueError, match="3 functions and the vocabulary 2"):
        pretrained.save(path, model, ["A", "B"], {})


def test_bad_files_are_refused_in_one_line(copy: Path) -> None:
    whole = copy.read_bytes()
    for content in (whole[:1000], b"", b"\x80\x04\x95pickled", whole[:-4]):
        copy.write_bytes(content)
        with pytest.raises(UserError, match="is damaged or no safetensors file") as refused:
            pretrained.load(copy)
        assert "\n" not in str(refused.value)
    copy.write_bytes(whole)
    changed(copy, encoding_version=ENCODING_VERSION + 1)
    with pytest.raises(UserError, match=f"encoding {ENCODING_VERSION + 1} of the examples, this NSSR has {ENCODING_VERSION}"):
        pretrained.load(copy)
    changed(copy, encoding_version=ENCODING_VERSION, vocabulary=["A"])
    with pytest.raises(UserError, match="does not fit its card: its vocabulary is not that of its heads"):
        pretrained.load(copy)
    changed(copy, settings={"d_model": 64})
    with pytest.raises(UserError, match="does not fit its card"):
        pretrained.load(copy)
    pretrained.card_path(copy).write_text("[1")
    with pytest.raises(UserError, match="is no JSON"):
        pretrained.load(copy)
    pretrained.card_path(copy).write_text("[1]")
    with pytest.raises(UserError, match="no card of a guide"):
        pretrained.load(copy)
    pretrained.card_path(copy).unlink()
    with pytest.raises(UserError, match="cannot be read: No such file"):
        pretrained.load(copy)


ODD: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "40 columns": (np.arange(480.0).reshape(12, 40), np.arange(12.0)),
    "one example": (np.array([[1.0, 2.0]]), np.array([3.0])),
    "constant outputs": (np.arange(20.0).reshape(10, 2), np.full(10, 7.0)),
    "a million examples": (np.arange(2_000_000.0).reshape(-1, 2), np.arange(1_000_000.0)),
    "what is no number": (np.array([[np.nan, 1.0], [np.inf, 2.0], [0.0, 3.0]]), np.array([1.0, np.nan, -np.inf])),
    "huge numbers": (np.array([[1e300, -1e300], [1e-300, 0.0]]), np.array([1e308, -1e308])),
}


@pytest.mark.parametrize("case", list(ODD))
def test_any_table_gets_an_order(case: str) -> None:
    names = names_of(("core",))
    model = pretrained.fitted_to(pretrained.load(), names)
    opinion = predict_slots(model, format_tasks([ODD[case]], input_dim=32, seq_len=8), n_carries=4, noise=0.25)
    for row in (opinion.primary[0], opinion.secondary[0], opinion.tertiary[0], opinion.composition[0]):
        assert np.isfinite(row).all()
        assert np.exp(row).sum() == pytest.approx(1.0, abs=1e-4)
