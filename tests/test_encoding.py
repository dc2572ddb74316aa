"""The encoding of examples: every feature where it is documented, and nothing a number can do breaks the tensor."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr.encoding import encode, format_examples, format_tasks, layout, present_index
from nssr.errors import UserError

SIZE = {"input_dim": 32, "seq_len": 8}


def token(inputs, output, input_dim=32):
    return encode([[(inputs, output)]], input_dim=input_dim, seq_len=1)[0, 0]


def test_one_task_has_shape_1_by_examples_by_features():
    x = format_examples([([1, 2], 3), ([4, 5], 9)], **SIZE)
    assert x.shape == (1, 8, 32)
    assert x.dtype == torch.float32


def test_documented_features_of_a_value():
    for v in (3, -7, 0, 2.75, -0.5, 41):
        np.testing.assert_allclose(
            token([v], 1)[:4], [v / 100, np.sign(v), math.log1p(abs(v)), v - math.trunc(v)], rtol=1e-6
        )


def test_relation_to_the_output():
    features = token([10.0, 3.0], 3.5)
    np.testing.assert_allclose(features[4:6], [-1, -math.log1p(6.5)], rtol=1e-6)
    np.testing.assert_allclose(features[10:12], [1, math.log1p(0.5)], rtol=1e-6)


def test_output_features_and_flags():
    x = encode([[([1], 2.5), ([2], -4), ([3], 6)]], **SIZE)[0]
    y = np.array([2.5, -4, 6])
    np.testing.assert_allclose(x[:3, 24], y / 100, rtol=1e-6)
    np.testing.assert_allclose(x[:3, 25], np.sign(y))
    np.testing.assert_allclose(x[:3, 26], np.log1p(abs(y)), rtol=1e-6)
    np.testing.assert_allclose(x[:3, 27], [0.5, 0, 0])
    np.testing.assert_allclose(x[:3, 28], (y - y.mean()) / y.std(), rtol=1e-6)
    assert x[:3, 29].tolist() == [0, 1, 1]
    assert x[:, present_index(32)].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert not x[3:].any()


@pytest.mark.parametrize(("outputs", "flag"), [([0, 1, 1], 1), ([7, 7, 7], 1), ([1, 2, 1], 0), ([0.0, 1.0, 0.5], 0)])
def test_two_valued_flag(outputs, flag):
    x = encode([[([i], y) for i, y in enumerate(outputs)]], **SIZE)[0, :3]
    assert (x[:, layout(32).two_valued] == flag).all()


def test_five_and_six_columns_lose_only_the_relation():
    features = token([1, 2, 3, 4, 5, 6], 7)
    for column in range(6):
        v = column + 1
        np.testing.assert_allclose(features[4 * column : 4 * column + 4], [v / 100, 1, math.log1p(v), 0], rtol=1e-6)


def test_more_columns_share_slots_by_their_mean():
    features = token(list(range(1, 8)), 0)  # seven columns in six slots: the first slot holds columns 0 and 6
    np.testing.assert_allclose(features[0], (1 + 7) / 2 / 100, rtol=1e-6)
    np.testing.assert_allclose(features[4], 2 / 100, rtol=1e-6)
    changed = token([1, 2, 3, 4, 5, 6, 100], 0)
    assert (changed[:4] != features[:4]).any()


@pytest.mark.parametrize("input_dim", range(8, 41))
@pytest.mark.parametrize("width", [0, 1, 2, 5, 13])
def test_every_width_shows_inputs_and_output(input_dim, width):
    def encoded(x, y):
        return token([x] * width, y, input_dim)

    assert encoded(3, 4).shape == (input_dim,)
    assert encoded(3, 4)[present_index(input_dim)] == 1
    assert (encoded(3, 4) != encoded(3, 5)).any()
    assert width == 0 or (encoded(3, 4) != encoded(2, 4)).any()


def test_many_examples_are_spread_over_the_outputs():
    task = [([i], float(i)) for i in range(100)]
    x = encode([task], **SIZE)
    shown = np.sort(x[0, :, 0] * 100)
    assert shown[0] == 0
    assert shown[-1] == pytest.approx(99)
    assert (np.diff(shown) < 16).all()
    np.testing.assert_array_equal(x, encode([task], **SIZE))


def test_a_generator_draws_another_subset_each_time_and_the_same_for_the_same_seed():
    task = [([i], float(i % 37)) for i in range(100)]

    def shown(rng):
        return set(encode([task], **SIZE, generator=rng)[0, :, 0].round(4).tolist())

    rng = np.random.default_rng(0)
    draws = [shown(rng) for _ in range(10)]
    assert all(len(d) == 8 for d in draws)
    assert len(set().union(*draws)) > 30
    assert shown(np.random.default_rng(1)) == shown(np.random.default_rng(1))
    few = [([i], i) for i in range(5)]
    x = encode([few], **SIZE, generator=rng)
    assert sorted((x[0, :, 0] * 100).round().tolist()) == [0, 0, 0, 0, 1, 2, 3, 4]
    with pytest.raises(TypeError, match="numpy"):
        format_examples(few, **SIZE, generator=torch.Generator())


def test_statistics_are_those_of_the_whole_task():
    y = np.arange(100.0) ** 2
    x = encode([[([i], v) for i, v in enumerate(y)]], **SIZE, generator=np.random.default_rng(0))[0]
    shown = (x[:, 0] * 100).round().astype(int)
    np.testing.assert_allclose(x[:, 28], (y[shown] - y.mean()) / y.std(), rtol=1e-5)


numbers = st.one_of(
    st.integers(-(10**400), 10**400), st.integers(-9, 9), st.floats(allow_nan=True, allow_infinity=True), st.booleans()
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_number_leaves_the_range(data):
    width = data.draw(st.integers(0, 9))
    pair = st.tuples(st.lists(numbers, min_size=width, max_size=width), numbers)
    task = data.draw(st.lists(pair, min_size=0, max_size=12))
    x = encode([task], input_dim=data.draw(st.sampled_from([8, 13, 14, 32, 40])), seq_len=8)
    assert np.isfinite(x).all()
    assert (abs(x) <= 5).all()


def test_magnitudes_never_collide():
    logs = [token([10.0**k], 0)[2] for k in (1, 2, 3, 6, 12, 100, 300)] + [token([10**400], 0)[2]]
    assert (np.diff(logs) > 0).all()


def test_a_batch_is_its_tasks_side_by_side():
    rng = np.random.default_rng(3)
    tasks = [
        [(rng.normal(size=w).tolist(), float(rng.normal())) for _ in range(n)]
        for w, n in [(1, 3), (3, 20), (6, 8), (3, 20), (9, 2), (0, 4), (2, 0)]
    ]
    together = format_tasks(tasks, **SIZE)
    assert together.shape == (7, 8, 32)
    for i, task in enumerate(tasks):
        assert torch.equal(together[i : i + 1], format_examples(task, **SIZE))
    assert format_tasks([], **SIZE).shape == (0, 8, 32)


def test_arrays_and_lists_are_the_same():
    x, y = np.arange(12).reshape(4, 3), np.arange(4) * 0.5
    as_lists = [(row.tolist(), float(v)) for row, v in zip(x, y, strict=True)]
    np.testing.assert_array_equal(encode([(x, y)], **SIZE), encode([as_lists], **SIZE))


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ([([1, 2], 3), ([1], 3)], "example 1 has 1 inputs where example 0 has 2"),
        ([([1, "a"], 3)], "input 1 of example 0 is 'a'"),
        ([([1, 2], None)], "output of example 0 is None"),
        ([([1, 2j], 3)], "input 1 of example 0 is 2j"),
        ([([1, 2], [3])], "must be one number"),
        ([(1, 2)], "inputs of example 0 are 1, not a list"),
    ],
)
def test_what_is_no_number_is_refused_by_place(task, message):
    with pytest.raises(UserError, match=message):
        format_examples(task, **SIZE)


def test_impossible_sizes_are_refused():
    with pytest.raises(UserError, match="input_dim is 7"):
        format_examples([([1], 1)], input_dim=7, seq_len=8)
    with pytest.raises(UserError, match="seq_len is 0"):
        format_examples([([1], 1)], input_dim=32, seq_len=0)


def test_importing_the_encoding_loads_no_torch():
    code = "import sys, nssr.encoding; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
