import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.splitting import (
    Newcomer,
    Resident,
    assign_splits,
    difference_hash,
    group_key,
    hashed_split,
)

RNG = np.random.default_rng(3)


def look(number: int) -> int:
    """A hash far from every other number's."""
    return int(np.random.default_rng(number).integers(0, 2**63))


def newcomer(number: int, *, name: str = "", group: str = "", near: int | None = None) -> Newcomer:
    hashed = look(number) if near is None else look(near) ^ 1
    return Newcomer(f"digest{number}", name or f"{number}.png", group, hashed)


def resident(number: int, split: str, group: str = "", name: str = "") -> Resident:
    return Resident(
        f"old{number}", name or f"old{number}.png", group or f"group{number}", split, look(number)
    )


def plan(newcomers, residents=(), **options):
    return assign_splits(newcomers, residents, **{"val_percent": 15, "test_percent": 20, **options})


def test_the_shares_are_about_what_was_asked_for():
    splits = [hashed_split(f"group {number}", 15, 20) for number in range(4000)]
    assert splits.count("test") == pytest.approx(800, abs=100)
    assert splits.count("val") == pytest.approx(600, abs=100)


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


def test_a_pattern_without_a_group_uses_the_whole_match():
    assert group_key("line3_0001.png", r"line\d+") == "line3"
    assert group_key("other.png", r"line\d+") == ""


class TestDifferenceHash:
    PICTURE = np.asarray(
        Image.fromarray(RNG.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((240, 180), Image.BICUBIC)
    )

    def distance(self, other) -> int:
        return (difference_hash(self.PICTURE) ^ difference_hash(np.asarray(other))).bit_count()

    def test_a_ramp_to_the_right_sets_every_bit(self):
        ramp = np.repeat(np.arange(90, dtype=np.uint8)[np.newaxis, :, np.newaxis], 80, axis=0).repeat(
            3, axis=2
        )
        assert difference_hash(ramp) == 2**64 - 1
        assert difference_hash(ramp[:, ::-1]) == 0

    def test_it_stays_nearly_the_same_when_scaled_dimmed_or_noisy(self):
        image = Image.fromarray(self.PICTURE)
        noisy = np.clip(self.PICTURE + RNG.normal(0, 4, self.PICTURE.shape), 0, 255).astype(np.uint8)
        assert self.distance(image.resize((120, 90))) <= 3
        assert self.distance(self.PICTURE // 2) <= 3
        assert self.distance(noisy) <= 3

    def test_another_picture_is_far(self):
        assert self.distance(self.PICTURE[:, ::-1]) > 10

    @pytest.mark.parametrize("shape", [(1, 1, 3), (8, 9, 3), (3, 200, 3), (200, 2, 3)])
    def test_any_size_has_a_hash(self, shape):
        assert 0 <= difference_hash(RNG.integers(0, 256, shape, dtype=np.uint8)) < 2**64

    def test_the_hash_of_a_known_picture_has_not_changed(self):
        """Catalogs hold hashes of earlier versions, which new pictures are compared with."""
        rows, columns = np.mgrid[:37, :53]
        picture = np.stack([rows * columns % 251, rows * 7 % 256, columns * 5 % 256], axis=2).astype(np.uint8)
        assert f"{difference_hash(picture):016x}" == "fff9e6daafaddaee"
