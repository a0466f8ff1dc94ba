"""What models were seen to fail on is drawn more often when the champion is trained again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from flows.learning.hard_examples import weigh_hard_examples
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.rollouts.slices import kept_pictures
from maskloop.records.kinds import SliceRecorded, write_record
from tests.fakes.loop_world import World

WEIGHTY = "[training.sampling]\nhard_example_weight = 3.0\n"


@pytest.fixture
def weighty(tmp_path: Path) -> World:
    """A workspace whose settings ask for hard examples."""
    made = World(tmp_path / "weighty", settings=WEIGHTY)
    made.label(range(12))
    return made


def current(world: World) -> DatasetVersion:
    version = world.data.current()
    assert version is not None
    return version


def keep_slice_of(world: World, names: list[str]) -> None:
    directory = world.workspace.slices_dir / "cycle-2"
    directory.mkdir(parents=True)
    for name in [*names, "slice.json"]:
        (directory / name).write_bytes(b"")
    record = SliceRecorded(
        slice_id="cycle-2",
        weights_digest="1" * 64,
        reference_digest="2" * 64,
        num_pictures=len(names),
        pictures_digest="3" * 64,
        failed_checks=("agreement",),
    )
    write_record(world.ledger, record)


def weights_of(world: World, version: DatasetVersion) -> dict[str, float]:
    failed_on = kept_pictures(world.workspace.slices_dir, world.state.slices)
    return weigh_hard_examples(
        version, failed_on, world.workspace.settings.training.sampling.hard_example_weight
    )


def renamed(version: DatasetVersion, name_of: dict[str, str]) -> DatasetVersion:
    def rename(picture: LabelledPicture) -> LabelledPicture:
        return replace(picture, name=name_of.get(picture.digest, picture.name))

    return replace(version, pictures=tuple(map(rename, version.pictures)))


def test_labelled_pictures_of_a_slice_weigh_more(weighty: World) -> None:
    version = current(weighty)
    train, test = version.by_split["train"], version.by_split["test"]
    keep_slice_of(weighty, [train[1].digest, test[0].digest, "f" * 64])
    assert weights_of(weighty, version) == {train[1].digest: 3.0}


def test_corrections_weigh_more_whatever_a_picture_is_called(weighty: World) -> None:
    version = current(weighty)
    train = version.by_split["train"]
    named_after_its_bytes = renamed(version, {train[1].digest: f"{train[1].digest}.png"})
    corrected = replace(
        named_after_its_bytes,
        pictures=tuple(
            replace(one, label_origin="corrected") if one.digest == train[0].digest else one
            for one in named_after_its_bytes.pictures
        ),
    )
    assert weights_of(weighty, corrected) == {train[0].digest: 3.0}


def test_a_picture_whose_location_was_taken_out_is_known_by_its_name(weighty: World) -> None:
    train = current(weighty).by_split["train"]
    version = renamed(current(weighty), {train[0].digest: f"{'a' * 64}.jpg"})
    keep_slice_of(weighty, ["a" * 64])
    assert weights_of(weighty, version) == {train[0].digest: 3.0}


def test_a_missing_slice_stops_nothing(weighty: World) -> None:
    keep_slice_of(weighty, [])
    for file in (weighty.workspace.slices_dir / "cycle-2").iterdir():
        file.unlink()
    (weighty.workspace.slices_dir / "cycle-2").rmdir()
    assert weights_of(weighty, current(weighty)) == {}


def test_without_a_weight_all_pictures_are_drawn_alike(weighty: World, tmp_path: Path) -> None:
    plain = World(tmp_path / "plain")
    keep_slice_of(plain, [current(weighty).by_split["train"][0].digest])
    assert weights_of(plain, current(weighty)) == {}


def test_a_first_training_draws_all_alike(weighty: World) -> None:
    keep_slice_of(weighty, [current(weighty).by_split["train"][0].digest])
    run_turn(weighty.app(), starts_from="first-weights")
    assert weighty.trainer.requests[-1].draw_weights == {}


def test_a_retraining_is_asked_to_draw_hard_pictures_more_often(weighty: World) -> None:
    run_turn(weighty.app(), starts_from="first-weights")
    weighty.tag_version("1", "approved")
    reconcile(weighty.app())
    hard = current(weighty).by_split["train"][0].digest
    keep_slice_of(weighty, [hard])
    weighty.label(range(12, 24))
    run_turn(weighty.app(), starts_from="champion")
    assert weighty.trainer.requests[-1].draw_weights == {hard: 3.0}
