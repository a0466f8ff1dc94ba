import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.ingestion.splitting import (
    Newcomer,
    Resident,
    assign_splits,
    hashed_split,
)
from dataset.labelled_pictures import Split


def look(number: int) -> int:
    """A hash far from every other number's."""
    return int(np.random.default_rng(number).integers(0, 2**63))


def newcomer(number: int, *, name: str = "", group: str = "", near: int | None = None) -> Newcomer:
    hashed = look(number) if near is None else look(near) ^ 1
    return Newcomer(f"digest{number}", name or f"{number}.png", group, hashed)


def resident(number: int, split: Split, group: str = "", name: str = "") -> Resident:
    return Resident(
        f"old{number}", name or f"old{number}.png", group or f"group{number}", split, look(number)
    )


def plan(newcomers, residents=(), **options):
    return assign_splits(newcomers, residents, **{"val_percent": 15, "test_percent": 20, **options})


def test_the_shares_are_about_what_was_asked_for():
    splits = [hashed_split(f"group {number}", 15, 20) for number in range(4000)]
    assert splits.count("test") == pytest.approx(800, abs=100)
    assert splits.count("val") == pytest.approx(600, abs=100)


@given(st.text(), st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_a_larger_share_for_testing_takes_no_group_out_of_it(
    group: str, val_percent: float, share: float, other_share: float
) -> None:
    smaller, larger = sorted((share, other_share))
    if hashed_split(group, val_percent, smaller) == "test":
        assert hashed_split(group, val_percent, larger) == "test"


@given(st.text(), st.floats(0, 100))
def test_shares_of_nothing_and_of_all_are_kept_exactly(group: str, percent: float) -> None:
    assert hashed_split(group, 0, 0) == "train"
    assert hashed_split(group, percent, 100) == "test"
    assert hashed_split(group, 100, 0) == "val"
    assert hashed_split(group, 100 - percent, percent) != "train"


def test_a_declared_split_holds_for_new_groups():
    places = plan([newcomer(1), newcomer(2)], declared="test").places
    assert {place.split for place in places.values()} == {"test"}


def test_near_duplicates_are_one_group():
    places = plan([newcomer(1), newcomer(2, near=1), newcomer(3)]).places
    assert places["digest1"] == places["digest2"]
    assert places["digest3"].group != places["digest1"].group


def test_the_distance_is_counted_in_bits():
    far = Newcomer("far", "far.png", "", look(1) ^ 0b1111)
    assert plan([newcomer(1), far]).places["far"].group != plan([newcomer(1), far]).places["digest1"].group
    close = plan([newcomer(1), far], near_duplicate_distance_bits=4).places
    assert close["far"] == close["digest1"]


def test_nearness_reaches_over_a_chain():
    chain = [Newcomer(f"d{n}", f"{n}.png", "", look(1) ^ (2**n - 1)) for n in range(0, 30, 3)]
    assert len(set(plan(chain).places.values())) == 1


def test_a_file_name_pattern_keeps_a_scene_together_also_across_versions():
    pattern = r"(scene\d+)_"
    first = plan([newcomer(1, name="scene7_a.png")], group_pattern=pattern, declared="val").places["digest1"]
    old = [Resident("digest1", "scene7_a.png", first.group, first.split, look(1))]
    later = plan([newcomer(2, name="scene7_b.png")], old, group_pattern=pattern, declared="train")
    assert later.places["digest2"] == first
    assert [problem.code for problem in later.problems] == ["follows-group"]


def test_a_pattern_set_later_still_finds_the_old_pictures_of_a_scene():
    old = [resident(1, "test", name="scene7_a.png")]
    places = plan([newcomer(2, name="scene7_b.png")], old, group_pattern=r"(scene\d+)_").places
    assert places["digest2"].split == "test"


def test_a_group_in_the_coco_file_counts_like_a_pattern():
    places = plan([newcomer(1, group="a"), newcomer(2, group="a")]).places
    assert places["digest1"] == places["digest2"]
    assert places["digest1"].group == "a"


def test_a_picture_that_ties_training_to_test_is_left_out_and_its_neighbours_with_it():
    residents = [resident(1, "train", "a"), resident(2, "test", "b")]
    bridge = newcomer(3, near=1, group="b")
    outcome = plan([bridge, newcomer(4)], residents)
    assert list(outcome.places) == ["digest4"]
    assert [(p.code, p.picture) for p in outcome.problems] == [("bridges-splits", "3.png")]


def test_a_picture_between_two_groups_of_one_split_joins_it():
    residents = [resident(1, "test", "a"), resident(2, "test", "b")]
    place = plan([newcomer(3, near=1, group="b")], residents).places["digest3"]
    assert (place.group, place.split) == ("a + b", "test")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12), st.integers(0, 12))
