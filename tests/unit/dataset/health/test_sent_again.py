"""Pictures of the data that production sends: the same file or an alike one, and what the model knew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.health.copies import Place, Sighting
from dataset.health.sent_again import Sent, SentAgain, SentInstances, find_sent_again, group_sightings
from dataset.labelled_pictures import LabelledPicture

CELLS = np.arange(256, dtype=np.uint8).tobytes()
OTHER_CELLS = np.random.default_rng(0).permutation(256).astype(np.uint8).tobytes()
Build = Callable[..., LabelledPicture]


@pytest.fixture
def picture(labelled: Build) -> LabelledPicture:
    """A picture of data-v2 whose hash is 0."""
    return replace(labelled("a"), added_in="data-v2")


def find(
    picture: LabelledPicture,
    *sent: Sent,
    bits: int = 3,
    cells: Callable[[int], bytes | None] = lambda _: CELLS,
) -> tuple[SentAgain, ...]:
    return find_sent_again([picture], {picture.digest: 0}, sent, bits, lambda _: CELLS, cells)


def test_the_same_file_sent_to_a_model_whose_data_held_it_is_found(picture: LabelledPicture) -> None:
    assert find(picture, Sent("a", None, known=2)) == (SentAgain(picture, 0, 1, is_same=True, likeness=1.0),)


def test_a_picture_that_was_labelled_after_production_had_sent_it_is_not_found(
    picture: LabelledPicture,
) -> None:
    assert find(picture, Sent("a", 0, known=1), Sent("b", 0, known=1)) == ()


def test_it_is_found_once_a_later_model_gets_it_again(picture: LabelledPicture) -> None:
    (found,) = find(picture, Sent("a", 0, known=3), Sent("a", 0, known=1))
    assert (found.row, found.num_sent) == (0, 1)


def test_a_picture_that_looks_alike_is_found_by_hash_and_cells(picture: LabelledPicture) -> None:
    (found,) = find(picture, Sent("b", 0b111, known=2))
    assert (found.is_same, found.likeness) == (False, pytest.approx(1.0))
    assert find(picture, Sent("b", 0b1111, known=2)) == (), "four bits differ"
    assert find(picture, Sent("b", 0b111, known=2), cells=lambda _: OTHER_CELLS) == ()
    assert find(picture, Sent("b", 0b111, known=2), cells=lambda _: None) == (), "it cannot be read"


def test_below_0_bits_and_without_a_hash_only_the_file_counts(picture: LabelledPicture) -> None:
    assert find(picture, Sent("b", 0, known=2), bits=-1) == ()
    assert find(picture, Sent("b", None, known=2)) == ()
    assert len(find(picture, Sent("a", 0, known=2), bits=-1)) == 1


def test_of_many_frames_of_one_scene_the_newest_is_named_all_are_counted_and_few_are_read(
    picture: LabelledPicture,
) -> None:
    read: list[int] = []

    def cells(row: int) -> bytes | None:
        read.append(row)
        return OTHER_CELLS if row == 0 else CELLS

    frames = [Sent(f"frame {number}", number % 2, known=2) for number in range(20_000)]
    (found,) = find(picture, *frames, cells=cells)
    assert (found.row, found.num_sent, read) == (1, 20_000, [0, 1])


def test_the_same_file_comes_before_what_is_alike(labelled: Build) -> None:
    pictures = [labelled("a"), labelled("b")]
    sent = [Sent("x", 0, 1), Sent("y", 0, 1), Sent("b", None, 1)]
    found = find_sent_again(pictures, {"a": 0, "b": 1 << 40}, sent, 3, lambda _: CELLS, lambda _: CELLS)
    assert [(one.picture.digest, one.num_sent) for one in found] == [("b", 1), ("a", 2)]


ROWS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 31), st.integers(0, 3)), max_size=12)


@given(data=ROWS, sent=ROWS, bits=st.integers(-1, 2))
def test_as_much_is_found_as_by_comparing_all_with_all(
    data: list[tuple[str, int, int]], sent: list[tuple[str, int, int]], bits: int
) -> None:
    """Hashes of five bits, so that many are near."""
    hashes = {digest: value for digest, value, _ in data}
    pictures = [
        LabelledPicture(digest, "f", "n", 4, 4, "s", "g", "train", f"data-v{number}", "human", ())
        for digest, number in {digest: number for digest, _, number in data}.items()
    ]
    rows = [Sent(*one) for one in sent]
    found = find_sent_again(pictures, hashes, rows, bits, lambda _: CELLS, lambda _: CELLS)
    expected = {}
    for picture in pictures:
        known = [one for one in rows if one.known >= int(picture.added_in[6:])]
        same = sum(one.digest == picture.digest for one in known)
        near = sum((hashes[picture.digest] ^ (one.difference_hash or 0)).bit_count() <= bits for one in known)
        if same or near:
            expected[picture.digest] = same or near
    assert {one.picture.digest: one.num_sent for one in found} == expected


def test_the_instances_of_one_picture_are_told_together_with_the_newest_sent_picture(
    picture: LabelledPicture,
) -> None:
    sent = [Sent("new", None, known=3), Sent("old", None, known=2), Sent("new", None, known=2)]
    sightings = [
        ("old", Sighting(Place(picture, 1), 5, 6)),
        ("new", Sighting(Place(picture, 2), 7, 8)),
        ("new", Sighting(Place(picture, 1), 9, 10)),
    ]
    assert group_sightings(sightings, sent, whole=()) == (SentInstances(picture, (1, 2), 0, 3, 9, 10),)


def test_the_picture_with_most_instances_sent_comes_first(picture: LabelledPicture) -> None:
    other = replace(picture, digest="b")
    sightings = [
        ("x", Sighting(Place(one, label), 0, 0)) for one, label in ((picture, 0), (other, 0), (other, 1))
    ]
    found = group_sightings(sightings, [Sent("x", None, known=2)], whole=())
    assert [one.picture.digest for one in found] == ["b", "a"]


def test_instances_that_were_labelled_after_production_had_sent_them_are_not_told(
    picture: LabelledPicture,
) -> None:
    sighting = ("x", Sighting(Place(picture, 0), 0, 0))
    assert group_sightings([sighting], [Sent("x", None, known=1)], whole=()) == ()


def test_instances_of_a_picture_that_is_sent_as_a_whole_are_not_told_again(picture: LabelledPicture) -> None:
    whole = SentAgain(picture, 0, 1, is_same=False, likeness=0.99)
    sighting = ("x", Sighting(Place(picture, 0), 0, 0))
    assert group_sightings([sighting], [Sent("x", None, known=2)], [whole]) == ()
