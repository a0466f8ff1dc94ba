"""Videos decoded in a child: every frame with its time, and what is broken costs frames."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dataset.pictures.sandbox import DecodingLimits
from dataset.videos.frames import Frame, Loss
from dataset.videos.reading import SandboxedVideo
from maskloop.errors import NotFoundError, PictureError
from tests.fakes.videos import write_video

LIMITS = DecodingLimits(max_mpx=1)
NUM_FRAMES = 24


def draw(number: int) -> np.ndarray:
    pixels = np.random.default_rng(7).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    pixels[:8, :8] = 10 * number
    return pixels


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video without loss."""
    file = tmp_path_factory.mktemp("video") / "exact.mkv"
    return write_video(file, [draw(number) for number in range(NUM_FRAMES)])


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video as cameras write them: H.264 in MP4, its index first, a key frame for each ten."""
    file = tmp_path_factory.mktemp("video") / "packed.mp4"
    return write_video(file, [draw(number) for number in range(NUM_FRAMES)], codec="libx264")


def read(file: Path, first: int = 0) -> list[Frame | Loss]:
    with SandboxedVideo(file, LIMITS) as video:
        return [*video.read(first)]


def frames_of(events: list[Frame | Loss]) -> list[Frame]:
    return [event for event in events if isinstance(event, Frame)]


def test_every_frame_comes_once_in_order_with_its_pixels_and_time(exact: Path) -> None:
    frames = frames_of(read(exact))
    assert [frame.number for frame in frames] == [*range(NUM_FRAMES)]
    assert [frame.time_s for frame in frames] == pytest.approx([number / 25 for number in range(NUM_FRAMES)])
    for frame in frames:
        assert frame.pixels is not None
        assert np.array_equal(frame.pixels, draw(frame.number))


def test_frames_before_the_first_wanted_come_without_pixels_and_with_the_same_numbers(exact: Path) -> None:
    frames = frames_of(read(exact, first=20))
    assert [frame.number for frame in frames] == [*range(NUM_FRAMES)]
    assert [frame.number for frame in frames if frame.pixels is not None] == [20, 21, 22, 23]
    assert frames[21].pixels is not None
    assert np.array_equal(frames[21].pixels, draw(21))


def test_a_video_is_read_again_from_its_beginning(exact: Path) -> None:
    with SandboxedVideo(exact, LIMITS) as video:
        first, second = next(iter(video.read())), next(iter(video.read()))
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert first.number == second.number == 0


def test_times_are_those_of_the_file_whatever_its_frame_rate_says(tmp_path: Path) -> None:
    times_s = [0.0, 0.02, 0.5, 0.51, 2.0]
    file = write_video(tmp_path / "a.mkv", [draw(0)] * 5, times_s=times_s)
    assert [frame.time_s for frame in frames_of(read(file))] == pytest.approx(times_s)


def test_a_video_that_is_stored_turned_comes_upright(tmp_path: Path) -> None:
    file = write_video(tmp_path / "a.mp4", [draw(0)], codec="libx264", rotation_deg=90)
    with SandboxedVideo(file, LIMITS) as video:
        facts, (frame,) = video.facts, frames_of([*video.read()])
    assert (facts.height_px, facts.width_px, facts.rotation_deg) == (48, 32, 90)
    assert frame.pixels is not None
    loss = np.abs(frame.pixels.astype(int) - np.rot90(draw(0)))
    assert loss[-8:, :8].mean() < 20  # the black corner was at the top left, and is at the bottom left now


def test_a_file_that_was_cut_off_gives_the_frames_before(packed: Path, tmp_path: Path) -> None:
    data = packed.read_bytes()
    file = tmp_path / "cut.mp4"
    file.write_bytes(data[: len(data) * 6 // 10])
    with SandboxedVideo(file, LIMITS) as video:
        events, stated = [*video.read()], video.facts.num_frames_stated
    frames = frames_of(events)
    assert 5 < len(frames) < stated == NUM_FRAMES
    assert [frame.number for frame in frames] == [*range(len(frames))]
    (loss,) = [event for event in events if isinstance(event, Loss)]
    assert "invalid data" in loss.reason
    last_before = [frame for frame in frames if frame.time_s <= loss.after_s]
    assert not any(frame.is_doubtful for frame in last_before)
    assert all(frame.is_doubtful for frame in frames[len(last_before) :])


def test_a_damaged_frame_is_broken_and_those_up_to_the_next_key_frame_are_doubtful(
    packed: Path, tmp_path: Path
) -> None:
    """FFmpeg marks the first frame alone, although those after it are predicted from it."""
    data = bytearray(packed.read_bytes())
    start = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    for place in range(start, start + 200):
        data[place] ^= 0x5A
    file = tmp_path / "damaged.mp4"
    file.write_bytes(data)
    frames = frames_of(read(file))
    (broken,) = [frame.number for frame in frames if frame.error]
    assert frames[broken].pixels is None
    assert [frame.number for frame in frames if frame.is_doubtful] == [*range(broken, 20)]
    assert all(frame.pixels is not None for frame in frames if not frame.error)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile {}\n"),
        ("notes.mp4", "no video"),
        ("empty.mp4", ""),
    ],
)
def test_a_playlist_and_what_is_no_video_are_refused(
    exact: Path, tmp_path: Path, name: str, content: str
) -> None:
    """A playlist would have this machine's other files opened."""
    file = tmp_path / name
    file.write_text(content.replace("{}", str(exact)))
    with pytest.raises(PictureError, match="cannot be opened"):
        SandboxedVideo(file, LIMITS)


def test_frames_that_are_too_large_are_refused_before_they_are_kept(exact: Path) -> None:
    with pytest.raises(PictureError, match=r"more than the 0\.001 million accepted"):
        SandboxedVideo(exact, DecodingLimits(max_mpx=0.001))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        SandboxedVideo(tmp_path / "a.mp4", LIMITS)


def kill_after(video: SandboxedVideo, numbers: list[int]) -> Iterator[Frame | Loss]:
    """Read a video; its child is killed once each of the numbers has come."""
    left = [*numbers]
    for event in video.read():
        yield event
        if left and isinstance(event, Frame) and event.number == left[0]:
            left.pop(0)
            assert video._child
            os.kill(video._child.process.pid, signal.SIGKILL)
            video._child.process.wait()


def test_a_child_that_dies_costs_no_frame(exact: Path) -> None:
    with SandboxedVideo(exact, LIMITS) as video:
        frames = frames_of([*kill_after(video, [5, 9])])
    assert [frame.number for frame in frames] == [*range(NUM_FRAMES)]
    for frame in frames:
        assert frame.pixels is not None
        assert np.array_equal(frame.pixels, draw(frame.number))


def test_a_video_ends_where_two_children_die_in_a_row(exact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kills the decoder there would kill the next one too."""
    ask: Callable[..., object] = SandboxedVideo._ask

    def die_at_the_sixth(video: SandboxedVideo, *, wants_pixels: bool) -> object:
        assert video._child
        asked = getattr(video._child, "asked", 0)
        video._child.asked = asked + 1  # type: ignore[attr-defined]
        if asked == 6:
            os.kill(video._child.process.pid, signal.SIGKILL)
            video._child.process.wait()
        return ask(video, wants_pixels=wants_pixels)

    monkeypatch.setattr(SandboxedVideo, "_ask", die_at_the_sixth)
    *frames, loss = read(exact)
    assert [frame.number for frame in frames_of(frames)] == [*range(5)]
    assert loss == Loss(0.16, "the decoder crashed, twice", is_end=True)
