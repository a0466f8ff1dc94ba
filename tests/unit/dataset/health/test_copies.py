"""The same instance in several pictures."""

import numpy as np

from dataset.health.copies import Place, candidates_for_copies, find_copies, instance_digest
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
