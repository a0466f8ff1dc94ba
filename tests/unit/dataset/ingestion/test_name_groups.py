from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.ingestion.name_groups import group_key, names_by_group, suggest_pattern

PHOTOGRAPHS = ("DJI_0012", "oak-3", "P0007", "IMG_20240101_120000", "a b", "site.7", "Öse", "x_1")
CONVENTIONS = {
    "scaled": lambda photo, tile: f"{photo}_scaled_{tile}.png",
    "tile": lambda photo, tile: f"{photo}-tile{tile:03d}.jpg",
    "crop": lambda photo, tile: f"{photo}_crop_{tile // 3}_{tile % 3}.jpg",
    "frame": lambda photo, tile: f"films/{photo}_frame{tile:05d}.jpg",
    "number": lambda photo, tile: f"{photo}_{tile}.png",
    "number from 1": lambda photo, tile: f"{photo}-{tile + 1:02d}.png",
    "row and column": lambda photo, tile: f"{photo}_{tile // 3}_{tile % 3}.png",
    "corners": lambda photo, tile: f"{photo}_{tile // 3 * 512}_{tile % 3 * 512}.png",
    "windows": lambda photo, tile: f"{photo}_0_800_{tile * 600}_{tile * 600 + 800}.png",
    "aerial": lambda photo, tile: f"{photo}__1__{tile // 3 * 512}___{tile % 3 * 512}.png",
    "roboflow": lambda photo, tile: f"{photo}_jpg.rf.{tile:032x}.jpg",
}


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_parts_of_a_photograph_are_grouped_by_it(convention: str) -> None:
    name = CONVENTIONS[convention]
    wanted = sorted([name(photo, tile) for tile in range(6)] for photo in PHOTOGRAPHS)
    names = [one for group in wanted for one in group]
    found = suggest_pattern(names)
    assert found
    assert sorted(names_by_group(names, found.pattern).values()) == wanted
    assert (found.num_pictures, found.num_groups) == (48, 8)
    assert len({group_key(one, found.pattern) for one in found.example}) == 1


@pytest.mark.parametrize(
    "names",
    [
        [f"IMG_{number:04d}.JPG" for number in range(400)],
        [f"img_{number}.jpg" for number in range(60)],
        [f"train{number}.jpg" for number in range(60)],
        [f"{number:012d}.jpg" for number in range(60)],
        [f"DSC{number:05d}.jpg" for number in range(60)] + [f"P101{number:04d}.jpg" for number in range(60)],
        [f"{side}_{number:04d}.png" for side in ("left", "right", "top", "front") for number in range(50)],
        [f"{side}_{number}.png" for side in ("left", "right", "top", "front") for number in range(50)],
        [f"IMG_202401{day:02d}_{hour:02d}1500.jpg" for day in range(1, 20) for hour in range(8, 16)],
        [f"2024-01-{day:02d}_{number}.jpg" for day in range(1, 29) for number in range(5)],
        [f"202401{day:02d}_{number:03d}.jpg" for day in range(1, 29) for number in range(5)],
        [f"{number:016x}.png" for number in range(60)],
        [f"part_{number:04d}.png" for number in range(60)],
        [f"photo{number}_jpg.rf.{number:032x}.jpg" for number in range(60)],
        [f"photo{number}_scaled_0.png" for number in range(60)],
        ["a.png"],
        [],
    ],
)
def test_ordinary_names_suggest_nothing(names: list[str]) -> None:
    assert suggest_pattern(names) is None


def test_names_among_many_others_are_found_and_counted_alone() -> None:
    tiles = [f"{photo}_scaled_{tile}.png" for photo in PHOTOGRAPHS for tile in range(4)]
    found = suggest_pattern(tiles + [f"IMG_{number:04d}.JPG" for number in range(100)])
    assert found
    assert (found.num_pictures, found.num_groups) == (32, 8)
    assert found.setting == f"group_pattern = '{found.pattern}'"


@given(st.lists(st.text(max_size=30), max_size=30))
def test_any_names_have_an_answer_and_a_proposal_groups_what_it_says(names: list[str]) -> None:
    found = suggest_pattern(names)
    if found:
        groups = [one for one in names_by_group(sorted(set(names)), found.pattern).values() if len(one) > 1]
        assert (found.num_groups, found.num_pictures) == (len(groups), sum(map(len, groups)))


def test_a_pattern_without_a_group_uses_the_whole_match() -> None:
    assert group_key("line3_0001.png", r"line\d+") == "line3"
    assert group_key("other.png", r"line\d+") == ""
