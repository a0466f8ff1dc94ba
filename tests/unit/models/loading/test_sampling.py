import dataclasses
from collections import Counter

import pytest

from dataset.labelled_pictures import LabelledInstance
from models.loading.mixing import plan_batches
from models.loading.request import plan_training
from models.loading.sampling import combine_repeats, orientations, repeat_factors


@pytest.fixture
def rare(shapes):
    """Eight pictures of class 0, of which two show class 1 as well."""

    def make(index):
        picture = shapes.make_picture(index)
        mask = picture.instances[0].mask
        classes = (0, 1) if index < 2 else (0,)
        return dataclasses.replace(picture, instances=tuple(LabelledInstance(each, mask) for each in classes))

    return [make(index) for index in range(8)]


def test_a_picture_repeats_as_often_as_its_rarest_class_asks(rare):
    factors = repeat_factors(rare, 1.0)
    assert [factors[picture.digest] for picture in rare] == [2.0, 2.0, *[1.0] * 6]  # sqrt(1 / (2 / 8))
    assert set(repeat_factors(rare, 0.2).values()) == {1.0}  # no class is that rare
    assert set(repeat_factors(rare, 0.0).values()) == {1.0}


def test_crowds_and_empty_pictures_ask_for_nothing(rare):
    crowd = dataclasses.replace(rare[0].instances[1], is_crowd=True)
    pictures = [dataclasses.replace(rare[0], instances=(crowd,)), dataclasses.replace(rare[1], instances=())]
    assert set(repeat_factors(pictures, 1.0).values()) == {1.0}


def test_weights_of_single_pictures_multiply_what_their_classes_ask():
    assert combine_repeats({"a": 2.0, "b": 1.0}, {"b": 3.0}) == {"a": 2.0, "b": 3.0}


def test_square_pictures_are_wide(rare):
    tall = dataclasses.replace(rare[0], height_px=100)
    assert orientations([tall, rare[1]]) == {tall.digest: "tall", rare[1].digest: "wide"}


def test_whole_repeats_are_drawn_as_often_in_every_round():
    plan = plan_batches([], "abc", replay_percent=0, batch_size=1, steps=40, seed=0, repeats={"a": 2.0})
    order = [batch[0] for batch in plan]
    for start in range(0, 40, 4):
        assert Counter(order[start : start + 4]) == {"a": 2, "b": 1, "c": 1}


def test_broken_repeats_are_drawn_as_often_in_the_mean():
    plan = plan_batches([], "ab", replay_percent=0, batch_size=1, steps=4000, seed=0, repeats={"a": 1.5})
    share = Counter(batch[0] for batch in plan)["a"] / 4000
    assert share == pytest.approx(1.5 / 2.5, abs=0.02)


def test_no_repeats_are_the_plan_without_them():
    plans = [
        plan_batches("ab", "cde", replay_percent=50, batch_size=4, steps=9, seed=3, **more)
        for more in ({}, {"repeats": dict.fromkeys("abcde", 1.0)}, {"groups": dict.fromkeys("abcde", "wide")})
    ]
    assert plans[0] == plans[1] == plans[2]


def test_a_name_that_is_drawn_less_than_once_is_refused():
    with pytest.raises(ValueError, match="at least once"):
        plan_batches([], "ab", replay_percent=0, batch_size=1, steps=1, seed=0, repeats={"a": 0.5})


def test_batches_hold_one_group_and_no_picture_is_left_out():
    groups = {name: "wide" if name in "abcdefg" else "tall" for name in "abcdefghij"}
    plan = plan_batches("abchi", "defgj", replay_percent=50, batch_size=4, steps=50, seed=0, groups=groups)
    assert all(len({groups[name] for name in batch}) == 1 for batch in plan)
    counts = Counter(name for batch in plan for name in batch)
    new = [counts[name] for name in "defgj"]
    assert max(new) - min(new) <= 2  # what did not fit has waited, not been lost
    assert set(counts) == set("abcdefghij")


def test_a_pool_without_the_group_lends_another():
    groups = {"a": "tall", "b": "wide"}
    plan = plan_batches("a", "b", replay_percent=50, batch_size=2, steps=3, seed=0, groups=groups)
    assert plan == [["b", "a"]] * 3


def test_a_longer_plan_begins_like_a_shorter_one_whatever_is_asked():
    def plan(steps):
        return plan_batches(
            "ab",
            "cdef",
            replay_percent=25,
            batch_size=4,
            steps=steps,
            seed=0,
            repeats={"a": 2.5, "c": 1.3},
            groups={"a": "tall", "c": "tall"},
        )

    assert plan(30)[:7] == plan(7)


def test_training_draws_what_weighs_more_more_often(shapes, tmp_path):
    dataset = shapes.make_dataset(num_train=8)
    hard = dataset.by_split["train"][0].digest
    request = shapes.make_request(
        tmp_path, shapes.tiny_settings(batch_size=1), steps=100, dataset=dataset, draw_weights={hard: 3.0}
    )
    counts = Counter(picture.digest for (picture,) in plan_training(request))
    assert counts[hard] == 30  # 3 of 10 in a round
    assert set(counts.values()) == {30, 10}


def test_settings_ask_for_rare_classes_and_orientations(shapes, tmp_path):
    dataset = shapes.make_dataset(num_train=6, num_val=0)
    sizes = [100 if index % 2 else 48 for index in range(6)]
    pictures = tuple(
        dataclasses.replace(picture, height_px=height)
        for picture, height in zip(dataset.pictures, sizes, strict=True)
    )
    dataset = dataclasses.replace(dataset, pictures=pictures)
    settings = shapes.tiny_settings(sampling={"group_by_orientation": True, "repeat_threshold": 1.0})
    plan = plan_training(shapes.make_request(tmp_path, settings, steps=20, dataset=dataset))
    assert all(len({picture.height_px for picture in batch}) == 1 for batch in plan)
    assert {picture.digest for batch in plan for picture in batch} == {one.digest for one in pictures}
