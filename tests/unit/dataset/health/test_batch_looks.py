"""A batch is held against the data: what is read, what is told, and what a setting makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from dataset.health.batch_looks import CODE, SeenPicture, compare_batch
from dataset.labelled_pictures import LabelledInstance
from maskloop.errors import PictureError
from maskloop.masks import encode_masks

SIDE_PX = 32
NAMES = ("bolt", "nut", "gear")
PLACES = ((2, 2), (2, 18), (18, 2))
BRIGHTNESS = (60, 130, 200)


def pixels_of(file: str) -> np.ndarray:
    """Draw the picture that a name stands for: ``NUMBER-BRIGHTNESS-...`` of the three objects."""
    number, *brightness = map(int, file.split("-"))
    rng = np.random.default_rng(number)
    pixels = rng.integers(90, 110, (SIDE_PX, SIDE_PX, 3)).astype(np.int64)
    for (top, left), value in zip(PLACES, brightness, strict=True):
        pixels[top : top + 10, left : left + 10] = value + rng.integers(-5, 6, (10, 10, 1))
    return pixels.astype(np.uint8)


def seen(number: int, order: tuple[int, ...] = (0, 1, 2)) -> SeenPicture:
    """Return a picture whose objects have the names at these positions."""
    masks = np.zeros((3, SIDE_PX, SIDE_PX), dtype=bool)
    for mask, (top, left) in zip(masks, PLACES, strict=True):
        mask[top : top + 10, left : left + 10] = True
    instances = tuple(map(LabelledInstance, order, encode_masks(masks)))
    name = "-".join(map(str, (number, *BRIGHTNESS)))
    return SeenPicture(name, name, name, instances)


def many(first: int, number: int = 20, order: tuple[int, ...] = (0, 1, 2)) -> list[SeenPicture]:
    return [seen(place, order) for place in range(first, first + number)]


def test_exchanged_names_are_told_with_objects_of_both_sides() -> None:
    old, new = many(0), many(100, order=(1, 0, 2))
    found = compare_batch(old, new, NAMES, pixels_of)
    assert {one.class_name for one in found} == {"bolt", "nut"}
    bolt = next(one for one in found if one.class_name == "bolt")
    assert all(shown.picture in old and shown.label == 0 for shown in bolt.old)
    assert all(shown.picture in new and shown.label == 1 for shown in bolt.new)
    told = bolt.tell("warn")
    assert (told.severity, told.code, told.where, told.picture) == ("warning", CODE, "bolt", "")
    assert (
        "is larger than in the data in 100% of the comparisons (20 groups of pictures with 20)"
        in told.message
    )
    assert told.example == bolt.new[0].picture.name


def test_a_setting_makes_it_an_error_of_the_whole_batch_that_says_how_to_go_on() -> None:
    found = compare_batch(
        many(0),
        many(100, order=(1, 0, 2)),
        NAMES,
        pixels_of,
    )
    told = found[0].tell("block")
    assert (told.severity, told.picture) == ("error", "")
    assert 'data.check_policy.look = "warn"' in told.hint


def test_the_same_objects_are_not_told() -> None:
    old, new = many(0, 30), many(100, 30)
    assert compare_batch(old, new, NAMES, pixels_of) == ()


def test_nothing_is_read_for_a_batch_too_small_to_judge() -> None:
    def read(_file: str) -> np.ndarray:
        raise AssertionError("nothing is to be read")

    assert compare_batch(many(0), [seen(100)], NAMES, read) == ()


def test_of_many_pictures_a_bounded_number_is_read() -> None:
    asked: list[str] = []

    def read(file: str) -> np.ndarray:
        asked.append(file)
        return pixels_of(file)

    compare_batch(many(0, 500), many(1000, 500), NAMES, read)
    assert len(asked) == len(set(asked)) == 2 * 40


@pytest.mark.parametrize("error", [OSError("gone"), PictureError("broken")])
def test_a_picture_that_cannot_be_read_is_left_out(error: Exception) -> None:
    old, new = many(0), many(100, order=(1, 0, 2))

    def read(file: str) -> np.ndarray:
        if file == old[0].file:
            raise error
        return pixels_of(file)

    assert {one.change.num_old for one in compare_batch(old, new, NAMES, read)} == {19}
