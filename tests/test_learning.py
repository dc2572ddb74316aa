"""The pipeline: six phases, storable compositions, and a library that is consistent whatever interrupts it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import db, engine, executor, judging, learning, main, registry, search, search_space
from nssr.model import create_model
from nssr.optimizer import EMA, make_optimizer
from nssr.screening import Found

SMALL = {**learning.SMALL_CONFIG, "d_model": 32, "n_heads": 2, "n_recursions": 1}
ID = {e["name"]: i for i, e in registry.init_registry(db.init_db(":memory:"))["metadata"].items()}
PAIRS = [[a, b] for a in range(5) for b in range(5)]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """A model this small trains faster alone than with a second thread that others keep busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Session:
    """A library, and a small model that belongs to it. ``trained``: spare the first training."""

    def __init__(self, path: str = ":memory:", *, trained: bool = True, without: tuple[str, ...] = ()) -> None:
        torch.manual_seed(0)
        self.conn = db.init_db(path)
        self.state = registry.init_registry(self.conn, without=without)
        self.model = create_model(
            n_functions=registry.vocab_size(self.state), input_dim=32, seq_len=8, d_model=32, n_heads=2, n_recursions=1, T=1
        )
        self.optimizer: torch.optim.Optimizer = make_optimizer(self.model)
        self.state["config"] = SMALL
        self.state["ema"] = EMA(self.model)
        if trained:
            self.state["trained"] = True

    def learn(self, name: str, examples: Any, **more: Any) -> tuple[bool, float]:
        success, self.optimizer, r2 = learning.learn(
            self.conn, self.state, self.model, self.optimizer, name, examples, num_epochs=2, **more
        )
        return success, r2

    def task(self, name: str, examples: Any, **more: Any) -> learning.Lesson:
        lesson, self.optimizer = learning.learn_task(
            self.conn, self.state, self.model, self.optimizer, name, examples, num_epochs=2, **more
        )
        return lesson

    def of(self, name: str) -> dict[str, Any]:
        return next(e for e in self.state["metadata"].values() if e["name"] == name)

    def check(self) -> None:
        """File, memory and heads agree; every function can be run from either."""
        stored = registry.load_registry(self.conn)
        assert stored["metadata"] == self.state["metadata"]
        n = registry.vocab_size(self.state)
        assert self.model.n_functions == self.state["ema"].model.n_functions == n
        held = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        assert held == {id(p) for p in self.model.parameters()}


def bare(*, without: tuple[str, ...] = ()) -> tuple[Any, dict[str, Any]]:
    conn = db.init_db(":memory:")
    state = registry.init_registry(conn, without=without)
    return conn, state


def learn_bare(conn: Any, state: dict[str, Any], name: str, examples: Any, **more: Any) -> learning.Lesson:
    """Without a model: nothing to train, the library's own statistics guide."""
    lesson, _ = learning.learn_task(conn, state, None, None, name, examples, **more)  # type: ignore[arg-type]
    return lesson


# ---- compositions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidate", "steps"),
    [
        (search._candidate(3, routing=[1, 0]), [(3, [1, 0])]),
        (search._candidate(3), [(3, [0, 1, 2])]),
        (search._candidate(6, comp_type="loop_direct"), [(18, [6, 1, 0])]),
        (search._candidate(3, comp_type="loop_binary"), [(18, [3, 1, -1, 0])]),
        (search._candidate(3, comp_type="loop_binary", routing=[2, 0]), [(18, [3, 0, -1, 2])]),
        (search._candidate(6, 5, comp_type="sequential", routing=[0, 2]), [(5, [0, 2]), (6, [3])]),
        (search._candidate(3, 6, comp_type="nested", routing=[0, 2]), [(6, [0]), (6, [2]), (3, [3, 4])]),
        (search._candidate(15, 6, comp_type="nested"), [(6, [0]), (6, [1]), (6, [2]), (15, [3, 4, 5])]),
        (
            search._candidate(6, 5, 3, comp_type="parallel", routing=([0], [1, 2])),
            [(6, [0]), (5, [1, 2]), (3, [3, 4])],
        ),
        (search._candidate(3, null_columns=[1]), [(3, [0, -1, 2])]),
    ],
)
def test_candidates_become_the_documented_steps(candidate, steps):
    assert main.build_composition(candidate, 3, 18) == steps


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=5))
def test_a_composition_has_the_values_of_its_candidate(seed, rows):
    _, state = bare()
    table = engine.FunctionTable(state["metadata"])
    slots = search_space.choices(state)
    rng = np.random.default_rng(seed)
    one = slots[rng.integers(len(slots)) :][:1]
    made = search_space.expand(table, one, 3, [[0, 1, 2]], 100)
    candidate = made[rng.integers(len(made))]
    steps = learning.composition_of(state, candidate, 3)
    run = registry._make_composed_fn(state, steps, lambda i, values: registry.execute(state, i, values))
    for row in rows:
        try:
            wanted = executor.run(state, candidate, row)
        except Exception as error:
            with pytest.raises(type(error)):
                run(list(row))
            continue
        assert run(list(row)) == wanted


