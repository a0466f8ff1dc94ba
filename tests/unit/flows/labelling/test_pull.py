"""What people finished becomes labels of the data, once; what cannot be taken is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset.labelling.port import DrawnInstance
from dataset.origin import annotator_key
from flows.labelling.overview import describe_requests
from flows.labelling.pull import pull_labels
from flows.labelling.push import push_labels
from flows.loop.cycles import record_trigger
from flows.loop.reconcile import reconcile
from maskloop.errors import UnavailableError
from maskloop.masks import decode_masks, encode_masks
from maskloop.records.kinds import LabelsPulled
from tests.fakes.crashing import every_crash_point
from tests.fakes.labelling_benches import brushed
from tests.fakes.labelling_world import LabellingWorld, pull, pushed, shrunk, stretched, truth
from tests.fakes.loop_stories import first_champion
from tests.fakes.model_ports import draw_picture

ALL = "[labelling]\nmax_accepted_percent = 100.0\n"
AGREE = '[labelling]\ntwo_annotators = "agree-or-skip"\nmin_agreement = 0.75\n'


def with_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str) -> LabellingWorld:
    return LabellingWorld.made(tmp_path / "other", monkeypatch, settings=settings)


def test_finished_pictures_are_labelled_data_with_their_source_and_the_rest_waits(
    labelling: LabellingWorld,
) -> None:
    request = pushed(labelling, 100, 101, source="camera-2")
    assert pull_labels(labelling.world.app()) == []
    labelling.label(100)
    record = pull(labelling)
    assert (record.request_id, record.tool, record.data_tag) == (request, "label-studio", "data-v2")
    assert (record.num_new, record.num_unchanged, record.num_left_out) == (1, 0, 0)
    (picture,) = record.pictures
    assert (picture.annotator, picture.task) == (annotator_key("a@example.org"), labelling.task(100).task_id)
    assert picture.at.startswith("2026-03-02T09:00:")
    stored = labelling.labels_of(100)
    assert (set(stored.instances), stored.source) == (set(draw_picture(100)[1]), "camera-2")
    assert not labelling.is_labelled(101)
    (waiting,) = labelling.world.state.open_requests
    assert waiting.num_awaited == 1


def test_no_record_holds_a_mail_address(labelling: LabellingWorld) -> None:
    pushed(labelling, 100)
    labelling.label(100)
    labelling.label(100, by=2)
    pull(labelling)
    written = [str(entry) for entry in labelling.world.ledger.entries()]
    assert any("mail-" in entry for entry in written)
    assert not any("@" in entry for entry in written)


def test_pulling_again_changes_nothing(labelling: LabellingWorld) -> None:
    pushed(labelling, 100)
    labelling.label(100)
    pull(labelling)
    assert pull_labels(labelling.world.app()) == []
    assert labelling.world.data.versions() == ("data-v1", "data-v2")
    assert labelling.world.state.open_requests == ()


def test_a_label_that_is_changed_in_the_tool_is_a_relabelling(labelling: LabellingWorld) -> None:
    pushed(labelling, 100)
    labelling.label(100)
    pull(labelling)
    (number,) = labelling.server.annotations
    results = [brushed(1, truth(100)[0])]
    labelling.bench.api.ask("PATCH", f"/api/annotations/{number}/", json={"result": results})
    record = pull(labelling)
    assert (record.num_new, record.num_relabelled, record.num_unchanged) == (0, 1, 0)
    assert labelling.labels_of(100).instances == draw_picture(100)[1][:1]
    assert labelling.world.state.open_requests == ()


def test_a_photograph_that_exif_turns_comes_back_upright(labelling: LabellingWorld) -> None:
    labelling.ask(100, orientation=6)
    push_labels(labelling.world.app())
    labelling.label(100)
    pull(labelling)
    assert set(labelling.labels_of(100).instances) == set(draw_picture(100)[1])


def test_of_two_annotators_the_newest_counts_and_their_agreement_is_told(labelling: LabellingWorld) -> None:
    pushed(labelling, 100)
    labelling.label(100, shrunk(truth(100), 5))
    labelling.label(100, by=2)
    record = pull(labelling)
    assert record.pictures[0].annotator == annotator_key("b@example.org")
    assert record.pictures[0].agreement == pytest.approx(0.5)
    assert record.reasons == ("1 picture labelled by several people: mask IoU bolt 0.50, nut 0.50",)
    assert set(labelling.labels_of(100).instances) == set(draw_picture(100)[1])


def test_annotators_who_disagree_leave_a_picture_out_until_one_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelling = with_settings(tmp_path, monkeypatch, AGREE)
    pushed(labelling, 100, 101)
    for number, rows in ((100, 5), (101, 1)):
        labelling.label(number, shrunk(truth(number), rows))
        labelling.label(number, by=2)
    record, task_id = pull(labelling), labelling.task(100).task_id
    assert (record.num_new, record.num_left_out) == (1, 1)
    why = f"1 picture left out: annotators disagree about bolt: IoU 0.50, below 0.75 (task {task_id})"
    assert why in record.reasons
    assert why in describe_requests(labelling.world.app()).remarks[0]
    assert labelling.is_labelled(101)
    first = min(labelling.server.annotations)
    labelling.bench.api.ask("PATCH", f"/api/annotations/{first}/", json={"ground_truth": True})
    assert pull(labelling).num_new == 1
    rows = decode_masks([one.mask for one in labelling.labels_of(100).instances]).any(axis=2).sum(axis=1)
    assert rows.tolist() == [5, 5]


def test_predictions_accepted_unchanged_are_marked_and_their_share_is_capped(
    labelling: LabellingWorld,
) -> None:
    first_champion(labelling.world)
    pushed(labelling, 100, 101, 102, 103)
    for number in (101, 102, 103):
        labelling.accept(number)
    labelling.label(100)
    record = pull(labelling)
    assert (record.num_new, record.num_left_out) == (2, 2)
    tasks = ", ".join(labelling.task(number).task_id for number in (102, 103))
    (told,) = record.reasons
    assert told == (
        "2 pictures left out: accepted as the model drew them, beyond 50 % (labelling.max_accepted_percent) "
        f"(tasks {tasks})"
    )
    assert labelling.labels_of(100).label_origin == "corrected"
    assert labelling.labels_of(101).label_origin == "model-reviewed"
    assert [labelling.is_labelled(number) for number in (102, 103)] == [False, False]


def test_with_a_share_of_100_percent_every_accepted_prediction_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelling = with_settings(tmp_path, monkeypatch, ALL)
    first_champion(labelling.world)
    pushed(labelling, 100, 101)
    labelling.accept(100)
    labelling.accept(101)
    assert pull(labelling).num_new == 2
    assert labelling.labels_of(101).label_origin == "model-reviewed"


def test_what_cannot_be_a_label_costs_only_its_picture(labelling: LabellingWorld) -> None:
    pushed(labelling, 100, 101, 102, 103)
    labelling.label(100)
    labelling.label(101, stretched(101))
    labelling.label(102, [replace(truth(102)[0], class_name="gear")])
    broken = brushed(1, truth(103)[0])
    broken["value"]["rle"] = broken["value"]["rle"][:9]
    labelling.bench._annotate(labelling.task(103), result=[broken])
    record = pull(labelling)
    assert (record.num_new, record.num_left_out) == (1, 3)
    told = " ".join(record.reasons)
    assert "drawn on a picture of 32 x 32 px, but it has 16 x 16 px" in told
    assert "the data have no class gear" in told
    assert "the brush mask is cut off" in told
    assert labelling.is_labelled(100)


def test_a_picture_without_objects_waits_for_one_with_objects(labelling: LabellingWorld) -> None:
    pushed(labelling, 100, 101)
    labelling.label(100, ())
    assert pull(labelling).num_left_out == 1
    labelling.label(101)
    assert pull(labelling).num_new == 2
    assert labelling.labels_of(100).instances == ()


def test_a_picture_that_the_sample_log_lost_is_taken_from_the_tool(labelling: LabellingWorld) -> None:
    pushed(labelling, 100, 101)
    labelling.label(100)
    labelling.label(101)
    labelling.world.samples._pictures.clear()
    (upload,) = [one for one in labelling.server.uploads.values() if labelling.pictures[101] == one["data"]]
    upload["data"] = b"something else"
    record = pull(labelling)
    assert (record.num_new, record.num_left_out) == (1, 1)
    why = f"its picture is not kept any more (task {labelling.task(101).task_id})"
    assert record.reasons == (f"1 picture left out: {why}",)
    assert labelling.labels_of(100).instances


@pytest.mark.slow
def test_a_pull_killed_anywhere_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds = iter(range(1000))

    def make() -> LabellingWorld:
        made = LabellingWorld.made(tmp_path / str(next(worlds)), monkeypatch)
        pushed(made, 100, 101)
        made.label(100)
        made.label(101)
        return made

    made, num_points = [make()], 0
    for _ in every_crash_point(lambda countdown: pull_labels(made[-1].world.app(countdown=countdown))):
        num_points += 1
        labelling = made[-1]
        labelling.world.clock.advance(minutes=3)  # the lease of the dead process ends
        pull_labels(labelling.world.app())
        (record,) = labelling.world.of_kind(LabelsPulled)
        assert (record.num_new, record.data_tag) == (2, "data-v2")
        assert labelling.world.data.versions() == ("data-v1", "data-v2")
        assert labelling.world.state.count_new_labels("data-v1") == 2
        made.append(make())
    assert num_points > 6


def test_a_server_that_is_away_stops_a_pull_and_reconcile_tries_again(labelling: LabellingWorld) -> None:
    pushed(labelling, 100)
    reconcile(labelling.world.app())
    labelling.label(100)
    labelling.server.is_away = True
    with pytest.raises(UnavailableError, match="Label Studio does not answer"):
        pull_labels(labelling.world.app())
    assert "does not answer" in describe_requests(labelling.world.app()).remarks[0]
    assert reconcile(labelling.world.app()).done == ()
    labelling.server.is_away = False
    (done,) = reconcile(labelling.world.app()).done
    assert "labels of 1 new picture came from label-studio" in done
    assert reconcile(labelling.world.app()).done == ()


def test_without_an_open_request_reconcile_asks_the_server_nothing(labelling: LabellingWorld) -> None:
    pushed(labelling, 100)
    labelling.label(100)
    reconcile(labelling.world.app())
    labelling.server.requests.clear()
    reconcile(labelling.world.app())
    assert labelling.server.requests == []


def test_a_cycle_that_waits_for_labels_goes_on_once_enough_came_back(labelling: LabellingWorld) -> None:
    """Alarm, push, pull, training and verdict, with people in the labelling tool alone."""
    first_champion(labelling.world)
    record_trigger(labelling.world.app().journal, "drift:1", "drift", "production drifted")
    reconcile(labelling.world.app())
    cycle = labelling.world.last_cycle
    assert cycle.waiting is not None
    assert cycle.waiting.waiting_for == "labels"
    labelling.ask(100, 101, 102, cycle=cycle.id)
    reconcile(labelling.world.app())
    labelling.label(100)
    labelling.label(101)
    reconcile(labelling.world.app())
    assert labelling.world.last_cycle.phase == "opened"
    labelling.label(102)
    reconcile(labelling.world.app())
    assert labelling.world.last_cycle.phase == "judged"


def test_the_labels_of_single_pixels_and_edges_are_taken_as_they_were_drawn(
    labelling: LabellingWorld,
) -> None:
    masks = np.zeros((4, 16, 16), dtype=bool)
    masks[0, 7, 7] = True
    masks[1, 8:, 8:] = True
    masks[2, 0:2, 0:2] = masks[2, 4:6, 0:2] = True
    masks[3, 9:15, 1:7] = True
    masks[3, 11:13, 3:5] = False
    drawn = [DrawnInstance("bolt", mask) for mask in encode_masks(masks)]
    pushed(labelling, 100)
    labelling.label(100, drawn)
    pull(labelling)
    assert {one.mask for one in labelling.labels_of(100).instances} == {one.mask for one in drawn}
