"""The figures about the guide's heads and the plot of ranks, on cases whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.guide_calibration import heads, reliability
from benchmarks.guide_plot import LINES, solved_against_candidates
from nssr.dream_training import Batch
from nssr.model import create_model, predict_slots

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_one_who_says_what_is_so_is_calibrated() -> None:
    confidence = np.repeat([0.25, 0.75], 400)
    right = np.tile([True, False, False, False], 100).tolist() + np.tile([True, True, True, False], 100).tolist()
    found = reliability(confidence, np.array(right))
    assert found["expected_calibration_error"] == pytest.approx(0.0)
    assert [(b["from"], b["n"], b["right"]) for b in found["bins"]] == [(0.2, 400, 0.25), (0.7, 400, 0.75)]
    sure = reliability(np.ones(10), np.arange(10) < 3)
    assert sure["expected_calibration_error"] == pytest.approx(0.7)


def test_a_head_is_right_where_any_known_answer_is() -> None:
    torch.manual_seed(0)
    model = create_model(input_dim=32, seq_len=4, d_model=16, n_functions=12, n_heads=2, T=1, n_recursions=1, reading="set")
    x = torch.randn(3, 4, 32)
    x[..., 30] = 1.0
    opinion = predict_slots(model, x)
    first, last = opinion.primary.argmax(axis=1), opinion.primary.argmin(axis=1)
    solvers = torch.full((3, 8, 4), -1, dtype=torch.int64)
    for row in range(3):
        kind = int(opinion.composition[row].argmax())
        solvers[row, 0] = torch.tensor([kind, last[row], -1, -1])
        if row:  # of the first task only the least likely function is an answer
            solvers[row, 1] = torch.tensor([kind, first[row], -1, -1])
    found = heads(model, Batch(x, solvers))
    assert found["primary"]["tasks"] == 3
    assert found["primary"]["top1"] == pytest.approx(2 / 3)
    assert found["primary"]["top10"] == pytest.approx(2 / 3)
    assert found["composition"]["top1"] == 1.0
    assert found["secondary"]["tasks"] == 0
    assert sum(b["n"] for b in found["halt"]["bins"]) == 3
    assert sum(b["n"] * b["right"] for b in found["halt"]["bins"]) == pytest.approx(2.0)


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    sets = {"some": {"ranks": {order: [1.0, 20.0, 300.0] for order in LINES}}}
    assert solved_against_candidates(sets, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