# ---- six phases ----------------------------------------------------------------------------------------------------


def test_nand_and_xor_by_the_documented_call():
    session = Session(trained=False)
    before = [p.detach().clone() for p in session.model.blocks.parameters()]
    for layer, (name, examples) in enumerate(main.TARGETS):
        success, optimizer, r2 = learning.learn(
            session.conn, session.state, session.model, session.optimizer, name, examples, num_epochs=2
        )
        assert success is True
        assert isinstance(r2, float)
        assert r2 == 1.0
        assert optimizer is not session.optimizer  # the vocabulary has grown
        session.optimizer = optimizer
        entry = session.of(name)
        assert entry["layer"] >= 1
        assert entry["arity"] == 2
        func_id = next(i for i, e in session.state["metadata"].items() if e is entry)
        assert all(registry.execute(session.state, func_id, list(x)) == y for x, y in examples)
        assert len(session.state["replay_buffer"]) > 100 + layer
        session.check()
    assert session.state["trained"]
    after = session.model.blocks.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert [t["name"] for t in session.state["replay_buffer"]][-2:] == ["NAND", "XOR"]


def test_a_lesson_says_what_came_of_it():
    session = Session()
    rng = random.Random(0)
    rows = [[rng.uniform(-100, 100), rng.uniform(1, 9), rng.uniform(1, 9)] for _ in range(30)]
    announced: list[Any] = []
    lesson = session.task("PE", [(r, 9.81 * r[1] * r[2]) for r in rows], announce=announced.append)
    assert announced == [lesson]
    assert (lesson.success, lesson.exact, lesson.known, lesson.same_as) == (True, True, False, None)
    assert lesson.columns == [1, 2]
    assert lesson.constants == [9.81]
    assert lesson.r2 == lesson.held_out_r2 == pytest.approx(1.0)
    assert session.of("PE")["composition"] == lesson.composition
    assert session.of("PE")["constants"] == [9.81]
    assert learning.reads_function(session.state, lesson.composition) == ["MUL"]
    session.check()


def test_what_cannot_be_found_is_not_registered():
    session = Session()
    before = registry.vocab_size(session.state)
    success, r2 = session.learn("NOISE", [([a % 3, a % 2], (a * 7919) % 101) for a in range(20)], max_search_steps=2)
    assert success is False
    assert r2 < 0.999
    assert registry.vocab_size(session.state) == before
    session.check()


def test_what_is_known_is_not_learned_again():
    session = Session()
    assert session.learn("PLUS1", [([a, b], a + b + 1) for a, b in PAIRS]) == (True, 1.0)
    before, optimizer = registry.vocab_size(session.state), session.optimizer
    lesson = session.task("PLUS1", [([7, a, 9, b], a + b + 1) for a, b in PAIRS])
    assert lesson.known
    assert lesson.exact
    assert lesson.columns in ([1, 3], [3, 1])
    assert registry.vocab_size(session.state) == before
    assert session.optimizer is optimizer
    # The same name for something else is no success.
    assert session.learn("PLUS1", [([a, b], a * b * b) for a, b in PAIRS])[0] is False
    assert session.learn("MUL", [([a, b], a - b) for a, b in PAIRS])[0] is False


def test_a_known_function_is_recognised_among_many_columns():
    conn, state = bare()
    registry.register_learned(conn, state, "GAP", 2, [(ID["SUB"], [1, 0])])
    rng = random.Random(0)
    rows = [[round(rng.uniform(-9, 9), 2) for _ in range(300)] for _ in range(40)]
    lesson = learning.known_function(state, "GAP", [(r, r[250] - r[123]) for r in rows])
    assert lesson is not None
    assert lesson.columns == [123, 250]
    assert lesson.r2 == 1.0
    assert learning.known_function(state, "OTHER", [([1], 1)]) is None


