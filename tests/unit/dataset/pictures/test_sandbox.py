"""Decoding in a child: the same pixels, and whatever happens to the child costs one picture."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from dataset.pictures.async_sandbox import AsyncSandboxedDecoder
from dataset.pictures.child_process import READY, ChildFailedError
from dataset.pictures.decoding import DecodedPicture, encode_png, open_picture
from dataset.pictures.sandbox import (
    ANSWER,
    REQUEST,
    Child,
    DecodingLimits,
    SandboxedDecoder,
    name_failure,
    refusal_bytes,
    to_refusal,
)
from maskloop.errors import MaskloopError, PictureError, UnavailableError

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
PNG = encode_png(PIXELS)


class OnALoop:
    """`AsyncSandboxedDecoder` with an event loop of its own, used like `SandboxedDecoder`."""

    def __init__(self, limits: DecodingLimits) -> None:
        self.decoder, self._runner = AsyncSandboxedDecoder(limits), asyncio.Runner()

    def __enter__(self) -> OnALoop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._runner.close()

    @property
    def is_running(self) -> bool:
        return self.decoder.is_running

    @property
    def _child(self) -> Child | None:
        return self.decoder._child

    def run(self, story: Coroutine[Any, Any, DecodedPicture]) -> DecodedPicture:
        return self._runner.run(story)

    def start(self) -> Child:
        self._runner.run(self.decoder.start())
        assert self._child
        return self._child

    def open(self, data: bytes) -> DecodedPicture:
        return self._runner.run(self.decoder.open(data))

    def close(self) -> None:
        self._runner.run(self.decoder.close())


Decoder = SandboxedDecoder | OnALoop


@pytest.fixture(params=[SandboxedDecoder, OnALoop], ids=["waiting", "on an event loop"])
def make_decoder(request: pytest.FixtureRequest) -> Callable[..., Decoder]:
    kind: Callable[[DecodingLimits], Decoder] = request.param
    return lambda **limits: kind(DecodingLimits(**limits))


@pytest.fixture
def decoder(make_decoder: Callable[..., Decoder]) -> Iterator[Decoder]:
    with make_decoder(max_mpx=2) as decoder:
        yield decoder


def turned_jpeg() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", exif=exif.tobytes())
    return file.getvalue()


def pid_of(decoder: Decoder) -> int:
    assert decoder._child
    return decoder._child.process.pid


def test_it_decodes_like_this_process_and_passes_on_what_the_file_told(decoder: Decoder) -> None:
    data = turned_jpeg()
    there, here = decoder.open(data), open_picture(data, max_mpx=1)
    assert np.array_equal(there.pixels, here.pixels)
    assert (there.extension, there.orientation) == (".jpg", 6)


def test_it_passes_on_how_many_of_sixteen_bits_a_file_uses(decoder: Decoder) -> None:
    deep = decoder.open(saved(Image.fromarray(np.array([[0, 4095]], np.uint16))))
    assert (deep.bits_used, decoder.open(PNG).bits_used) == (12, 0)


def test_it_passes_on_the_numbers_of_a_mask() -> None:
    deep = saved(Image.fromarray(np.array([[0, 1, 300, 65535]], np.uint16)))
    with SandboxedDecoder(DecodingLimits(max_mpx=2)) as decoder:
        assert decoder.open_values(deep).tolist() == [[0, 1, 300, 65535]]
        assert decoder.open(deep).pixels[0, :, 0].tolist() == [0, 0, 1, 255]


def test_a_picture_stays_as_it_is_when_the_next_one_comes(decoder: Decoder) -> None:
    first = decoder.open(PNG)
    decoder.open(encode_png(255 - PIXELS))
    assert np.array_equal(first.pixels, PIXELS)
    assert first.pixels.flags.writeable


def test_a_large_picture_comes_whole(decoder: Decoder) -> None:
    """Its bytes fill the socket, its pixels are more than an event loop copies itself."""
    pixels = np.random.default_rng(1).integers(0, 256, (1200, 1250, 3), dtype=np.uint8)
    assert np.array_equal(decoder.open(encode_png(pixels)).pixels, pixels)


def test_a_broken_picture_costs_only_itself_and_keeps_the_child(decoder: Decoder) -> None:
    decoder.open(PNG)
    child = pid_of(decoder)
    with pytest.raises(PictureError, match="cannot be decoded"):
        decoder.open(PNG[:60])
    assert np.array_equal(decoder.open(PNG).pixels, PIXELS)
    assert pid_of(decoder) == child


def test_a_picture_of_the_largest_size_fits_and_one_row_more_does_not(decoder: Decoder) -> None:
    largest = Image.new("L", (2000, 1000), 7)
    assert decoder.open(saved(largest)).pixels.shape == (1000, 2000, 3)
    with pytest.raises(PictureError, match="more than the 2 million"):
        decoder.open(saved(Image.new("L", (2000, 1001))))


def test_a_limit_above_pillows_own_holds() -> None:
    scan = saved(Image.new("1", (9600, 9500)))
    with SandboxedDecoder(DecodingLimits(max_mpx=100)) as decoder:
        assert decoder.open(scan).pixels.shape == (9500, 9600, 3)
        with pytest.raises(PictureError, match="more than the 100 million accepted") as caught:
            decoder.open(saved(Image.new("1", (10_001, 10_000))))
    assert "data.max_picture_mpx" in caught.value.hint


def saved(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_dead_child_is_replaced(decoder: Decoder) -> None:
    decoder.open(PNG)
    assert decoder._child
    decoder._child.process.kill()
    decoder._child.process.wait()
    assert np.array_equal(decoder.open(PNG).pixels, PIXELS)


def test_a_picture_whose_child_does_not_answer_is_decoded_by_another() -> None:
    with SandboxedDecoder(DecodingLimits(max_mpx=1, timeout_s=1.0)) as decoder:
        decoder.start()
        stuck = pid_of(decoder)
        os.kill(stuck, signal.SIGSTOP)
        assert np.array_equal(decoder.open(PNG).pixels, PIXELS)
        assert pid_of(decoder) != stuck


def test_a_picture_whose_child_died_is_decoded_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may have taken the memory for something else."""
    with SandboxedDecoder(DecodingLimits(max_mpx=1)) as decoder:
        killed = decoder.start()
        killed.process.kill()
        killed.process.wait()
        monkeypatch.setattr(Child, "is_running", property(lambda child: True))  # it dies a moment later
        assert np.array_equal(decoder.open(PNG).pixels, PIXELS)


