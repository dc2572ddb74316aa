"""Dreamt laws, and the order of a search's parts that is learned from them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from nssr import laws, stage_order
from nssr.explore import Problem, explore
from nssr.explore.order import BY_SIZE, NEEDS, checked
from nssr.explore.search import Trial
from nssr.explore.tree import columns, reference_values, size
from nssr.stage_order import FIRST, Dreamt, learned, mean_seconds

LATER = BY_SIZE[len(FIRST) :]


# ---- laws ------------------------------------------------------------------------------------------------------------


def test_laws_are_what_their_trees_say() -> None:
    rng = np.random.default_rng(3)
    for k in range(120):
        n = k % laws.MOST_COLUMNS + 1
        law = laws.dreamt(rng, 40, n)
        assert law.X.shape == (40, n)
        assert columns(law.tree) == set(range(n))
        assert np.isfinite(law.y).all()
        assert np.ptp(law.y) > 0
        assert law.y == pytest.approx(reference_values(law.tree, law.X, ieee=True), rel=1e-9, abs=1e-9 * np.abs(law.y).max())


def test_laws_are_of_many_kinds_and_the_same_for_a_seed() -> None:
    drawn = [laws.dreamt(np.random.default_rng(seed), 30) for seed in range(200)]
    assert len({law.tree for law in drawn}) > 180
    assert {law.X.shape[1] for law in drawn} == set(range(1, laws.MOST_COLUMNS + 1))
    again = laws.dreamt(np.random.default_rng(17), 30)
    assert again.tree == drawn[17].tree
    assert (again.y == drawn[17].y).all()
    assert min(size(law.tree) for law in drawn) <= 4 < laws.MOST_NODES == max(size(law.tree) for law in drawn)


# ---- orders ----------------------------------------------------------------------------------------------------------


def test_an_order_holds_every_part_once_and_in_turn() -> None:
    assert checked(list(BY_SIZE)) == BY_SIZE
    for wrong in (BY_SIZE[1:], (*BY_SIZE, "curves"), (*BY_SIZE[1:], "polish"), (*BY_SIZE[1:], BY_SIZE[1])):
        with pytest.raises(ValueError, match="each part once"):
            checked(wrong)
    swapped = [{"bank 2": "peels 2", "peels 2": "bank 2"}.get(part, part) for part in BY_SIZE]
    with pytest.raises(ValueError, match="'pairs 2' of the search must come after 'bank 2'"):
        checked(swapped)
    with pytest.raises(ValueError, match="each part once"):
        Problem(np.ones((3, 1)), np.ones(3), order=("curves",))


def test_any_order_finds_the_law() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(1, 3, (120, 2))
    y = 3 * np.exp(-((X[:, 0] - 1.9) ** 2) / 0.32) * X[:, 1] + 0.7
    shuffled = random.Random(5)
    for _ in range(3):
        order: list[str] = []
        waiting = list(BY_SIZE)
        while waiting:
            part = shuffled.choice([p for p in waiting if NEEDS.get(p) not in waiting])
            waiting.remove(part)
            order.append(part)
        assert explore(Problem(X, y, order=tuple(order)), max_time=120).exact


def _dreamt(seed: int, n_columns: int, by: set[str], seconds: dict[str, float]) -> Dreamt:
    return Dreamt(seed, n_columns, {part: Trial(part in by, seconds.get(part, 1.0)) for part in BY_SIZE})


def test_what_finds_most_in_a_second_comes_first() -> None:
    seconds = {"curves": 0.1, "differences": 4.0, "peels 3": 0.2}
    dreams = [_dreamt(k, 1, {"curves"}, seconds) for k in range(3)]
    dreams += [_dreamt(k, 1, {"parametric", "curves"}, seconds) for k in range(3, 30)]
    dreams += [_dreamt(k, 1, {"parametric"}, seconds) for k in range(30, 35)]
    dreams += [_dreamt(k, 1, {"peels 3"}, seconds) for k in range(35, 60)]
    dreams += [_dreamt(k, 5, {"differences"}, seconds) for k in range(60, 160)]
    for part in FIRST:  # say nothing of the parts after them
        dreams += [_dreamt(k, 1, {part, "sparse sums"}, seconds) for k in range(160, 400)]
    one, five = learned(dreams, 1), learned(dreams, 5)
    # Curves find 30 in 0.1 s; peels need the bank: 25 in 1.2 s; then 5 in 1 s.
    assert one[: len(FIRST) + 4] == (*FIRST, "curves", "bank 3", "peels 3", "parametric")
    assert five.index("differences") < one.index("differences")
    assert sorted(one) == sorted(BY_SIZE)
    assert mean_seconds(dreams, lambda k: {1: one, 5: five}[k]) < 0.7 * mean_seconds(dreams, lambda _: BY_SIZE)


def test_the_shipped_orders_are_orders_and_say_what_they_are_made_of() -> None:
    for n_columns in (*range(1, laws.MOST_COLUMNS + 1), 40):
        assert sorted(stage_order.order(n_columns)) == sorted(BY_SIZE)
    told = json.loads(stage_order.SHIPPED.read_text())
    assert told["laws"] >= 400
    assert told["mean seconds as learned"] < told["mean seconds by size"]
    assert set(told["of the others found, and mean seconds"]) == set(LATER)


# ---- trials and the command ------------------------------------------------------------------------------------------


def test_trials_tell_apart_what_finds_a_law() -> None:
    """Seeds whose laws are easy: 1, 3 and 6 are found by the first bank, and nothing else is tried then."""
    easy = stage_order.tried(1)
    assert list(easy.trials) == ["bank 1"]
    assert easy.trials["bank 1"].found


def test_the_command_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    out = tmp_path / "order.json"
    trials = {part: [part == "curves", 0.5] for part in BY_SIZE}
    lines = [json.dumps({"seed": seed, "columns": 2, "trials": trials}) for seed in (0, 1, 2)]
    record = out.with_suffix(".jsonl")
    record.write_text("\n".join(lines) + '\n{"seed": 3, "colu')  # the last line was cut off
    assert stage_order.main(["--laws", "3", "--out", str(out)]) == 0
    told = json.loads(out.read_text())
    assert told["orders"]["2"][len(FIRST)] == "curves"
    assert told["laws"] == 3
    assert record.read_text().splitlines() == lines


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--laws", "0", "--out", "order.json"], "must be at least 1"),
        (["--out", "order.txt"], "must be a file that ends in .json"),
        (["--out", "nowhere/order.json"], "in a folder that is there"),
        (["--out", "bad.json"], "bad.jsonl is no record of trials"),
    ],
)
def test_what_the_command_refuses(
    given: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.jsonl").write_text('{"seed": 1}\n')
    with pytest.raises(SystemExit) as refused:
        stage_order.main(given)
    assert refused.value.code == 2
    assert told in capsys.readouterr().err
