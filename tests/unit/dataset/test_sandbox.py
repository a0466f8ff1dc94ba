"""Decoding in a child: the same pixels, and whatever happens to the child costs one picture."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from dataset.decoding import DecodedPicture, encode_png, open_picture
from dataset.sandbox import ANSWER, REQUEST, SandboxedDecoder
from maskloop.errors import PictureError

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
PNG = encode_png(PIXELS)

Open = Callable[[SandboxedDecoder, bytes], DecodedPicture]


def open_async(decoder: SandboxedDecoder, data: bytes) -> DecodedPicture:
    return asyncio.run(decoder.open_async(data))


@pytest.fixture(params=[SandboxedDecoder.open, open_async], ids=["waiting", "on an event loop"])
def opened(request: pytest.FixtureRequest) -> Open:
    way: Open = request.param
    return way


@pytest.fixture
def decoder() -> Iterator[SandboxedDecoder]:
    with SandboxedDecoder(max_mpx=2) as decoder:
        yield decoder


def turned_jpeg_with_a_location() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", exif=exif.tobytes())
    return file.getvalue()


def pid_of(decoder: SandboxedDecoder) -> int:
    assert decoder._child
    return decoder._child.process.pid


def test_it_decodes_like_this_process_and_passes_on_what_the_file_told(
    decoder: SandboxedDecoder, opened: Open
) -> None:
    data = turned_jpeg_with_a_location()
    there, here = opened(decoder, data), open_picture(data, max_mpx=1)
    assert np.array_equal(there.pixels, here.pixels)
    assert (there.extension, there.orientation, there.has_location) == (".jpg", 6, True)


def test_a_picture_stays_as_it_is_when_the_next_one_comes(decoder: SandboxedDecoder, opened: Open) -> None:
    first = opened(decoder, PNG)
    opened(decoder, encode_png(255 - PIXELS))
    assert np.array_equal(first.pixels, PIXELS)
    assert first.pixels.flags.writeable


def test_a_large_picture_comes_whole(decoder: SandboxedDecoder, opened: Open) -> None:
    """Its bytes fill the socket, its pixels are more than an event loop copies itself."""
    pixels = np.random.default_rng(1).integers(0, 256, (1200, 1250, 3), dtype=np.uint8)
    assert np.array_equal(opened(decoder, encode_png(pixels)).pixels, pixels)


def test_a_broken_picture_costs_only_itself_and_keeps_the_child(
    decoder: SandboxedDecoder, opened: Open
) -> None:
    opened(decoder, PNG)
    child = pid_of(decoder)
    with pytest.raises(PictureError, match="cannot be decoded"):
        opened(decoder, PNG[:60])
    assert np.array_equal(opened(decoder, PNG).pixels, PIXELS)
    assert pid_of(decoder) == child


def test_a_picture_of_the_largest_size_fits_and_one_row_more_does_not(
    decoder: SandboxedDecoder, opened: Open
) -> None:
    largest = Image.new("L", (2000, 1000), 7)
    assert opened(decoder, saved(largest)).pixels.shape == (1000, 2000, 3)
    with pytest.raises(PictureError, match="more than the 2 million"):
        opened(decoder, saved(Image.new("L", (2000, 1001))))


def saved(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_dead_child_is_replaced(decoder: SandboxedDecoder, opened: Open) -> None:
    opened(decoder, PNG)
    assert decoder._child
    decoder._child.process.kill()
    decoder._child.process.wait()
    assert np.array_equal(opened(decoder, PNG).pixels, PIXELS)


def test_a_hanging_child_costs_the_picture_it_hangs_on(opened: Open) -> None:
    with SandboxedDecoder(max_mpx=1, timeout_s=0.2) as decoder:
        decoder.start()
        os.kill(pid_of(decoder), signal.SIGSTOP)
        with pytest.raises(PictureError, match="took too long"):
            opened(decoder, PNG)
        assert not decoder.is_running


def test_a_crash_costs_the_picture_it_happens_on(
    decoder: SandboxedDecoder, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request for more bytes than there is memory ends the child while the answer is waited for."""
    with monkeypatch.context() as patched:
        patched.setattr("dataset.sandbox._pack", lambda _data, apply_orientation: REQUEST.pack(2**60, 1))
        with pytest.raises(PictureError, match="crashed or ran out of memory"):
            opened(decoder, PNG)
    assert np.array_equal(opened(decoder, PNG).pixels, PIXELS)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's memory limit")
def test_a_picture_that_needs_too_much_memory_is_refused(opened: Open) -> None:
    with SandboxedDecoder(max_mpx=25, memory_mb=160) as decoder, pytest.raises(PictureError):
        opened(decoder, saved(Image.new("RGB", (6000, 4000))))


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs Linux's seals")
def test_the_child_cannot_cut_off_memory_that_this_process_reads(decoder: SandboxedDecoder) -> None:
    decoder.start()
    assert decoder._child
    with pytest.raises(PermissionError):
        os.ftruncate(decoder._child._memory_fd, 10)


@pytest.mark.parametrize(
    "said", [(100_000, 100_000, 1), (10, 10, 0), (10, 10, 9)], ids=["too large", "unknown", "unknown, too"]
)
def test_what_cannot_be_is_taken_for_a_crash(
    decoder: SandboxedDecoder, opened: Open, monkeypatch: pytest.MonkeyPatch, said: tuple[int, int, int]
) -> None:
    """A child that a hostile picture has taken over may answer anything."""
    child = decoder.start()
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    with child.socket, mine, theirs:
        monkeypatch.setattr(child, "socket", mine)
        theirs.sendall(ANSWER.pack(*said, 0, 0))
        with pytest.raises(PictureError, match="crashed or ran out of memory"):
            opened(decoder, PNG)


def test_nothing_is_left_open_after_the_end(opened: Open) -> None:
    before = set(Path("/dev/fd").iterdir())
    for _ in range(3):
        with SandboxedDecoder(max_mpx=1) as decoder:
            opened(decoder, PNG)
            child = pid_of(decoder)
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    assert set(Path("/dev/fd").iterdir()) == before


def test_closing_twice_is_fine(decoder: SandboxedDecoder, opened: Open) -> None:
    picture = opened(decoder, PNG)
    decoder.close()
    decoder.close()
    assert np.array_equal(picture.pixels, PIXELS)