def test_the_same_discovery_is_not_stored_twice():
    session = Session()
    lesson = session.task("PRODUCT", [([a, b], 3 * a * b) for a, b in PAIRS])
    (task,) = [t for t in session.state["replay_buffer"] if t["name"] == "PRODUCT"]
    assert learning._is_duplicate_discovery(session.state, task["candidate"])
    for field, other in [
        ("primary_id", 3), ("secondary_id", 4), ("tertiary_id", 5), ("comp_type", "nested"), ("routing", [1, 1]),
        ("constants", [4.0]),
    ]:  # fmt: skip
        assert not learning._is_duplicate_discovery(session.state, {**task["candidate"], field: other})
    del session.state["metadata"][lesson.func_id]["composition"][:]  # not to be found as a function of its own
    session.state["metadata"][lesson.func_id]["composition"].append((ID["NULL"], [0]))
    again = session.task("PRODUCT2", [([a, b], 3 * a * b) for a, b in PAIRS])
    assert again.success
    assert (again.same_as, again.func_id) == ("PRODUCT", lesson.func_id)
    assert not any(e["name"] == "PRODUCT2" for e in session.state["metadata"].values())


def test_functions_build_on_functions():
    conn, state = bare(without=("ADD", "SUB", "MUL"))
    plus = learn_bare(conn, state, "PLUS", [([a, b], a + b) for a, b in PAIRS])
    assert plus.composition == [(ID["LOOP"], [ID["INC"], 1, 0])]
    times = learn_bare(conn, state, "TIMES", [([a, b], a * b) for a, b in PAIRS])
    assert times.composition == [(ID["LOOP"], [plus.func_id, 1, -1, 0])]
    assert learning.reads_function(state, times.composition) == ["LOOP", "PLUS"]
    assert state["metadata"][times.func_id]["layer"] == 2


def test_retries_start_warmer_and_stop_when_all_is_tried(monkeypatch):
    boosts: list[float] = []
    kept = search.find

    def spy(*args: Any, **more: Any) -> search.Outcome:
        boosts.append(more["temperature_boost"])
        return kept(*args, **more)

    monkeypatch.setattr(learning, "find", spy)
    nothing = [([a % 3, a % 2, a % 5, a % 7], (a * 7919) % 101) for a in range(20)]
    conn, state = bare()
    learn_bare(conn, state, "X", nothing, max_search_steps=1, max_retries=2)
    assert boosts == [0.0, 0.5, 1.0]
    boosts.clear()
    assert learn_bare(conn, state, "X", nothing, max_depth=1, max_retries=2).exhausted
    assert boosts == [0.0]


# ---- samples of larger data ----------------------------------------------------------------------------------------


