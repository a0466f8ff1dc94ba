"""Videos that are written: complete or not at all, with the times of their frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataset.pictures.sandbox import DecodingLimits
from dataset.videos.frames import Frame
from dataset.videos.reading import SandboxedVideo
from dataset.videos.writing import written_video

TIMES_S = (0.0, 0.04, 0.5)


def write(file: Path, height_px: int = 32, width_px: int = 48) -> None:
    with written_video(file, rate=25.0) as write_frame:
        for number, time_s in enumerate(TIMES_S):
            write_frame(np.full((height_px, width_px, 3), 60 * number, np.uint8), time_s)


def test_a_written_video_has_the_frames_and_their_times(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    with SandboxedVideo(tmp_path / "a.mp4", DecodingLimits()) as video:
        frames = [event for event in video.read() if isinstance(event, Frame)]
    assert [frame.time_s for frame in frames] == pytest.approx(TIMES_S)
    means = [frame.pixels.mean() for frame in frames if frame.pixels is not None]
    assert means == pytest.approx([0, 60, 120], abs=3)


def test_an_odd_side_loses_its_last_line(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", 33, 49)
    with SandboxedVideo(tmp_path / "a.mp4", DecodingLimits()) as video:
        assert (video.facts.height_px, video.facts.width_px) == (32, 48)


def test_equal_frames_make_equal_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    write(tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_nothing_is_written_if_the_work_fails_half_way(tmp_path: Path) -> None:
    def fail() -> None:
        with written_video(tmp_path / "a.mp4", rate=25.0) as write_frame:
            write_frame(np.zeros((32, 48, 3), np.uint8), 0.0)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert [*tmp_path.iterdir()] == []
