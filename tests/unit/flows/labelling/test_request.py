"""Kept production pictures are chosen to be labelled, and the request is recorded once."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.ingestion.plan import IngestOptions
from dataset.pictures.decoding import encode_png
from flows.answering.batch_prediction import predict
from flows.drift.monitor import monitor
from flows.intake.batch_intake import ingest
from flows.labelling.request import BY_HAND, request_labels
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from maskloop.digest import digest_bytes
from maskloop.errors import DataError, NotFoundError, RefusedError
from maskloop.masks import decode_masks
from maskloop.records.kinds import LabelsRequested
from monitoring.selection.reasons import AT_RANDOM
from tests.fakes.feedback import photograph
from tests.fakes.loop_world import World
from tests.fakes.model_ports import draw_picture

SETTINGS = """
[monitoring]
window_samples = 40
min_window_samples = 30
estimate_pictures = 0

[labelling]
num_pictures = 10
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A workspace whose first model serves."""
    made = World(tmp_path / "workspace", settings=SETTINGS)
    made.label(range(180))
    run_turn(made.app(), starts_from="first-weights")
    made.tag_version("1", "approved")
    reconcile(made.app())
    return made


def answer(world: World, numbers: Iterable[int], *, brighter: int = 0) -> dict[str, bytes]:
    """Let production pictures be answered; returns their bytes by digest."""
    folder = world.workspace.root / f"incoming-{brighter}-{min(numbers)}"
    folder.mkdir()
    for number in numbers:
        pixels = draw_picture(number)[0].astype(int)
        noise = np.random.default_rng(number).integers(0, 1 + brighter, pixels.shape)
        data = encode_png(np.clip(pixels + brighter + noise, 0, 255).astype(np.uint8))
        (folder / f"{number}.png").write_bytes(data)
    predict(world.app(), [folder])
    files = [file.read_bytes() for file in folder.iterdir()]
    return {digest_bytes(data): data for data in files}


def digests(record: LabelsRequested) -> set[str]:
    return {one.picture_digest for one in record.chosen}


def test_a_request_has_its_random_share_and_a_reason_for_each_picture(world: World) -> None:
    kept = answer(world, range(1000, 1040))
    requested = request_labels(world.app())
    assert world.of_kind(LabelsRequested) == [requested.record]
    assert requested.is_new
    assert requested.record.cause == BY_HAND
    assert digests(requested.record) <= kept.keys()
    assert len(digests(requested.record)) == 10
    assert [one.is_random for one in requested.record.chosen] == [True] * 2 + [False] * 8
    assert {one.reason for one in requested.record.chosen if one.is_random} == {AT_RANDOM}
    assert all(one.reason and one.parts for one in requested.record.chosen)


def test_the_same_request_is_recorded_once(world: World) -> None:
    answer(world, range(1000, 1040))
    first, again = request_labels(world.app()), request_labels(world.app())
    assert first.record == again.record
    assert not again.is_new
    assert world.of_kind(LabelsRequested) == [first.record]


def test_a_labelled_picture_is_not_chosen(world: World) -> None:
    labelled = answer(world, range(1000, 1030))
    world.label(range(1000, 1030))
    fresh = answer(world, range(1030, 1034))
    requested = request_labels(world.app())
    assert digests(requested.record) == fresh.keys()
    assert not digests(requested.record) & labelled.keys()


def test_more_pictures_are_others_than_those_of_open_requests(world: World) -> None:
    answer(world, range(1000, 1040))
    first = request_labels(world.app())
    second = request_labels(world.app(), more=True)
    assert second.is_new
    assert len(digests(second.record)) == 10
    assert not digests(first.record) & digests(second.record)


def test_new_pictures_are_a_reason_for_a_new_request(world: World) -> None:
    answer(world, range(1000, 1012))
    first = request_labels(world.app())
    answer(world, range(1012, 1024))
    second = request_labels(world.app())
    assert second.is_new
    assert not digests(first.record) & digests(second.record)


def test_an_alarm_brings_the_pictures_that_carry_it(world: World) -> None:
    usual = answer(world, range(1000, 1040))
    monitor(world.app())
    bright = answer(world, range(2000, 2040), brighter=60)
    assert monitor(world.app()).judged is not None
    requested = request_labels(world.app())
    best = [one for one in requested.record.chosen if not one.is_random]
    assert {one.picture_digest for one in best} <= bright.keys()
    assert not {one.picture_digest for one in best} & usual.keys()
    assert requested.record.cause.startswith("drift: ")
    assert all("brighter" in one.reason and "than any of the" in one.reason for one in best)
    assert all(one.parts["drift"] > 0.95 for one in best)


def test_what_carries_an_alarm_comes_first_and_a_larger_request_is_filled_up_by_the_usual_rule(
    world: World,
) -> None:
    answer(world, range(1000, 1040))
    monitor(world.app())
    answer(world, range(2000, 2040), brighter=60)
    judged = monitor(world.app()).judged
    assert judged is not None
    page = world.workspace.root / judged.report
    carriers = json.loads(page.with_name("carriers.json").read_text())["samples"]
    percent_of = {one["sample_id"]: one["percent"] for one in carriers}
    chosen = request_labels(world.app(), num=70).record.chosen
    at_random = {one.sample_id for one in chosen if one.is_random}
    best = [one.sample_id for one in chosen if not one.is_random]
    num_first = len(percent_of.keys() - at_random)
    assert 0 < num_first < len(best)
    assert set(best[:num_first]) == percent_of.keys() - at_random
    for one in chosen:
        if not one.is_random and one.sample_id in percent_of:
            assert one.reason.startswith(f"it carries {percent_of[one.sample_id]:.1f} % of the alarm; ")
        else:
            assert "of the alarm" not in one.reason


def test_without_an_alarm_no_picture_carries_one(world: World) -> None:
    answer(world, range(1000, 1040))
    monitor(world.app())
    chosen = request_labels(world.app()).record.chosen
    assert not [one for one in chosen if "of the alarm" in one.reason]


def test_of_pictures_that_look_alike_one_is_chosen(world: World) -> None:
    answer(world, range(1000, 1003))
    answer(world, range(1000, 1003), brighter=2)  # other bytes, the same look
    assert len(request_labels(world.app()).record.chosen) == 3


def test_a_picture_that_is_not_kept_any_more_is_passed_over(world: World) -> None:
    answer(world, range(1000, 1012))
    samples = world.samples.newest(20)
    gone = samples[3].picture_file
    assert gone
    del world.samples._pictures[gone]
    requested = request_labels(world.app(), num=12)
    assert len(requested.record.chosen) == 11
    assert samples[3].sample_id not in {one.sample_id for one in requested.record.chosen}


def test_a_trigger_has_one_request_whatever_comes_in_meanwhile(world: World) -> None:
    answer(world, range(1000, 1020))
    first = request_labels(world.app(), trigger_key="drift:1", cycle_id="c1")
    answer(world, range(1020, 1040))
    again = request_labels(world.app(), trigger_key="drift:1", cycle_id="c1")
    assert again.record == first.record
    assert first.record.trigger_key == "drift:1"
    assert world.state.label_requests[first.record.request_id].cycle_id == "c1"


def test_fast_asks_the_champion_about_the_chosen_pictures_alone(world: World) -> None:
    answer(world, range(1000, 1040))
    passes: list[int] = []
    world.predictors.before = lambda: passes.append(1)
    request_labels(world.app(), fast=True)
    assert len(passes) == 10
    passes.clear()
    request_labels(world.app())
    assert len(passes) == 28 + 10  # views of the 30 that are left without the 2 at random, then the chosen


def test_the_pictures_come_back_as_labels_through_ingest(world: World, tmp_path: Path) -> None:
    folder = world.workspace.root / "turned"
    folder.mkdir()
    for number, orientation in ((3000, 1), (3001, 6), (3002, 3)):
        (folder / f"{number}.png").write_bytes(photograph(number, orientation))
    predict(world.app(), [folder])
    requested = request_labels(world.app(), out_dir=tmp_path / "out")
    assert requested.labels is not None
    result = ingest(
        world.app(), requested.labels, None, options=IngestOptions("belt", label_origin="model-reviewed")
    )
    assert (result.num_added, result.num_quarantined) == (3, 0)
    version = world.data.current()
    assert version is not None
    added = [one for one in version.pictures if one.label_origin == "model-reviewed"]
    assert {one.name for one in added} == {f"{digest}.png" for digest in digests(requested.record)}
    for picture in added:
        pixels = np.asarray(Image.open(io.BytesIO(version.path(picture).read_bytes())))
        assert pixels.shape[:2] == (16, 16)
        for instance in picture.instances:
            (mask,) = decode_masks([instance.mask])
            upright = np.argwhere(mask)
            assert upright[:, 0].min() == 3  # bolt and nut begin in the fourth row
            assert mask.sum() == 5 * 9  # the fake champion covers nine of ten rows


def test_labels_that_a_person_corrected_are_not_overwritten(world: World, tmp_path: Path) -> None:
    answer(world, range(1000, 1020))
    labels = request_labels(world.app(), out_dir=tmp_path / "out").labels
    assert labels is not None
    assert request_labels(world.app(), out_dir=tmp_path / "out").labels == labels
    content = json.loads(labels.read_text())
    del content["annotations"][0]
    labels.write_text(json.dumps(content))
    with pytest.raises(RefusedError, match="corrected"):
        request_labels(world.app(), out_dir=tmp_path / "out")
    assert json.loads(labels.read_text()) == content


def test_the_page_shows_each_picture_with_its_reason(world: World) -> None:
    answer(world, range(1000, 1020))
    requested = request_labels(world.app())
    page = requested.page.read_text()
    assert page.count('<div class="picture') == 10 + 1  # and the grid around them
    assert page.count(AT_RANDOM) == 2
    assert requested.record.request_id in page


def test_without_a_champion_there_is_no_request(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        request_labels(World(tmp_path).app())


def test_without_kept_pictures_the_error_says_what_keeps_them(world: World) -> None:
    with pytest.raises(DataError, match="no kept production picture is left") as error:
        request_labels(world.app())
    assert "monitoring.keep_pictures" in str(error.value)
    answer(world, range(1000, 1005))
    request_labels(world.app())
    with pytest.raises(DataError, match="5 are asked for already"):
        request_labels(world.app(), more=True)
    assert len(world.of_kind(LabelsRequested)) == 1
