"""What the search may try: every fitting choice of functions, none of those withheld, in an order and within a budget."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import db, engine, registry, search_space
from nssr.engine.candidates import COMP_CODES, COMP_NAMES, ROUTE_LENGTH
from nssr.guide import SlotScores, UniformGuide, UnigramGuide, mixed


def library(packs: tuple[str, ...] = ("core",), without: tuple[str, ...] = ()) -> tuple[Any, dict[str, Any]]:
    conn = db.init_db(":memory:")
    return conn, registry.init_registry(conn, packs, without)


CORE = library()[1]
TABLE = engine.FunctionTable(CORE["metadata"])
ID = {e["name"]: i for i, e in CORE["metadata"].items()}


def wide_function(conn: Any, state: dict[str, Any], width: int) -> int:
    steps = [(ID["ADD"], [0, 1]), *[(ID["ADD"], [width + i, i + 2]) for i in range(width - 2)]]
    return registry.register_learned(conn, state, f"SUM{width}", width, steps)


def as_set(slots: Any) -> set[tuple[str, int, int, int]]:
    return {(COMP_NAMES[s["comp"]], int(s["primary"]), int(s["secondary"]), int(s["tertiary"])) for s in slots}


# ---- choices -------------------------------------------------------------------------------------------------------


def test_every_fitting_choice_is_there_and_nothing_else():
    arity = {i: e["arity"] for i, e in CORE["metadata"].items() if e["name"] not in ("NULL", "LOOP", "WHILE", "ACCUM")}
    wanted = {("none", p, -1, -1) for p in arity}
    wanted |= {("sequential", p, s, -1) for p, s in itertools.product(arity, repeat=2)}
    wanted |= {("nested", p, s, -1) for p, s in itertools.product(arity, repeat=2) if arity[p] > 1 and arity[s] == 1}
    wanted |= {("loop_direct", p, -1, -1) for p in arity if arity[p] == 1}
    wanted |= {("loop_binary", p, -1, -1) for p in arity if arity[p] == 2}
    wanted |= {("parallel", *pst) for pst in itertools.product(arity, repeat=3) if arity[pst[2]] == 2}
    slots = search_space.choices(CORE, identities=False)
    assert as_set(slots) == wanted
    assert len(slots) == len(wanted)


def test_depth_one_is_single_functions():
    assert {s[0] for s in as_set(search_space.choices(CORE, max_depth=1))} == {"none"}


@pytest.mark.parametrize(
    "without", [("ADD",), ("NULL", "LOOP"), ("CONST",), ("ADD", "SUB", "MUL", "DIV", "COND"), ("WHILE",)]
)
def test_what_is_withheld_is_in_no_choice(without):
    _, state = library(without=without)
    slots = search_space.choices(state)
    used = {int(i) for field in ("primary", "secondary", "tertiary") for i in slots[field]}
    assert not used & {ID[n] for n in without}
    loops = {s[0] for s in as_set(slots)} & {"loop_direct", "loop_binary"}
    assert bool(loops) == ("LOOP" not in without)
    assert search_space.find_id(state, without[0]) is None
    assert search_space.find_id(CORE, without[0]) == ID[without[0]]


def test_a_library_in_which_all_is_withheld_has_no_choices():
    names = tuple(e["name"] for e in CORE["metadata"].values())
    _, state = library(without=names)
    assert len(search_space.choices(state)) == 0
    assert search_space.placeable(state) == []


def test_packs_and_learned_functions_take_part():
    conn, state = library(("core", "science"))
    wide = wide_function(conn, state, ROUTE_LENGTH)
    too_wide = wide_function(conn, state, ROUTE_LENGTH + 1)
    placeable = search_space.placeable(state)
    names = {state["metadata"][i]["name"] for i in placeable}
    assert {"SQRT", "PI", "POW"} <= names
    assert wide in placeable
    assert too_wide not in placeable
    assert ("none", wide, -1, -1) in as_set(search_space.choices(state))


def test_slots_can_be_restricted():
    slots = search_space.choices(CORE, primary=iter([ID["ADD"], ID["LOOP"]]), secondary=[ID["INC"]], tertiary=[])
    assert as_set(slots) == {
        ("none", ID["ADD"], -1, -1), ("sequential", ID["ADD"], ID["INC"], -1), ("nested", ID["ADD"], ID["INC"], -1),
        ("loop_binary", ID["ADD"], -1, -1),
    }  # fmt: skip


# ---- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_columns", [1, 2, 3])
def test_counts_are_what_the_enumerator_makes(n_columns):
    slots = search_space.choices(CORE)
    rng = np.random.default_rng(0)
    for i in rng.choice(len(slots), 60, replace=False):
        one = slots[i : i + 1]
        source = engine.Enumerator(one, TABLE.arity, TABLE.commutative, list(range(n_columns)), symmetry=False)
        assert len(source.fill(10_000)) == search_space.route_counts(one, TABLE.arity, n_columns)[0]


def test_mirror_images_are_those_that_the_enumerator_leaves_out():
    slots = search_space.choices(CORE)
    mirrored = search_space.mirrored(slots, TABLE.commutative)
    assert mirrored.any()
    for one, left_out in zip(slots, mirrored, strict=True):
        source = engine.Enumerator(one.reshape(1), TABLE.arity, TABLE.commutative, [0, 1])
        assert (len(source.fill(300)) == 0) == left_out
    kept = as_set(slots[~mirrored])
    for s in slots[mirrored]:
        assert ("parallel", int(s["secondary"]), int(s["primary"]), int(s["tertiary"])) in kept


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 600), st.floats(1, 1e9))
def test_widths_keep_to_the_budget(n_columns, budget):
    slots = search_space.choices(CORE)
    width = search_space.widths(slots, TABLE.arity, n_columns, budget)
    assert np.all((width >= 1) & (width <= n_columns))
    total = search_space.route_counts(slots, TABLE.arity, width).sum()
    assert total <= max(budget, len(slots))
    least = search_space.widths(slots, TABLE.arity, n_columns, budget, 3)
    assert np.all(least >= min(3, n_columns))
    if search_space.route_counts(slots, TABLE.arity, n_columns).sum() <= budget / 8:
        assert np.all(width == n_columns)


def test_functions_of_many_arguments_take_no_columns_from_others():
    conn, state = library()
    wide_function(conn, state, ROUTE_LENGTH)
    table = engine.FunctionTable(state["metadata"])
    slots = search_space.choices(state)
    width = search_space.widths(slots, table.arity, 8, 24e6, 4)
    length = search_space.route_lengths(slots, table.arity)
    assert width[length <= 4].min() >= 7
    assert search_space.route_counts(slots, table.arity, width).max() <= 8**8
    assert search_space.columns_within(slots, table.arity, 8, 24e6) < 4  # what one width for all would give


# ---- order ---------------------------------------------------------------------------------------------------------


def test_columns_that_matter_come_first():
    rng = np.random.default_rng(0)
    columns = [rng.uniform(-10, 10, 200) for _ in range(6)]
    assert search_space.column_order(columns, columns[3] * 5 + columns[1])[:2] == [3, 1]
    assert search_space.column_order(columns, columns[4] ** 2)[0] == 4  # size with size: not monotonic
    assert sorted(search_space.column_order(columns, np.zeros(200))) == list(range(6))
    assert search_space.column_order(columns[:1], np.zeros(200)) == [0]


def test_columns_that_say_nothing_are_ordered_without_complaint():
    columns = [np.zeros(5), np.array([np.inf, 1, 2, 3, -np.inf]), np.array([np.nan, 1, 2, 3, 4]), np.arange(5.0)]
    assert sorted(search_space.column_order(columns, np.arange(5.0))) == [0, 1, 2, 3]


def log(p: Any) -> Any:
    return np.log(np.asarray(p) / np.sum(p))


def test_scores_are_the_product_of_the_slots():
    rng = np.random.default_rng(1)
    n = len(CORE["metadata"])
    scores = SlotScores(*(log(rng.uniform(0.1, 1, n)) for _ in range(3)), log(rng.uniform(0.1, 1, 4)))
    slots = search_space.choices(CORE)
    got = search_space.log_scores(slots, scores, TABLE.arity, 3)
    counts = search_space.route_counts(slots, TABLE.arity, 3)
    for s, value, count in zip(slots[::50], got[::50], counts[::50], strict=True):
        kind = 0 if s["comp"] >= COMP_CODES["loop_direct"] else s["comp"]
        wanted = scores.composition[kind] + scores.primary[s["primary"]] - np.log(count)
        wanted += scores.secondary[s["secondary"]] if s["secondary"] >= 0 else 0
        wanted += scores.tertiary[s["tertiary"]] if s["tertiary"] >= 0 else 0
        assert value == pytest.approx(wanted)


def test_a_choice_that_stands_for_its_mirror_image_scores_as_the_better_one():
    n = len(CORE["metadata"])
    likely = np.ones(n)
    likely[ID["MUL"]] = 50
    flat = log(np.ones(n))
    scores = SlotScores(log(likely), flat, flat, log([1, 1, 1, 1]))
    slots = np.array(
        [(COMP_CODES["parallel"], ID["ADD"], ID["MUL"], ID[t]) for t in ("ADD", "SUB")], dtype=engine.SLOTS
    )
    other = slots.copy()
    other["primary"], other["secondary"] = slots["secondary"], slots["primary"]
    kept = search_space.log_scores(slots, scores, TABLE.arity, 2, TABLE.commutative)
    mirror = search_space.log_scores(other, scores, TABLE.arity, 2, TABLE.commutative)
    assert kept[0] == mirror[0]
    assert kept[1] < mirror[1]  # a difference has no mirror image


# ---- guides --------------------------------------------------------------------------------------------------------


def test_every_guide_gives_everything_a_chance():
    conn, state = library()
    registry.register_learned(conn, state, "NAND", 2, [(ID["AND"], [0, 1]), (ID["NOT"], [2])])
    uniform, counted = UniformGuide(), UnigramGuide(state["metadata"])
    for n in (3, 22, 40):
        for guide in (uniform, counted):
            for slot in guide.slot_scores(n)[:3]:
                assert slot.shape == (n,)
                assert np.isfinite(slot).all()
    known = counted.slot_scores(22).primary
    assert known[ID["AND"]] == known[ID["NOT"]] > known[ID["ADD"]]
    assert np.exp(known).sum() == pytest.approx(1)
    sure = SlotScores(*(np.where(np.arange(n) == 0, 0.0, -800.0) for n in (22, 22, 22, 4)))
    both = mixed(sure, uniform.slot_scores(22), 0.15)
    for slot in both:
        assert np.exp(slot).sum() == pytest.approx(1)
        assert np.all(slot >= np.log(0.15) - np.log(22) - 1e-9)


# ---- dicts ---------------------------------------------------------------------------------------------------------


def test_expansion_covers_each_subset_of_columns_once():
    slots = np.array([(COMP_CODES["none"], ID["ADD"], -1, -1)], dtype=engine.SLOTS)
    made = search_space.expand(TABLE, slots, 3, [[0, 2], [2], [], [1]])
    assert [c["routing"] for c in made] == [[0, 0], [0, 2], [2, 0], [2, 2], [1, 1]]
    assert [c["null_columns"] for c in made] == [[1, 2], [1], [1], [0, 1], [0, 2]]
    assert search_space.expand(TABLE, slots, 3, []) == []


def test_expansion_of_one_choice_does_not_rely_on_its_mirror_image():
    for pair in (("ADD", "MUL"), ("MUL", "ADD")):
        slots = np.array([(COMP_CODES["parallel"], ID[pair[0]], ID[pair[1]], ID["ADD"])], dtype=engine.SLOTS)
        assert len(search_space.expand(TABLE, slots, 2, [[0, 1]])) == 16