def rare_table(n: int = 2000) -> tuple[list[Any], list[Any], list[Any]]:
    """max(a, b), where b is the larger on three rows only, none of them in the sample."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(50, 100, n), rng.integers(0, 50, n)
    a[[1000, 1500, 1900]], b[[1000, 1500, 1900]] = 0, 49
    examples = [([int(x), int(y)], int(max(x, y))) for x, y in zip(a, b, strict=True)]
    return examples, [examples[i] for i in range(200)], [a, b, np.maximum(a, b)]


def test_rows_outside_the_sample_are_taken_in_where_they_refute():
    examples, sample, (a, b, y) = rare_table()
    conn, state = bare()
    whole = engine.Dataset.from_columns([a, b], y)
    asked: list[int] = []

    def rows(numbers: Any) -> Any:
        asked.extend(numbers)
        return [examples[i] for i in numbers]

    lesson = learn_bare(conn, state, "LARGER", sample, whole=whole, rows=rows)
    assert asked == [1000, 1500, 1900]
    assert lesson.exact
    assert all(registry.execute(state, lesson.func_id, [x[c] for c in lesson.columns]) == y for x, y in examples)


def test_what_fails_outside_the_sample_is_not_called_exact():
    _, sample, (a, b, y) = rare_table()
    whole = engine.Dataset.from_columns([a, b], y)
    conn, state = bare()
    lesson = learn_bare(conn, state, "LARGER", sample, whole=whole)  # no way to get the rows
    assert not lesson.exact
    conn, state = bare()
    flipped = engine.Dataset.from_columns([a, b], np.where(np.arange(len(y)) < 200, y, -y))
    assert not learn_bare(conn, state, "LARGER", sample, whole=flipped).success
    assert registry.vocab_size(state) == 21


# ---- examples ------------------------------------------------------------------------------------------------------


def test_examples_become_plain_numbers_in_typed_columns():
    given_examples = [([True, np.int32(2), 3], np.float32(0.5)), ([False, 2, 2.5], 1)]
    assert learning.plain_examples(given_examples) == [([1, 2, 3.0], 0.5), ([0, 2, 2.5], 1.0)]
    (inputs, _), _ = learning.plain_examples(given_examples)
    assert [type(v) for v in inputs] == [int, int, float]


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "no examples"),
        ([([1, 2], 1), ([1], 1)], "example 1 has 1 inputs, the first one has 2"),
        ([([1, float("nan")], 1)], "example 0 holds nan"),
        ([([1, 2], float("inf"))], "example 0 holds inf"),
        ([([1, "2"], 1)], "example 0 holds '2'"),
        ([([1, None], 1)], "example 0 holds None"),
        ([([1, 10**400], 1)], "an integer of hundreds of digits"),
    ],
)
def test_what_is_no_number_is_refused(examples, message):
    with pytest.raises(ValueError, match=message):
        learning.plain_examples(examples)


# ---- others, and interruptions -------------------------------------------------------------------------------------


def test_what_another_process_registers_meanwhile_is_taken_in(tmp_path: Path):
    """The vocabulary may grow by more than one; ids are shared, heads grow, names of others are respected."""
    path = str(tmp_path / "library.db")
    session = Session(path)
    other = db.init_db(path)
    theirs = registry.load_registry(other)

    def meanwhile(*_: Any) -> None:
        if registry.vocab_size(theirs) == 21:
            registry.register_learned(other, theirs, "THEIRS", 2, [(ID["ADD"], [0, 1]), (ID["INC"], [2])])
            registry.register_learned(other, theirs, "ALSO", 1, [(ID["INC"], [0]), (ID["INC"], [1])])

    assert session.task("MINE", [([a, b], a * b + 1) for a, b in PAIRS], progress=meanwhile).func_id == 23
    session.check()
    assert session.task("MORE", [([a, b], (a + b + 1) * 2) for a, b in PAIRS]).success
    session.check()
    other.close()


def test_the_race_for_a_name_has_one_winner_and_no_loser(tmp_path: Path):
    path = str(tmp_path / "library.db")
    session = Session(path)
    other = db.init_db(path)
    theirs = registry.load_registry(other)

    def first(*_: Any) -> None:
        if registry.vocab_size(theirs) == 21:
            registry.register_learned(other, theirs, "SAME", 2, [(ID["MUL"], [0, 1]), (ID["INC"], [2])])

    lesson = session.task("SAME", [([a, b], a * b + 1) for a, b in PAIRS], progress=first)
    assert lesson.success
    assert lesson.known
    assert registry.vocab_size(session.state) == 22
    session.check()
    other.close()


MOMENTS = [
    ("training on the curriculum", 1), ("training on the curriculum", 2), ("keep", 1), ("searching F", 1),
    ("searching F", 2), ("announce", 1), ("keep", 2), ("training on all that is known", 1), ("keep", 3),
]  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupt_at_any_moment_leaves_everything_consistent(tmp_path: Path, moment: tuple[str, int]):
    session = Session(str(tmp_path / "library.db"), trained=False)
    seen: list[str] = []

    def reached(what: str) -> None:
        seen.append(what)
        if (what, seen.count(what)) == moment:
            raise KeyboardInterrupt

    examples = [([a, b], a * b + 1) for a, b in PAIRS]
    with pytest.raises(KeyboardInterrupt):
        session.task(
            "F", examples, train_epochs=2, progress=lambda doing, *_: reached(doing),
            announce=lambda _: reached("announce"), keep=lambda _: reached("keep"),
        )  # fmt: skip
    assert registry.load_registry(session.conn)["metadata"] == session.state["metadata"]
    registered = any(e["name"] == "F" for e in session.state["metadata"].values())
    assert registered == (MOMENTS.index(moment) >= MOMENTS.index(("announce", 1)))
    # Later calls go on with whatever optimizer the caller was left with.
    assert session.task("F", examples, train_epochs=2).success
    assert session.task("G", [([a, b], (a - b) * b) for a, b in PAIRS], train_epochs=2).success
    session.check()


def test_an_interrupt_between_file_and_memory_is_made_up_for(monkeypatch, tmp_path: Path):
    session = Session(str(tmp_path / "library.db"))
    kept = registry._install

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "_install", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.task("F", [([a, b], a * b + 1) for a, b in PAIRS])
    monkeypatch.setattr(registry, "_install", kept)
    assert db.count_functions(session.conn) == 22
    assert registry.vocab_size(session.state) == 21
    assert session.task("F", [([a, b], a * b + 1) for a, b in PAIRS]).known
    session.check()


def test_checkpoints_hold_what_was_learned(tmp_path: Path):
    session = Session(str(tmp_path / "library.db"))
    session.state["config"] = {**SMALL, "checkpoint_dir": str(tmp_path)}
    assert not main.load_checkpoint(session.model, session.optimizer, session.state)
    session.task("F", [([a, b], a * b + 1) for a, b in PAIRS])
    main.save_checkpoint(session.model, session.optimizer, session.state)
    again = Session(str(tmp_path / "library.db"), trained=False)
    again.state["config"] = session.state["config"]
    assert main.load_checkpoint(again.model, again.optimizer, again.state)
    assert again.state["trained"]
    for mine, theirs in zip(again.model.parameters(), session.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


# ---- words ---------------------------------------------------------------------------------------------------------


def test_candidates_are_written_for_people():
    state = bare()[1]
    assert main._fmt_candidate(state, search._candidate(6, comp_type="loop_direct")) == "LOOP(INC, count=b, init=a)"
    loop = search._candidate(3, comp_type="loop_binary", routing=[-1, 0])
    assert main._fmt_candidate(state, loop) == "LOOP(ADD, count=a, init=0, step=0)"
    assert main._fmt_candidate(state, search._candidate(3, 5, comp_type="sequential")) == "ADD(MUL(...))"


def test_the_configuration_is_the_documented_one():
    assert main.CONFIG == {
        "input_dim": 32, "seq_len": 8, "d_model": 128, "n_heads": 8, "n_layers": 2, "n_recursions": 6, "T": 3, "n_sup": 16,
        "dropout": 0.1, "lr": 1e-4, "checkpoint_dir": "checkpoints",
    }  # fmt: skip
    assert [name for name, _ in main.TARGETS] == ["NAND", "XOR"]
    for (_, examples), f in zip(main.TARGETS, (lambda a, b: 1 - a * b, lambda a, b: a ^ b), strict=True):
        assert sorted(examples) == sorted(([a, b], f(a, b)) for a in (0, 1) for b in (0, 1))


def test_the_replay_buffer_is_made_once():
    conn, state = bare()
    registry.register_learned(conn, state, "NAND", 2, [(ID["AND"], [0, 1]), (ID["NOT"], [2])])
    main._init_replay_buffer(state)
    buffer = state["replay_buffer"]
    assert [t["name"] for t in buffer].count("NAND") == 1
    assert buffer[: len(main.curriculum_tasks(state))] == main.curriculum_tasks(state)
    main._init_replay_buffer(state)
    assert state["replay_buffer"] is buffer


def test_rows_of_huge_integers_outside_the_sample_are_judged_too() -> None:
    """The engine is unsure of products beyond i64; one wrong row among many must still be seen."""
    conn = db.init_db(":memory:")
    state = registry.init_registry(conn)
    rng = random.Random(5)
    every = [([a, b], a * b) for a, b in ((rng.randint(2**33, 2**40), rng.randint(2**33, 2**40)) for _ in range(300))]
    found = Found({"primary_id": 5, "comp_type": "none", "routing": [0, 1]}, True, 1.0)
    rows = lambda chosen: [every[r] for r in chosen]  # noqa: E731
    assert judging.failing_rows(state, found, engine.Dataset.from_examples(every), rows) == []
    every[217] = (every[217][0], 7)
    assert judging.failing_rows(state, found, engine.Dataset.from_examples(every), rows) == [217]
