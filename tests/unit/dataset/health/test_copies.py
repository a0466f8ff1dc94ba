"""The same instance in several pictures."""

import numpy as np
import pytest

from dataset.health.copies import (
    KnownInstances,
    Place,
    Sighting,
    candidates_for_copies,
    find_copies,
    instance_digest,
)
from tests.unit.dataset.health.conftest import SIDE_PX, rectangle

A, A_MOVED, OTHER_SHAPE, TINY = (0, 0, 10, 8), (20, 25, 30, 33), (0, 0, 8, 10), (0, 0, 7, 7)
RNG = np.random.default_rng(1)
TEXTURE = RNG.integers(0, 256, (8, 10, 3), dtype=np.uint8)


def picture_with(box, texture=TEXTURE):
    pixels = RNG.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = texture
    return pixels


def test_only_instances_whose_mask_occurs_in_another_picture_need_to_be_looked_at(labelled):
    pictures = [
        labelled("a", (0, A), (0, TINY), (0, A, True)),
        labelled("b", (0, OTHER_SHAPE), (1, A_MOVED), (0, TINY)),
        labelled("c", (0, (0, 0, 12, 12)), (0, (20, 20, 32, 32))),
    ]
    found = [
        [(place.picture.digest, place.label) for place in places]
        for places in candidates_for_copies(pictures)
    ]
    assert found == [[("a", 0)], [("b", 1)]]


def test_a_digest_is_of_the_mask_and_the_pixels_under_it_wherever_they_are():
    one = instance_digest(picture_with(A), rectangle(A))
    assert one
    assert instance_digest(picture_with(A_MOVED), rectangle(A_MOVED)) == one
    assert instance_digest(picture_with(A, TEXTURE[::-1]), rectangle(A)) != one


def test_an_even_object_has_no_digest_because_it_shows_nothing():
    assert instance_digest(np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8), rectangle(A)) == ""


def test_equal_digests_in_several_pictures_are_copies_and_those_across_splits_come_first(labelled):
    a, b = labelled("a", (0, A), (0, A_MOVED)), labelled("b", (1, A))
    c, d = labelled("c", (0, A)), labelled("d", (0, A), split="test")
    digests = [
        (Place(a, 0), "x"),
        (Place(b, 0), "x"),
        (Place(a, 1), "y"),
        (Place(c, 0), "z"),
        (Place(d, 0), "z"),
    ]
    first, second = find_copies([*digests, (Place(c, 0), ""), (Place(d, 0), "")])
    assert [place.picture.digest for place in first.places] == ["c", "d"]
    assert first.splits == ("test", "train")
    assert [place.picture.digest for place in second.places] == ["a", "b"]
    assert second.classes == (0, 1)


def test_twice_in_one_picture_is_no_copy(labelled):
    a = labelled("a", (0, A), (0, A_MOVED))
    assert find_copies([(Place(a, 0), "x"), (Place(a, 1), "x")]) == ()


def known_of(*pictures):
    known = KnownInstances()
    for picture, pixels in pictures:
        known.add(picture, pixels)
    return known


def noise(height, width, seed=9):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (90, 60), (37, 21)])
def test_a_known_instance_is_found_wherever_it_was_pasted(labelled, left, top):
    picture = labelled("a", (0, A))
    scene = noise(68, 100)
    scene[top : top + 8, left : left + 10] = TEXTURE
    (found,) = known_of((picture, picture_with(A))).find_in(scene)
    assert found == Sighting(Place(picture, 0), left, top)


def test_the_instances_that_lie_wholly_in_a_part_of_the_picture_are_found_there(labelled):
    pixels, cut = noise(SIDE_PX, SIDE_PX), (30, 0, 40, 10)
    picture = labelled("a", (0, (5, 5, 15, 15)), (1, (16, 16, 30, 30)), (2, cut))
    found = known_of((picture, pixels)).find_in(pixels[4:32, 3:34])
    assert [(one.place.label, one.left_px, one.top_px) for one in found] == [(0, 2, 1), (1, 13, 12)]


def test_one_pixel_of_another_value_under_the_mask_is_another_instance(labelled):
    picture = labelled("a", (0, A))
    scene = picture_with(A_MOVED)
    known = known_of((picture, picture_with(A)))
    assert len(list(known.find_in(scene))) == 1
    scene[A_MOVED[3] - 1, A_MOVED[2] - 1, 2] ^= 1
    assert list(known.find_in(scene)) == []


def test_what_several_labelled_pictures_hold_is_found_for_each_of_them_and_kept_once(labelled):
    a, b = labelled("a", (0, A)), labelled("b", (1, A_MOVED))
    known = known_of((a, picture_with(A)), (b, picture_with(A_MOVED)))
    assert len(known) == 1
    found = known.find_in(picture_with((3, 3, 13, 11)))
    assert [(one.place.picture.digest, one.left_px) for one in found] == [("a", 3), ("b", 3)]


@pytest.mark.parametrize(
    ("what", "instance", "texture"),
    [
        ("smaller than 64 px", (0, TINY), TEXTURE[:7, :7]),
        ("a crowd region", (0, A, True), TEXTURE),
        ("even", (0, A), np.full((8, 10, 3), 90, np.uint8)),
        ("nowhere 8 px wide", (0, (0, 0, 7, 30)), noise(30, 7)),
        ("even in each row", (0, A), np.repeat(TEXTURE[:, :1], 10, axis=1)),
    ],
)
def test_is_not_looked_for(labelled, what, instance, texture):
    pixels = picture_with(instance[1], texture)
    known = known_of((labelled("a", instance), pixels))
    assert (len(known), list(known.find_in(pixels))) == (0, []), what


def test_a_pattern_all_over_a_picture_is_tried_at_a_few_places_only(labelled):
    """Stripes hold the run of an instance at every place, the rest of it is at the last place alone."""
    stripes = np.tile(np.array([[[0, 0, 0]], [[200, 200, 200]]], np.uint8).transpose(1, 0, 2), (40, 20, 1))
    pixels = stripes.copy()
    pixels[7, :10] = 90
    known = known_of((labelled("a", (0, A)), pixels))
    scene = np.concatenate([stripes, pixels])
    assert len(known) == 1
    assert len(list(known.find_in(pixels))) == 1
    assert list(known.find_in(scene)) == []


def test_a_picture_narrower_than_a_run_holds_nothing(labelled):
    known = known_of((labelled("a", (0, A)), picture_with(A)))
    assert list(known.find_in(noise(30, 7))) == []