@pytest.mark.usefixtures("children_of_their_own")
def test_what_never_answers_is_tried_later_and_not_called_broken(
    make_decoder: Callable[..., Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    children = children_stopped_once_ready(monkeypatch)
    with make_decoder(max_mpx=1, timeout_s=0.2) as decoder:
        with pytest.raises(UnavailableError, match=r"not over after 0.2 s.*try again later") as caught:
            decoder.open(PNG)
        assert caught.value.exit_code == 75
        assert not decoder.is_running
    assert len(children) == (2 if isinstance(decoder, SandboxedDecoder) else 1)


def children_stopped_once_ready(monkeypatch: pytest.MonkeyPatch) -> list[Child]:
    """From now on each child stands still as soon as it is ready; return them as they come."""
    children: list[Child] = []
    prepare = Child.__init__

    def prepare_and_stop(child: Child, limits: DecodingLimits) -> None:
        prepare(child, limits)
        os.kill(child.process.pid, signal.SIGSTOP)
        children.append(child)

    monkeypatch.setattr(Child, "__init__", prepare_and_stop)
    return children


@pytest.mark.usefixtures("children_of_their_own")
def test_a_child_takes_pictures_only_when_it_is_ready_and_its_start_costs_them_no_time(
    make_decoder: Callable[..., Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that ends before it is ready is not the picture's fault."""
    here = Child._start

    def start_something_else(child: Child, told: tuple[str, ...], theirs: socket.socket) -> Any:
        theirs.shutdown(socket.SHUT_RDWR)
        return here(child, told, theirs)

    monkeypatch.setattr(Child, "_start", start_something_else)
    with make_decoder(max_mpx=1) as decoder:
        with pytest.raises(UnavailableError, match="did not start"):
            decoder.open(PNG)
        assert not decoder.is_running
        monkeypatch.setattr(Child, "_start", here)
        assert np.array_equal(decoder.open(PNG).pixels, PIXELS)


def test_a_picture_that_takes_too_much_computing_time_is_refused_and_not_tried_again(
    make_decoder: Callable[..., Decoder],
) -> None:
    """Granted none, it is refused when a whole second of the child's ends in it: within a few pictures."""
    data = saved(Image.new("RGBA", (4000, 4000)))

    def decode_again_and_again(decoder: Decoder) -> None:
        for _ in range(40):
            decoder.open(data)

    with make_decoder(max_mpx=16, cpu_s=0) as decoder:
        decoder.start()
        child = pid_of(decoder)
        with pytest.raises(PictureError, match="more than 0 s of computing time"):
            decode_again_and_again(decoder)
        assert not decoder.is_running
        decoder.open(PNG)
        assert pid_of(decoder) != child


def test_a_crash_costs_the_picture_it_happens_on(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request for more bytes than there is memory ends the child while the answer is waited for."""
    with monkeypatch.context() as patched:
        too_many = REQUEST.pack(2**60, True, False, 2) + b"{}"
        patched.setattr("dataset.pictures.sandbox._pack", lambda *_asked: too_many)
        patched.setattr(Child, "put", lambda _child, *_asked: too_many)
        with pytest.raises(PictureError, match="crashed or ran out of memory"):
            decoder.open(PNG)
    assert np.array_equal(decoder.open(PNG).pixels, PIXELS)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's memory limit")
def test_a_picture_that_needs_too_much_memory_is_refused(make_decoder: Callable[..., Decoder]) -> None:
    with make_decoder(max_mpx=25, memory_mb=160) as decoder, pytest.raises(PictureError):
        decoder.open(saved(Image.new("RGB", (6000, 4000))))


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs Linux's seals")
def test_the_child_cannot_cut_off_memory_that_this_process_reads(decoder: Decoder) -> None:
    decoder.start()
    assert decoder._child
    with pytest.raises(PermissionError):
        os.ftruncate(decoder._child._memory_fd, 10)


@pytest.mark.usefixtures("children_of_their_own")
@pytest.mark.parametrize(
    "said", [(100_000, 100_000, 1), (10, 10, 0), (10, 10, 9)], ids=["too large", "unknown", "unknown, too"]
)
def test_what_cannot_be_is_taken_for_a_crash(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch, said: tuple[int, int, int]
) -> None:
    """A child that a hostile picture has taken over may answer anything."""
    start = Child._start

    def say_it_first(child: Child, told: tuple[str, ...], theirs: socket.socket) -> Any:
        theirs.sendall(READY + ANSWER.pack(*said, 0, 1, 0, 0))
        return start(child, told, theirs)

    monkeypatch.setattr(Child, "_start", say_it_first)
    with pytest.raises(PictureError, match="crashed or ran out of memory"):
        decoder.open(PNG)


@pytest.mark.usefixtures("children_of_their_own")
def test_a_child_that_speaks_unasked_on_an_event_loop_is_not_asked_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise its words would be taken for the answer about the next picture."""
    theirs: list[socket.socket] = []
    start = Child._start

    def keep_their_end(child: Child, told: tuple[str, ...], end: socket.socket) -> Any:
        theirs.append(end.dup())
        return start(child, told, end)

    async def story(decoder: AsyncSandboxedDecoder) -> DecodedPicture:
        await decoder.open(PNG)
        theirs[0].sendall(ANSWER.pack(1, 1, 1, 0, 1, 0, 0))
        while decoder.is_running:
            await asyncio.sleep(0)
        return await decoder.open(PNG)

    monkeypatch.setattr(Child, "_start", keep_their_end)
    with OnALoop(DecodingLimits(max_mpx=1)) as decoder:
        picture = decoder.run(story(decoder.decoder))
    assert np.array_equal(picture.pixels, PIXELS)
    for end in theirs:
        end.close()


def test_a_file_that_the_shared_memory_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset.pictures.sandbox._MAX_SHARED_FILE_BYTES", 10)
    with OnALoop(DecodingLimits(max_mpx=0.001)) as decoder:
        with pytest.raises(PictureError, match=r"more than the 0\.003 MB"):
            decoder.open(PNG + b"." * 3000)
        child = decoder._child
        assert decoder.open(encode_png(np.zeros((4, 4, 3), np.uint8))).pixels.shape == (4, 4, 3)
        assert decoder._child is child


@pytest.mark.usefixtures("children_of_their_own")
def test_nothing_is_left_open_after_the_end(make_decoder: Callable[..., Decoder]) -> None:
    before = set(Path("/dev/fd").iterdir())
    for _ in range(3):
        with make_decoder(max_mpx=1) as decoder:
            decoder.open(PNG)
            child = pid_of(decoder)
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    assert set(Path("/dev/fd").iterdir()) == before


def test_closing_twice_is_fine(decoder: Decoder) -> None:
    picture = decoder.open(PNG)
    decoder.close()
    decoder.close()
    assert np.array_equal(picture.pixels, PIXELS)


# --- what child and parent tell each other -------------------------------------------------------


@pytest.mark.parametrize(("headline", "hint"), [("zu groß", "verkleinern"), ("too large", ""), ("a", "b\0c")])
def test_a_refusal_arrives_with_the_headline_and_the_hint_it_was_sent_with(headline: str, hint: str) -> None:
    arrived = to_refusal(refusal_bytes(PictureError(headline, hint=hint)))
    assert (arrived.headline, arrived.hint) == (headline, hint)


def test_a_refusal_too_long_to_be_sent_is_cut_even_within_a_letter() -> None:
    sent = refusal_bytes(PictureError("x" * 1999 + "ß"))
    assert len(sent) == 2000
    assert to_refusal(sent).headline == "x" * 1999 + "\ufffd"


def test_a_refusal_without_a_word_is_a_broken_picture() -> None:
    assert to_refusal(b"\0shrink it").headline == "the picture is broken"


@pytest.mark.parametrize(
    ("exceeded_cpu", "timed_out", "kind", "said"),
    [
        (True, False, PictureError, "decoding the picture took more than 2.5 s of computing time"),
        (True, True, PictureError, "decoding the picture took more than 2.5 s of computing time"),
        (False, True, UnavailableError, "decoding a picture was not over after 90 s"),
        (False, False, PictureError, "decoding the picture crashed or ran out of memory"),
    ],
)
def test_a_failure_is_the_machines_only_if_nothing_was_computed_too_long(
    exceeded_cpu: bool, timed_out: bool, kind: type[MaskloopError], said: str
) -> None:
    limits = DecodingLimits(cpu_s=2.5, timeout_s=90)
    error = name_failure(ChildFailedError(exceeded_cpu=exceeded_cpu, timed_out=timed_out), limits)
    assert (type(error), error.headline) == (kind, said)
