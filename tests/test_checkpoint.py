"""Checkpoints: whole or not there, plain data only, grown vocabularies, refusals that leave the file alone."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from nssr import checkpoint
from nssr.errors import UserError
from nssr.model import create_model
from nssr.train import EMA, make_optimizer, train_on_replay

VOCAB = ["OR", "AND", "NOT", "ADD", "SUB"]
SIZE = {"input_dim": 32, "seq_len": 8}


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def make(n=5, seed=0, d_model=16, **kwargs):
    torch.manual_seed(seed)
    settings = {"n_heads": 2, "T": 1, "n_recursions": 1, **kwargs}
    model = create_model(**SIZE, d_model=d_model, n_functions=n, **settings)
    return model, make_optimizer(model), EMA(model)


def trained(seed=0):
    model, optimizer, ema = make(seed=seed)
    buffer = [{"examples": [([a, 2], a + 2) for a in range(5)], "target": {"primary_id": 3, "comp_type": "none"}}]
    train_on_replay(model, optimizer, buffer, **SIZE, n_sup=1, max_steps=3, ema=ema)
    return model, optimizer, ema


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "model.pt"


@pytest.fixture
def saved(path):
    model, optimizer, ema = trained()
    checkpoint.save(
        path, model, optimizer, ema, VOCAB, {"lr": np.float64(1e-3), "folder": Path("x"), "list": [1, None]}
    )
    return model, optimizer, ema


def test_everything_comes_back(path, saved):
    model, optimizer, ema = make(seed=1)
    assert checkpoint.load(path, model, optimizer, ema, VOCAB) is True
    assert same(model.state_dict(), saved[0].state_dict())
    assert same(ema.model.state_dict(), saved[2].model.state_dict())
    assert ema.step == saved[2].step
    for mine, theirs in zip(model.parameters(), saved[0].parameters(), strict=True):
        if theirs in saved[1].state:
            assert same(optimizer.state[mine], saved[1].state[theirs])
    assert checkpoint.read(path)["config"] == {"lr": 1e-3, "folder": "x", "list": [1, None]}
    assert checkpoint.read(path)["vocab"] == VOCAB
    assert [p.name for p in path.parent.iterdir()] == ["model.pt"]


def test_training_goes_on_as_if_nothing_had_happened(path, saved):
    twins = make(seed=1)
    checkpoint.load(path, *twins, VOCAB)
    buffer = [{"examples": [([a, 2], a - 2) for a in range(5)], "target": {"primary_id": 4, "comp_type": "none"}}]
    results = []
    for model, optimizer, ema in (saved, twins):
        torch.manual_seed(7)
        results.append(train_on_replay(model, optimizer, buffer, **SIZE, n_sup=1, max_steps=4, ema=ema))
    assert results[0] == results[1]
    assert same(saved[0].state_dict(), twins[0].state_dict())


def test_a_missing_file_is_false(path):
    assert checkpoint.load(path, *make(), VOCAB) is False


def test_the_vocabulary_may_have_grown(path, saved):
    model, optimizer, ema = make(n=7, seed=1)
    assert checkpoint.load(path, model, optimizer, ema, [*VOCAB, "NAND", "XOR"]) is True
    assert model.n_functions == ema.model.n_functions == 7
    for new, old in ((model, saved[0]), (ema.model, saved[2].model)):
        assert torch.equal(new.primary_head.weight[:5], old.primary_head.weight)
        assert torch.equal(new.blocks[0].qkv.weight, old.blocks[0].qkv.weight)
    moments = optimizer.state[model.primary_head.weight]
    assert moments["exp_avg"].shape == (7, 16)
    assert torch.equal(moments["exp_avg"][:5], saved[1].state[saved[0].primary_head.weight]["exp_avg"])
    assert {p for g in optimizer.param_groups for p in g["params"]} == set(model.parameters())


@pytest.mark.parametrize("vocab", [VOCAB[:4], ["OR", "AND", "NOT", "ADD", "MUL"], ["AND", "OR", *VOCAB[2:], "XOR"]])
def test_a_stale_file_is_false_and_changes_nothing(path, saved, vocab):
    model, optimizer, ema = make(n=len(vocab), seed=1)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert checkpoint.load(path, model, optimizer, ema, vocab) is False
    assert same(before, model.state_dict())
    assert not optimizer.state


def test_recursion_and_settings_are_those_of_the_caller(path, saved):
    model, _, ema = make(seed=1, T=3, n_recursions=4, dropout=0.3)
    optimizer = make_optimizer(model, lr=0.5)
    assert checkpoint.load(path, model, optimizer, ema, VOCAB)
    assert (model.T, model.n_recursions, model.dropout) == (3, 4, 0.3)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.state


def test_parts_may_be_left_out(path):
    model, optimizer, ema = trained()
    checkpoint.save(path, model, None, None, VOCAB)
    other = make(seed=1)
    assert checkpoint.load(path, *other, VOCAB)
    assert same(other[0].state_dict(), model.state_dict())
    assert same(other[2].model.state_dict(), model.state_dict())  # no average was saved: the weights stand in for it
    assert not other[1].state
    checkpoint.save(path, model, optimizer, ema, VOCAB)
    assert checkpoint.load(path, other[0], None, None, VOCAB)


def test_another_grouping_of_the_optimizer_starts_its_moments_anew_with_a_warning(path, saved):
    model, _, ema = make(seed=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    with pytest.warns(RuntimeWarning, match="moments start anew"):
        assert checkpoint.load(path, model, optimizer, ema, VOCAB)
    assert same(model.state_dict(), saved[0].state_dict())
    assert not optimizer.state


def refused(path, match, **kwargs):
    before = path.read_bytes() if path.is_file() else None
    model, optimizer, ema = make(seed=1, **kwargs)
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(UserError, match=match) as caught:
        checkpoint.load(path, model, optimizer, ema, VOCAB)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert before is None or path.read_bytes() == before
    assert same(weights, model.state_dict())


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.95, -1])
def test_a_truncated_file_is_refused(path, saved, keep):
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    refused(path, "damaged")


def test_a_flipped_bit_in_the_weights_is_refused(path, saved):
    content = bytearray(path.read_bytes())
    weights = bytes(saved[0].blocks[0].qkv.weight.detach().numpy().tobytes())
    content[content.index(weights) + 7] ^= 1
    path.write_bytes(content)
    refused(path, "damaged")


@pytest.mark.parametrize("content", [b"hello\n" * 100, pickle.dumps({"model": 1})])
def test_a_foreign_file_is_refused(path, saved, content):
    path.write_bytes(content)
    refused(path, "no guide of NSSR")


def test_a_foreign_torch_file_is_refused(path, saved):
    torch.save({"weight": torch.zeros(3)}, path)
    refused(path, "no guide of NSSR")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_pickled_code_is_refused_and_not_run(path, saved, monkeypatch):
    monkeypatch.chdir(path.parent)
    torch.save({"format": checkpoint.FORMAT, "model": Bomb()}, path)
    refused(path, "not a file of plain tensors")
    assert not (path.parent / "exploded").exists()


def test_a_folder_is_refused(path):
    path.mkdir(parents=True)
    refused(path, "cannot be read")


def edited(path, **changes):
    payload = torch.load(path, weights_only=True)
    torch.save({**payload, **changes}, path)


def test_another_encoding_or_format_is_refused(path, saved):
    edited(path, encoding_version=checkpoint.ENCODING_VERSION + 1)
    refused(path, "was trained on encoding")
    edited(path, format_version=99)
    refused(path, "has format 99")


def test_another_architecture_is_refused_with_both_sizes(path, saved):
    refused(path, "d_model=16, d_ff=64, not d_model=32, d_ff=128", d_model=32)


def test_a_checkpoint_from_before_there_were_two_readings_is_one_of_tokens(path, saved):
    payload = torch.load(path, weights_only=True)
    del payload["architecture"]["reading"]
    torch.save(payload, path)
    model, optimizer, ema = make()
    assert checkpoint.load(path, model, optimizer, ema, VOCAB)
    other, *_ = make(reading="set")
    with pytest.raises(checkpoint.OtherReading, match="reads its examples as tokens, not as set as this one does") as refused:
        checkpoint.load(path, other, None, None, VOCAB)
    assert "\n" not in str(refused.value)


def test_a_model_that_reads_sets_comes_back(path):
    model, optimizer, ema = make(reading="set")
    checkpoint.save(path, model, optimizer, ema, VOCAB)
    other, *_ = make(seed=1, reading="set")
    assert checkpoint.load(path, other, None, None, VOCAB)
    assert same(model.state_dict(), other.state_dict())


def test_weights_that_do_not_fit_their_description_are_refused(path, saved):
    edited(path, vocab=VOCAB[:3])
    refused(path, "damaged")
    edited(path, vocab=VOCAB, model={})
    refused(path, "damaged")


def test_a_save_that_fails_leaves_the_old_file_and_no_rubbish(path, saved, monkeypatch):
    before = path.read_bytes()
    with pytest.raises(TypeError, match="config\\['f'\\]"):
        checkpoint.save(path, *saved, VOCAB, {"f": print})

    def full(payload, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, *saved, VOCAB)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["model.pt"]


def test_files_left_behind_by_killed_processes_are_removed(path, saved):
    old, new = path.parent / ".model.pt.1.aa.tmp", path.parent / ".model.pt.2.bb.tmp"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (1, 1))
    checkpoint.save(path, *saved, VOCAB)
    assert not old.exists()
    assert new.exists()  # perhaps another process is still writing it


def test_a_vocabulary_of_another_size_than_the_heads_is_a_bug(path):
    with pytest.raises(ValueError, match="vocabulary 4"):
        checkpoint.save(path, *make(), VOCAB[:4])
    with pytest.raises(ValueError, match="vocabulary 4"):
        checkpoint.load(path, *make(), VOCAB[:4])


def save_for_ever(path):
    torch.set_num_threads(1)
    parts = make(d_model=64)
    while True:
        checkpoint.save(path, *parts, VOCAB)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a fork server, to start many processes quickly")
def test_a_process_killed_while_saving_never_leaves_a_broken_file(path, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nssr.checkpoint", "nssr.train"])
    rng = random.Random(0)
    interrupted = 0
    for attempt in range(60):  # six kills, and as many more as it takes to hit one at work
        if attempt >= 6 and interrupted:
            break
        before = path.stat().st_mtime_ns if path.exists() else 0
        child = context.Process(target=save_for_ever, args=(path,), daemon=True)
        child.start()
        deadline = time.monotonic() + 60
        # Until it has saved once: starting up takes longer than saving.
        while (not path.exists() or path.stat().st_mtime_ns == before) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.05, 0.25))
        child.kill()
        child.join()
        interrupted += len(list(path.parent.glob(".*.tmp")))
        assert checkpoint.load(path, *make(d_model=64, seed=1), VOCAB) is True
    assert interrupted > 0  # else the test killed nobody at work
