"""`maskloop video` from its request to its report: tracks, smoothing, samples, resumption, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.pictures.sandbox import DecodingLimits
from dataset.videos.frames import Frame
from dataset.videos.reading import SandboxedVideo
from flows.answering.batch_prediction import predict
from flows.video.answering import answer_video
from flows.video.report import VideoReport
from flows.video.story import VideoRequest, video
from maskloop.errors import (
    ConfigurationError,
    DataError,
    NotFoundError,
    PictureError,
    RefusedError,
    StoppedError,
)
from tests.fakes.batch_world import NumberPredictor, make_batch_world, write_numbers
from tests.fakes.crashing import Killed
from tests.fakes.loop_world import World, leave_alone
from tests.fakes.videos import write_video

NUM_FRAMES = 30


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_alone(monkeypatch)


def draw(number: int) -> np.ndarray:
    """A nut at rest, with a row more in every fifth frame, and a bolt that moves by 2 px a frame."""
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[4 : 16 + (number % 5 == 3), 4:16] = 1
    pixels[24:36, 10 + 2 * number : 22 + 2 * number] = 2
    return pixels


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("clip") / "clip.mkv"
    return write_video(file, [draw(number) for number in range(NUM_FRAMES)])


@dataclass
class Run:
    """The command, given again and again."""

    world: World
    clip: Path
    output: Path
    asked: list[int] = field(default_factory=list)

    def __call__(self, **stated: Any) -> VideoReport:
        asked: dict[str, Any] = {"video": str(self.clip), "output": self.output, "wanted": "jsonl"} | stated
        return video(self.world.app(), VideoRequest(**asked))

    def lines(self) -> list[dict[str, Any]]:
        text = (self.output / "predictions.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def files(self) -> dict[str, bytes]:
        return {
            file.relative_to(self.output).as_posix(): file.read_bytes()
            for file in sorted(self.output.rglob("*"))
            if file.is_file()
        }


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_batch_world(
        tmp_path / "workspace",
        "[batch]\nshard_pictures = 7\nprice_per_hour = 3.6\n[video]\nsample_gap_s = 0.5\n",
    )


@pytest.fixture
def run(world: World, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    run = Run(world, clip, tmp_path / "out")
    ask = NumberPredictor.predict

    def note(model: NumberPredictor, pictures: Sequence[np.ndarray], **how: Any) -> Any:
        run.asked += [
            int(np.flatnonzero((picture == 2).any(axis=(0, 2)))[0] - 10) // 2 for picture in pictures
        ]
        return ask(model, pictures, **how)

    monkeypatch.setattr(NumberPredictor, "predict", note)
    return run


def test_every_frame_is_answered_once_and_each_object_keeps_its_number(run: Run) -> None:
    report = run()
    assert run.asked == [*range(NUM_FRAMES)]
    assert [line["frame"] for line in run.lines()] == [*range(NUM_FRAMES)]
    assert [line["time_s"] for line in run.lines()] == pytest.approx([n / 25 for n in range(NUM_FRAMES)])
    told = [{one["class_name"]: one["track_id"] for one in line["instances"]} for line in run.lines()]
    assert told == [{"nut": 2, "bolt": 1}] * NUM_FRAMES
    assert (report.num_frames, report.num_answered, report.num_set_aside) == (NUM_FRAMES, NUM_FRAMES, 0)
    assert (report.num_tracks, report.num_missed, report.num_instances) == (2, 0, 2 * NUM_FRAMES)
    assert report.cost == pytest.approx(report.compute_hours * 3.6)


def test_what_was_smoothed_is_told_beside_what_was_measured(run: Run) -> None:
    """The nut has 12 rows, and 13 in six frames: jitter before is that of 12 of 27 pairs, 1 - 12/13."""
    report = run()
    changed = [
        (line["frame"], one["class_name"])
        for line in run.lines()
        for one in line["instances"]
        if "measured_segmentation" in one
    ]
    assert changed == [(number, "nut") for number in range(NUM_FRAMES) if number % 5 == 3]
    assert report.num_smoothed == 6
    assert report.smoothed_iou == pytest.approx(12 / 13)
    assert report.num_rest_pairs == 27
    assert report.jitter_before == pytest.approx(11 / 27 * (1 - 12 / 13))
    assert report.jitter_after == 0.0


def test_without_smoothing_the_answers_are_those_of_predict(run: Run, tmp_path: Path) -> None:
    report = run(smoothing_frames=0, overlay=False)
    assert (report.num_smoothed, report.num_below_threshold) == (0, 0)
    assert report.jitter_before == report.jitter_after
    (told,) = predict(run.world.app(), [write_numbers(tmp_path / "one.png", 1, 2)])
    scores = {one["class_name"]: one["score"] for one in told.instances}
    assert all(one["score"] == scores[one["class_name"]] for line in run.lines() for one in line["instances"])


def test_the_coco_file_names_frames_and_tracks(run: Run) -> None:
    report = run(wanted="coco")
    written = json.loads(Path(report.file).read_text())
    assert [image["file_name"] for image in written["images"][:2]] == ["clip.mkv#0", "clip.mkv#1"]
    assert {(image["video_id"], image["width"], image["height"]) for image in written["images"]} == {
        (1, 120, 40)
    }
    assert len(written["annotations"]) == 2 * NUM_FRAMES
    assert {(one["category_id"], one["track_id"]) for one in written["annotations"]} == {(1, 1), (2, 2)}
    assert all(one["segmentation"]["size"] == [40, 120] for one in written["annotations"])


def test_the_answers_are_drawn_into_a_video_with_the_same_times(run: Run) -> None:
    report = run()
    with SandboxedVideo(Path(report.overlay_file), DecodingLimits()) as drawn:
        frames = [event for event in drawn.read() if isinstance(event, Frame)]
    assert [frame.time_s for frame in frames] == pytest.approx([n / 25 for n in range(NUM_FRAMES)], abs=1e-4)
    assert all(frame.pixels is not None and frame.pixels.max() > 100 for frame in frames)


def test_a_second_call_changes_nothing_and_another_format_asks_the_model_nothing(run: Run) -> None:
    first = run()
    before, run.asked = run.files(), []
    assert run() == first
    assert run.files() == before
    run(wanted="coco", smoothing_frames=1)
    assert run.asked == []


@pytest.mark.parametrize("killed_at", [0, 6, 7, 20, NUM_FRAMES - 1])
def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_answers(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    run(overlay=False)
    expected, samples = run.lines(), run.world.app().samples.counts()
    run.output, run.asked = tmp_path / "again", []
    ask = NumberPredictor.predict

    def kill(model: NumberPredictor, pictures: Sequence[np.ndarray], **how: Any) -> Any:
        told = ask(model, pictures, **how)
        if run.asked[-1] >= killed_at:
            raise Killed
        return told

    with monkeypatch.context() as patched:
        patched.setattr(NumberPredictor, "predict", kill)
        with pytest.raises(Killed):
            run(overlay=False)
    run.asked = []
    report = run(overlay=False)
    assert run.lines() == expected
    assert report.num_done_before % 7 == 0
    assert run.asked == [*range(report.num_done_before, NUM_FRAMES)]
    assert run.world.app().samples.counts() == samples


def test_a_run_that_is_stopped_says_how_far_it_came_and_goes_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_soon(*arguments: Any) -> None:
        arguments[-1].note(15)
        answer_video(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr("flows.video.story.answer_video", stop_soon)
        with pytest.raises(StoppedError, match=r"8 of \d+ frames are answered") as stopped:
            run()
    assert stopped.value.exit_code == 143
    assert run().num_done_before == 7


def test_frames_become_samples_only_apart_in_time_and_once(run: Run) -> None:
    """1.2 s at a gap of 0.5 s: the frames at 0, 0.52 and 1.04 s."""
    run(source="belt")
    samples = run.world.app().samples
    assert samples.counts().received == 3
    assert {one.source for one in samples.newest(10)} == {"belt"}
    assert all(one.class_counts == {"bolt": 1, "nut": 1} for one in samples.newest(10))
    assert samples.picture_bytes(samples.newest(1)[0]) is not None


def test_nobody_asking_for_samples_none_are_taken(run: Run) -> None:
    run(sample_gap_s=0.0)
    assert run.world.app().samples.counts().received == 0


def test_an_instance_below_the_threshold_is_told_where_its_track_lies_above_and_nothing_else_is(
    run: Run,
) -> None:
    """Bolts have a score of 0.6 there, nuts of 0.9; a threshold above the bolt's keeps the bolt out."""
    report = run(min_score=0.7)
    assert report.num_below_threshold == 0
    assert {one["class_name"] for line in run.lines() for one in line["instances"]} == {"nut"}


