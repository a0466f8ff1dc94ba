"""What a data version hides: torn groups and pictures that look alike."""

from __future__ import annotations

import numpy as np
import pytest

from dataset.ingestion.audit import (
    LargestGroup,
    find_alike_across_splits,
    find_name_leaks,
    find_torn,
    largest_group,
    warn_of_names,
)
from dataset.labelled_pictures import LabelledPicture, Split


def picture(name: str, split: Split = "train", group: str = "") -> LabelledPicture:
    return LabelledPicture(
        name, f"{name}.png", name, 4, 3, "here", group or name, split, "data-v1", "human", ()
    )


def tiles(*splits: Split, group: str = "") -> list[LabelledPicture]:
    """Four photographs of so many tiles each, in these splits."""
    return [
        picture(f"{photo}_scaled_{number}.png", split, group and f"{group} of {photo}")
        for photo in ("ash", "elm", "fir", "oak")
        for number, split in enumerate(splits)
    ]


def test_tiles_in_two_splits_are_found_and_two_of_them_named() -> None:
    leaks = find_name_leaks(tiles("train", "train", "test"))
    assert leaks
    assert (leaks.num_apart, leaks.num_torn) == (4, 4)
    assert leaks.torn_example == ("ash_scaled_0.png", "ash_scaled_2.png")
    assert leaks.sentence() == (
        "12 file names look like parts of 4 pictures, and 4 of these are in two splits: ash_scaled_0.png and "
        "ash_scaled_2.png"
    )


def test_tiles_that_nothing_ties_are_told_before_they_are_torn() -> None:
    leaks = find_name_leaks(tiles("train", "train"))
    assert leaks
    assert (leaks.num_apart, leaks.num_torn, leaks.torn_example) == (4, 0, ())
    assert "nothing keeps them in one split" in leaks.sentence()


def test_tiles_that_are_one_group_already_are_not_told() -> None:
    assert find_name_leaks(tiles("train", "train", group="g")) is None


def test_a_batch_is_warned_of_names_with_the_setting_and_only_if_it_brings_some() -> None:
    old = tiles("train", "train")
    new = [picture("ash_scaled_7.png", "test"), picture("IMG_0001.png", "test")]
    (problem,) = warn_of_names([*old, *new], frozenset(one.name for one in new))
    assert (problem.severity, problem.code) == ("warning", "names-suggest-groups")
    assert "group_pattern = '^(.+?)[_.-](?:tile|" in problem.hint
    assert "new workspace" in problem.hint
    assert warn_of_names([*old, *new], frozenset({"IMG_0001.png"})) == ()
    (early,) = warn_of_names(old, frozenset(one.name for one in old))
    assert "new workspace" not in early.hint


def test_groups_of_the_pattern_that_came_in_before_it_are_found_torn() -> None:
    pictures = [picture("a_1", "train"), picture("a_2", "test"), picture("b_1"), picture("b_2")]
    assert find_torn(pictures, "^(.)_") == (("a_1", "a_2"),)


@pytest.mark.parametrize(("size", "is_large"), [(4, False), (5, False), (6, True)])
def test_the_largest_group_is_large_with_more_than_a_fifth_of_all_pictures(size: int, is_large: bool) -> None:
    """Of 25; and groups below five pictures are never called large."""
    one = [picture(f"{number}", "test", "g") for number in range(size)]
    others = [picture(f"other {number}") for number in range(25 - size)]
    expected = LargestGroup(26 - size, size, "test", ("0", "1"), is_large)
    assert largest_group([*others, *one]) == expected
    assert largest_group([]) is None


def test_pictures_that_look_alike_in_different_splits_are_found_by_hash_and_cells() -> None:
    """All hashes agree; the cells of a and b do too."""
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 256, 256, dtype=np.uint8).tobytes() for _ in range(2))
    cells = {"a": one, "b": one, "c": other, "d": one, "far": one}
    pictures = [picture("a", "train"), picture("b", "test"), picture("c", "test"), picture("d", "train")]
    hashes = {"a": 0, "b": 1, "c": 0, "d": 0, "far": 2**64 - 1}
    asked: list[str] = []

    def cells_of(asked_for: LabelledPicture) -> bytes:
        asked.append(asked_for.name)
        return cells[asked_for.name]

    found = find_alike_across_splits([*pictures, picture("far", "test")], hashes, cells_of, 3)
    assert [(one.name, other.name) for one, other in found] == [("a", "b"), ("b", "d")]
    assert sorted(asked) == ["a", "b", "c", "d"]
