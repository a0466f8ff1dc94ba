"""What a person does to the data leaves an entry in the ledger, once, and nothing is lost unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset.ingestion.class_changes import ClassChange
from dataset.labelled_pictures import DatasetVersion
from flows.evidence.evaluate import evaluate_model
from flows.intake.batch_intake import record_missing_versions
from flows.intake.data_changes import change_classes, count_classes, find_damage, restore_version
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.pages.loop_report import write_report
from flows.pages.status import describe_status, tell_history
from maskloop.errors import NotFoundError, RefusedError
from maskloop.records.kinds import ClassesChanging, VersionIngested, VersionRestored
from tests.fakes.crashing import Countdown, every_crash_point
from tests.fakes.loop_world import World


def current(world: World) -> DatasetVersion:
    version = world.data.current()
    assert version is not None
    return version


def test_restoring_a_version_is_recorded_with_who_and_why(world: World) -> None:
    world.label(range(12, 18))
    restore_version(world.app(), "data-v1", by="anna", why="the second batch was labelled wrongly")
    (record,) = world.of_kind(VersionRestored)
    assert (record.tag, record.previous_tag, record.num_pictures) == ("data-v1", "data-v2", 12)
    line = tell_history(world.ledger)[-1]
    assert line["actor"] == "anna"
    assert line["sentence"] == (
        "anna brought back data-v1 in place of data-v2 (12 pictures): the second batch was labelled wrongly"
    )


def test_status_and_the_page_of_the_loop_show_the_version_that_was_brought_back(world: World) -> None:
    world.label(range(12, 24))
    record_missing_versions(world.ledger, world.state, world.data)
    assert "data-v2" in describe_status(world.app()).to_text()
    restore_version(world.app(), "data-v1", by="anna")
    status = describe_status(world.app())
    assert status.to_json()["data"] == "data-v1"
    (line,) = [line for line in status.to_text().split("\n") if line.startswith("data:")]
    assert line.startswith("data:     data-v1: ")
    assert line.endswith(" (brought back; newest: data-v2)")
    assert "The data: data-v1" in write_report(world.app(), None).read_text()


def test_restoring_the_current_version_is_no_decision(world: World) -> None:
    restore_version(world.app(), "data-v1", by="anna")
    assert world.of_kind(VersionRestored) == []
    world.label(range(12, 18))
    for tag in ("data-v1", "data-v1", "data-v2", "data-v1"):
        restore_version(world.app(), tag, by="anna")
    assert [record.tag for record in world.of_kind(VersionRestored)] == ["data-v1", "data-v2", "data-v1"]


def test_a_version_that_cannot_be_restored_is_not_reported_as_restored(world: World) -> None:
    world.label(range(12, 18))
    world.data.kept_by_user = ("notes.txt",)
    with pytest.raises(RefusedError):
        restore_version(world.app(), "data-v1", by="anna")
    with pytest.raises(NotFoundError):
        restore_version(world.app(), "data-v9", by="anna")
    assert world.of_kind(VersionRestored) == []


def test_killed_anywhere_the_next_restore_ends_with_one_entry(tmp_path: Path) -> None:
    worlds: list[World] = []

    def run(countdown: Countdown) -> None:
        worlds.append(World(tmp_path / f"w{len(worlds)}"))
        worlds[-1].label(range(4))
        worlds[-1].label(range(4, 8))
        restore_version(worlds[-1].app(countdown=countdown), "data-v1", by="anna")

    for _ in every_crash_point(run):
        restore_version(worlds[-1].app(), "data-v1", by="anna")
        assert [record.tag for record in worlds[-1].of_kind(VersionRestored)] == ["data-v1"]
        assert current(worlds[-1]).tag == "data-v1"
    assert len(worlds) > 5


def test_what_the_remote_has_lost_is_named_with_its_picture(world: World) -> None:
    version = current(world)
    assert find_damage(world.app().data, "data-v1") == []
    lost = version.pictures[0]
    version.path(lost).unlink()
    assert find_damage(world.app().data, "data-v1") == [
        {"object": lost.file, "file": lost.file, "picture": lost.name}
    ]


def test_a_class_with_instances_is_dropped_only_by_agreement(world: World) -> None:
    num_nuts = next(int(row["train"]) for row in count_classes(world.app().data) if row["class"] == "nut")
    assert num_nuts > 0
    with pytest.raises(RefusedError, match=r"\d+ instances of 'nut' would leave \d+ pictures") as caught:
        change_classes(world.app(), ClassChange(drops=("nut",)), by="bob")
    assert "--drop-instances" in caught.value.hint
    assert world.data.versions() == ("data-v1",)
    assert world.of_kind(ClassesChanging) == []
    change_classes(
        world.app(), ClassChange(drops=("nut",)), by="bob", why="not made here", drop_instances=True
    )
    assert current(world).class_names == ("bolt",)
    assert current(world).tag == "data-v2"


def test_a_change_of_classes_is_a_version_and_two_entries_and_asks_for_no_retraining(world: World) -> None:
    before = {picture.digest: picture.instances for picture in current(world).pictures}
    change = ClassChange(renames=(("nut", "hex nut"),))
    for _ in range(2):
        change_classes(world.app(), change, by="bob", why="the customer's name")
    version = current(world)
    assert (version.tag, version.class_names) == ("data-v2", ("bolt", "hex nut"))
    assert {picture.digest: picture.instances for picture in version.pictures} == before
    assert all(version.path(picture).is_file() for picture in version.pictures)
    assert [record.sentence() for record in world.of_kind(ClassesChanging)] == [
        "bob renames 'nut' to 'hex nut' in data-v1: the customer's name"
    ]
    assert [record.num_new_labelled for record in world.of_kind(VersionIngested)][1:] == [0]


def test_killed_anywhere_the_same_change_completes_with_one_decision(tmp_path: Path) -> None:
    worlds: list[World] = []
    change = ClassChange(merges=(("nut", "bolt"),))

    def run(countdown: Countdown) -> None:
        worlds.append(World(tmp_path / f"w{len(worlds)}"))
        worlds[-1].label(range(4))
        change_classes(worlds[-1].app(countdown=countdown), change, by="bob")

    for _ in every_crash_point(run):
        world = worlds[-1]
        change_classes(world.app(), change, by="bob")
        assert current(world).class_names == ("bolt",)
        assert world.data.versions() == ("data-v1", "data-v2")
        assert len(world.of_kind(ClassesChanging)) == 1
        assert [record.tag for record in world.of_kind(VersionIngested)] == ["data-v1", "data-v2"]
    assert len(worlds) > 5


def test_there_is_nothing_to_change_before_the_first_data(tmp_path: Path) -> None:
    empty = World(tmp_path / "empty")
    with pytest.raises(NotFoundError, match="no data yet"):
        change_classes(empty.app(), ClassChange(drops=("nut",)), by="bob")
    assert count_classes(empty.app().data) == []


def test_a_champion_is_judged_by_what_its_classes_are_called_now(world: World) -> None:
    """Else it would seem to find nothing, or the wrong things, and any candidate would beat it."""
    run_turn(world.app(), starts_from="first-weights")
    world.tag_version("1", "approved")
    reconcile(world.app())
    change_classes(
        world.app(),
        ClassChange(drops=("bolt",), renames=(("nut", "hex nut"),)),
        by="bob",
        drop_instances=True,
    )
    state, version = world.app().state(), current(world)
    champion = state.champion
    assert champion is not None
    assert state.data_of(champion.weights_digest) == "data-v1"
    directory = next(world.workspace.models_dir.glob(f"{champion.weights_digest}*"))
    measured = evaluate_model(
        world.predictors.load(directory, expected_digest=champion.weights_digest),
        version,
        version.by_split["test"],
        score_threshold=0.5,
        max_detections=10,
        max_mpx=1.0,
        progress=lambda *_: None,
        called_now=lambda name: state.class_between(name, "data-v1", version.tag),
    )
    assert measured.evaluation.iou.class_names == ("hex nut",)
    assert measured.evaluation.iou.class_iou().tolist() == [pytest.approx(0.9)]  # as before


def test_a_class_is_called_as_the_changes_between_two_versions_say(world: World) -> None:
    record_missing_versions(world.ledger, world.state, world.data)
    change_classes(world.app(), ClassChange(renames=(("nut", "a"),)), by="bob")
    change_classes(world.app(), ClassChange(renames=(("a", "b"),)), by="bob")
    change_classes(world.app(), ClassChange(drops=("b",)), by="bob", drop_instances=True)
    called = world.app().state().class_between
    assert [called("nut", "data-v1", f"data-v{n}") for n in (1, 2, 3, 4)] == ["nut", "a", "b", ""]
    assert called("nut", "data-v2", "data-v3") == "nut"
    assert called("bolt", "data-v1", "data-v4") == "bolt"
    assert called("nut", "", "data-v4") == "nut"