def test_a_video_that_was_cut_off_costs_its_end_and_not_the_run(run: Run, tmp_path: Path) -> None:
    data = run.clip.read_bytes()
    run.clip = tmp_path / "cut.mkv"
    run.clip.write_bytes(data[: len(data) // 2])
    report = run()
    assert 5 < report.num_frames < NUM_FRAMES
    assert report.num_answered == report.num_frames


def test_a_folder_of_another_video_is_refused_and_so_is_what_cannot_be_read(run: Run, tmp_path: Path) -> None:
    run()
    other = write_video(tmp_path / "other.mkv", [draw(3)])
    with pytest.raises(RefusedError, match="differs in the video"):
        run(video=str(other))
    with pytest.raises(NotFoundError, match="nothing here"):
        run(video=str(tmp_path / "none.mkv"))
    with pytest.raises(ConfigurationError, match="a file of this machine"):
        run(video="s3://bucket/a.mp4")
    notes = tmp_path / "notes.mp4"
    notes.write_text("no video")
    with pytest.raises(PictureError, match="cannot be opened"):
        run(video=str(notes), output=tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_video_of_which_no_frame_can_be_answered_is_an_error_that_says_why(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_asked: Any, **_how: Any) -> Any:
        raise PictureError("120 x 40 px is too thin for the model")

    monkeypatch.setattr(NumberPredictor, "predict", refuse)
    for _ in range(2):
        with pytest.raises(DataError, match="no frame could be answered"):
            run()
    assert "too thin" in (run.output / "set-aside.csv").read_text()


def test_a_missing_package_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[str], Any] = lambda _name: None  # noqa: E731
    monkeypatch.setattr("dataset.videos.reading.find_spec", find)
    with pytest.raises(ConfigurationError, match=r"maskloop\[video\]"):
        run()
