from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.errors import TrainingError
from models.loading.mixing import plan_batches

names = st.lists(st.text("abcdefgh", min_size=1, max_size=3), min_size=1, max_size=20, unique=True)


@given(old=names, new=names, replay=st.floats(0, 100), size=st.integers(1, 9), seed=st.integers(0, 99))
def test_each_batch_holds_the_stated_number_of_old_pictures(old, new, replay, size, seed):
    old, new = [f"old-{name}" for name in old], [f"new-{name}" for name in new]
    plan = plan_batches(old, new, replay_percent=replay, batch_size=size, steps=7, seed=seed)
    expected = min(int(size * replay / 100 + 0.5), size - 1)
    assert [len(batch) for batch in plan] == [size] * 7
    assert all(sum(name.startswith("old") for name in batch) == expected for batch in plan)


@given(new=names, seed=st.integers(0, 99))
def test_every_picture_comes_once_before_any_comes_again(new, seed):
    steps = 3 * len(new)
    plan = plan_batches([], new, replay_percent=50, batch_size=1, steps=steps, seed=seed)
    order = [batch[0] for batch in plan]
    for start in range(0, steps, len(new)):
        assert sorted(order[start : start + len(new)]) == sorted(new)


def test_half_of_eight_is_four():
    plan = plan_batches("ab", "cd", replay_percent=50, batch_size=8, steps=1, seed=0)
    assert Counter(plan[0]) == {"a": 2, "b": 2, "c": 2, "d": 2}


def test_the_order_of_the_arguments_does_not_matter_and_the_seed_does():
    def plan(new, seed):
        return plan_batches([], new, replay_percent=0, batch_size=4, steps=5, seed=seed)

    assert plan("abcdefgh", 1) == plan("hgfedcba", 1)
    assert plan("abcdefgh", 1) != plan("abcdefgh", 2)


def test_more_steps_continue_the_same_plan():
    short, long = (
        plan_batches("ab", "cde", replay_percent=25, batch_size=4, steps=steps, seed=0) for steps in (3, 9)
    )
    assert long[:3] == short


def test_nothing_new_is_an_error():
    with pytest.raises(TrainingError, match="no picture to train on"):
        plan_batches(["a"], [], replay_percent=50, batch_size=2, steps=1, seed=0)