def test_no_group_and_no_near_duplicates_are_ever_in_two_splits(pictures, cut):
    """However a set is cut into two batches, and whatever the second batch declares."""
    everyone = [
        Newcomer(f"d{number}", f"{number}.png", f"g{group}" if group else "", look(near))
        for number, (group, near) in enumerate(pictures)
    ]
    first = plan(everyone[:cut])
    looks = {newcomer.digest: newcomer.difference_hash for newcomer in everyone}
    residents = [
        Resident(digest, "", place.group, place.split, looks[digest])
        for digest, place in first.places.items()
    ]
    second = plan(everyone[cut:], residents, declared="train")
    places = {**first.places, **second.places}
    placed = [n for n in everyone if n.digest in places]
    for one in placed:
        assert places[one.digest] == {**places, **first.places}[one.digest]
        for other in placed:
            tied = one.declared_group and one.declared_group == other.declared_group
            if tied or one.difference_hash == other.difference_hash:
                assert places[one.digest].split == places[other.digest].split


def test_the_order_of_a_batch_does_not_matter():
    batch = [newcomer(number, group=f"g{number % 3}") for number in range(9)]
    assert plan(batch).places == plan(batch[::-1]).places


def same_look(number: int, cells: bytes | None) -> Newcomer:
    """Pictures of one hash."""
    return Newcomer(f"digest{number}", f"{number:02d}.png", "", look(1), cells)


def cells_of(seed: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, 256, dtype=np.uint8).tobytes()


def test_pictures_whose_hashes_agree_are_tied_only_if_their_cells_agree_too():
    """Even ground has one hash, whatever lies on it."""
    different = plan([same_look(number, cells_of(number)) for number in range(30)])
    assert len({place.group for place in different.places.values()}) == 30
    assert different.problems == ()
    one_scene = plan([same_look(number, cells_of(1)) for number in range(4)])
    assert len({place.group for place in one_scene.places.values()}) == 1


def test_old_pictures_are_compared_by_their_cells_too_and_by_the_hash_alone_where_these_are_unknown():
    for cells, split in ((cells_of(1), "test"), (cells_of(2), "train"), (None, "test")):
        old = [Resident("old", "old.png", "a", "test", look(1), cells)]
        places = plan([same_look(5, cells_of(1))], old, val_percent=0, test_percent=0).places
        assert places["digest5"].split == split


def test_minus_one_ties_nothing_by_its_look():
    places = plan([same_look(n, None) for n in range(4)], near_duplicate_distance_bits=-1).places
    assert len({place.group for place in places.values()}) == 4


def test_a_group_of_more_than_a_fifth_of_a_batch_is_told_with_two_pictures_and_the_setting():
    batch = [same_look(number, None) for number in range(6)] + [newcomer(n) for n in range(10, 30)]
    outcome = plan(batch)
    (problem,) = outcome.problems
    split = outcome.places["digest0"].split
    assert (problem.severity, problem.code) == ("warning", "large-group")
    assert problem.message == (
        f"6 of 26 new pictures are one group and all go to {split}, among them 00.png and 01.png"
    )
    assert "data.near_duplicate_distance_bits" in problem.hint
    assert plan(batch + [newcomer(n) for n in range(30, 34)]).problems == ()  # a fifth, not more
    assert plan(batch, declared="test").problems == ()


def test_a_large_group_that_a_name_ties_is_told_with_its_name():
    batch = [newcomer(n, name=f"film_{n}.png") for n in range(6)] + [newcomer(n) for n in range(10, 20)]
    (problem,) = plan(batch, group_pattern="^(film)_").problems
    assert "data.group_pattern" in problem.hint
    assert "'film'" in problem.hint
