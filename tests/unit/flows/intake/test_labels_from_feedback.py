"""What people corrected becomes labels, once, whatever happens in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from dataset.labelled_pictures import LabelledInstance
from dataset.pictures.decoding import DecodedPicture, open_picture, orient
from dataset.pictures.sandbox import SandboxedDecoder
from flows.intake.feedback import ingest_corrections
from flows.loop.cycles import record_trigger
from flows.loop.reconcile import reconcile
from maskloop.errors import UnavailableError
from maskloop.masks import decode_masks, encode_masks
from maskloop.records.kinds import VersionIngested
from maskloop.settings.workspace_settings import SamplingSettings
from monitoring.samples.corrections import Correction
from serving.sampling.sampler import Sampler
from tests.fakes.crashing import Countdown, every_crash_point
from tests.fakes.feedback import BACK, answer_was_sampled, correct, fate, give, labelled, photograph, said
from tests.fakes.loop_world import World
from tests.fakes.model_ports import SIDE_PX, draw_picture
from tests.fakes.service_world import ServiceWorld, write_picture
from tests.fakes.service_world import draw_picture as drawn_for_service

# --- what becomes of it --------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_drawn_on_the_file_fit_the_upright_picture(world: World, orientation: int) -> None:
    data = answer_was_sampled(world, orientation=orientation)
    give(world, said(instances=correct(orientation=orientation)), "rita")
    assert ingest_corrections(world.app()) == ["data-v2 holds 1 corrected picture from belt"]
    picture = labelled(world, data)
    assert set(picture.instances) == set(draw_picture(100)[1])
    assert (picture.source, picture.label_origin) == ("belt", "corrected")


def test_each_source_is_a_batch_of_its_own_and_counts_as_new_labels(world: World) -> None:
    for number, source in enumerate(("belt", "gate", "belt")):
        answer_was_sampled(world, f"r{number}", number=100 + number, source=source)
        give(world, said(f"r{number}", instances=correct(100 + number)), "rita")
    assert ingest_corrections(world.app()) == [
        "data-v2 holds 2 corrected pictures from belt",
        "data-v3 holds 1 corrected picture from gate",
    ]
    assert [record.num_new_labelled for record in world.of_kind(VersionIngested)][1:] == [2, 1]


def test_a_second_ingest_does_nothing(world: World) -> None:
    answer_was_sampled(world)
    give(world, said(instances=correct()), "rita")
    ingest_corrections(world.app())
    assert ingest_corrections(world.app()) == []
    assert world.data.versions() == ("data-v1", "data-v2")
    assert not (world.workspace.state_dir / "corrections").exists()


def test_of_two_corrections_of_one_picture_the_later_counts(world: World) -> None:
    data = answer_was_sampled(world, "r1")
    answer_was_sampled(world, "r2")
    give(world, said("r1", instances=correct()), "rita")
    give(world, said("r2", instances=correct()[:1]), "anna")
    ingest_corrections(world.app())
    assert labelled(world, data).instances == draw_picture(100)[1][:1]
    assert fate(world, "r1") == fate(world, "r2") == ("ingested", "data-v2")


def test_a_later_correction_of_an_ingested_picture_relabels_it(world: World) -> None:
    data = answer_was_sampled(world)
    give(world, said(instances=correct()[:1]), "rita")
    ingest_corrections(world.app())
    give(world, said(instances=correct()), "anna")
    ingest_corrections(world.app())
    assert set(labelled(world, data).instances) == set(draw_picture(100)[1])
    assert fate(world) == ("ingested", "data-v3")


def test_pictures_without_instances_wait_for_pictures_with_instances(world: World) -> None:
    data = answer_was_sampled(world, "r1")
    give(world, said("r1", instances=[]), "rita")
    assert ingest_corrections(world.app()) == []
    assert fate(world, "r1") == ("waiting", "")
    answer_was_sampled(world, "r2", number=101)
    give(world, said("r2", instances=correct(101)), "rita")
    assert ingest_corrections(world.app()) == ["data-v2 holds 2 corrected pictures from belt"]
    assert labelled(world, data).instances == ()


def add_directly(
    world: World, request_id: str, picture: bytes, name: str = "bolt", side: int = SIDE_PX
) -> None:
    """Put a correction in the log that `take_feedback` would not have let in, or not in that form."""
    mask = np.zeros((1, side, side), dtype=bool)
    mask[0, 2:5, 2:5] = True
    instances = ((name, encode_masks(mask)[0]),)
    world.corrections.add(
        Correction(request_id, world.clock.now(), "rita", "wrong", instances, "", "3", "belt", (side, side)),
        picture,
    )


def test_a_refused_correction_states_why_and_stops_nothing_else(world: World) -> None:
    data = answer_was_sampled(world, "good")
    give(world, said("good", instances=correct()), "rita")
    add_directly(world, "class", photograph(101), name="gear")
    add_directly(world, "size", photograph(102), side=20)
    add_directly(world, "broken", photograph(103)[:60])
    add_directly(world, "no picture", b"something else")
    done = ingest_corrections(world.app())
    assert "data-v2 holds 1 corrected picture from belt" in done
    assert len(done) == 5
    assert fate(world, "class") == ("refused", "no class of the data is called gear")
    assert fate(world, "size")[1].startswith("the file is 16 x 16 px, the annotations are for 20 x 20")
    assert fate(world, "broken")[0] == "refused"
    assert "no JPEG" in fate(world, "no picture")[1]
    assert set(labelled(world, data).instances) == set(draw_picture(100)[1])
    assert ingest_corrections(world.app()) == []


def test_a_batch_that_is_refused_as_a_whole_says_why_and_waits_until_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_was_sampled(world)
    give(world, said(instances=correct()), "rita")
    settings = world.workspace.settings_file
    before = settings.read_text()
    settings.write_text('classes = ["nut", "bolt"]\n' + before)
    monkeypatch.delitem(world.workspace.__dict__, "settings", raising=False)
    (sentence,) = ingest_corrections(world.app())
    assert "classes" in sentence
    assert fate(world)[0] == "refused"
    settings.write_text(before)
    monkeypatch.delitem(world.workspace.__dict__, "settings")
    assert ingest_corrections(world.app()) == []
    assert world.corrections.wait_again() == 1
    assert ingest_corrections(world.app()) == ["data-v2 holds 1 corrected picture from belt"]


def test_a_correction_that_arrives_during_an_ingest_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.intake import feedback
    from flows.intake.batch_intake import ingest

    data = answer_was_sampled(world)
    give(world, said(instances=correct()[:1]), "rita")

    def interrupted(*arguments: Any, **more: Any) -> Any:
        give(world, said(instances=correct()), "anna")
        return ingest(*arguments, **more)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(feedback, "ingest", interrupted)
        ingest_corrections(world.app())
    assert fate(world) == ("waiting", "")
    ingest_corrections(world.app())
    assert set(labelled(world, data).instances) == set(draw_picture(100)[1])


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_what_the_service_answered_can_be_sent_back_as_a_correction(
    world: World, tmp_path: Path, orientation: int
) -> None:
    upright = drawn_for_service()
    stored = orient(upright.transpose(2, 0, 1), BACK.get(orientation, orientation)).transpose(1, 2, 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = write_picture("PNG", np.ascontiguousarray(stored), exif=exif)
    service, app = ServiceWorld(tmp_path), world.app()
    sampler = Sampler(world.samples, SamplingSettings(), service.observer, world.clock)
    service.samples = sampler  # type: ignore[assignment]
    service._give_feedback = lambda said, by: give(world, said, by)  # type: ignore[method-assign]

    async def story(client: httpx.AsyncClient) -> Any:
        headers = {"X-Request-Id": "r1"}
        answer = (await client.post("/v1/predict?source=belt", content=data, headers=headers)).json()
        await asyncio.sleep(0)  # it is offered as a sample once the answer is out
        sampler.close()
        instances = [{"class_name": one["class_name"], "mask": one["mask"]} for one in answer["instances"]]
        correction = {"request_id": "r1", "verdict": "right", "instances": instances}
        return (await client.post("/v1/feedback", json=correction)).json()

    assert service.run(story) == {"request_id": "r1", "becomes_a_label": True}
    ingest_corrections(app)
    (instance,) = labelled(world, data).instances
    assert np.array_equal(decode_masks([instance.mask])[0], upright.max(axis=2) > 128)


def test_the_reconcile_ingests_once_a_retrainings_worth_waits(world: World) -> None:
    reconcile(world.app())
    for number in range(3):  # settings ask for three
        assert reconcile(world.app()).done == ()
        answer_was_sampled(world, f"r{number}", number=100 + number)
        give(world, said(f"r{number}", instances=correct(100 + number)), "rita")
    assert reconcile(world.app()).done == ("data-v2 holds 3 corrected pictures from belt",)
    assert reconcile(world.app()).done == ()


def test_an_unreachable_remote_delays_no_reconcile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        answer_was_sampled(world, f"r{number}", number=100 + number)
        give(world, said(f"r{number}", instances=correct(100 + number)), "rita")
    record_trigger(world.app().journal, "schedule:1", "schedule", "a test", starts_from="champion")

    def away(*_arguments: Any) -> Any:
        raise UnavailableError("the remote does not answer")

    with monkeypatch.context() as outage:
        outage.setattr(world.data, "commit", away)
        assert "a cycle was opened: a test" in reconcile(world.app()).done
    assert world.corrections.num_waiting() == 3
    assert "data-v2 holds 3 corrected pictures from belt" in reconcile(world.app()).done


def test_old_feedback_is_forgotten(world: World) -> None:
    answer_was_sampled(world)
    give(world, said(instances=correct()), "rita")
    world.clock.advance(days=91)
    assert ingest_corrections(world.app()) == []
    assert world.corrections.newest(1) == ()


class DecoderHere(SandboxedDecoder):
    """Decodes in this process: starting a child at every crash point would take minutes."""

    def open(self, data: bytes, *, apply_orientation: bool = True) -> DecodedPicture:
        return open_picture(data, max_mpx=1.0, apply_orientation=apply_orientation)


def test_a_process_that_dies_anywhere_ends_with_the_same_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds: list[World] = []
    monkeypatch.setattr("dataset.ingestion.ingest.SandboxedDecoder", DecoderHere)

    def new_world() -> World:
        world = World(tmp_path / f"workspace-{len(worlds)}")
        worlds.append(world)
        world.label(range(6))
        for number, source in enumerate(("belt", "gate")):
            answer_was_sampled(world, f"r{number}", number=100 + number, source=source)
            give(world, said(f"r{number}", instances=correct(100 + number)), "rita")
        add_directly(world, "class", photograph(102), name="gear")
        return world

    def outcome(world: World) -> Any:
        version = world.data.current()
        assert version is not None
        pictures: list[tuple[str, str, tuple[LabelledInstance, ...]]]
        pictures = [(one.digest, one.source, one.instances) for one in version.pictures]
        ingested = [(record.tag, record.num_new_labelled) for record in world.of_kind(VersionIngested)]
        return pictures, ingested, [fate(world, name) for name in ("r0", "r1", "class")]

    undisturbed = new_world()
    ingest_corrections(undisturbed.app())
    expected, num_points = outcome(undisturbed), 0
    for number, moment in every_crash_point(lambda countdown: _ingest(new_world(), countdown)):
        ingest_corrections(worlds[-1].app())
        assert outcome(worlds[-1]) == expected, f"killed {moment} call {number}"
        assert ingest_corrections(worlds[-1].app()) == []
        num_points += 1
    assert num_points > 10


def _ingest(world: World, countdown: Countdown) -> None:
    ingest_corrections(world.app(countdown=countdown))
