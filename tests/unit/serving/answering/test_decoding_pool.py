"""Decoding beside the requests: a child that dies costs its picture, a rush is refused, leaving is free."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import struct
import termios
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from dataset.pictures.decoding import DecodedPicture, open_picture
from dataset.raw.conversion import PictureConversion
from maskloop.errors import OverloadedError, PictureError, UnavailableError
from maskloop.settings.workspace_settings import ServingSettings
from serving.answering.decoding import DecoderPool, UnsupportedPictureError
from tests.fakes.service_world import PNG, ServiceWorld


class GatedDecoder:
    """Decodes when it is let, and counts."""

    is_running = True

    def __init__(self) -> None:
        self.arrived, self.opened, self.decoded = asyncio.Event(), asyncio.Event(), 0

    def ask(
        self, data: bytes, when_over: Callable[[], None], _conversion: PictureConversion
    ) -> asyncio.Future[DecodedPicture]:
        picture = asyncio.get_running_loop().create_future()
        self._work = asyncio.create_task(self._decode(data, picture, when_over))
        return picture

    async def _decode(
        self, data: bytes, picture: asyncio.Future[DecodedPicture], when_over: Callable[[], None]
    ) -> None:
        self.arrived.set()
        await self.opened.wait()
        self.decoded += 1
        when_over()
        if not picture.cancelled():
            picture.set_result(open_picture(data, max_mpx=1.0))

    async def close(self) -> None:
        """Nothing to stop."""


@pytest.fixture
def gate() -> GatedDecoder:
    return GatedDecoder()


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch, gate: GatedDecoder) -> DecoderPool:
    monkeypatch.setattr("serving.answering.decoding.AsyncSandboxedDecoder", lambda _limits: gate)
    return DecoderPool(ServingSettings(max_queue_s=1.0), max_mpx=1.0)


def test_a_cancelled_picture_that_waits_is_never_decoded(gated: DecoderPool, gate: GatedDecoder) -> None:
    async def story() -> None:
        first = asyncio.create_task(gated.decode(PNG))
        await gate.arrived.wait()
        second = asyncio.create_task(gated.decode(PNG))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        gate.opened.set()
        await first
        await gated.decode(PNG)

    asyncio.run(story())
    assert gate.decoded == 2


def test_the_result_of_a_cancelled_picture_is_still_read_from_its_decoder(
    gated: DecoderPool, gate: GatedDecoder
) -> None:
    """Otherwise the child's answer would be taken for the next picture's."""

    async def story() -> int:
        left = asyncio.create_task(gated.decode(PNG))
        await gate.arrived.wait()
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        next_one = asyncio.create_task(gated.decode(PNG))
        await asyncio.sleep(0)
        num_decoded_before = gate.decoded
        gate.opened.set()
        await next_one
        return num_decoded_before

    assert asyncio.run(story()) == 0
    assert gate.decoded == 2


def test_a_load_peak_is_refused_at_once_with_a_time_to_retry(gated: DecoderPool, gate: GatedDecoder) -> None:
    async def story() -> float:
        gated._seconds_per_picture = 0.6
        accepted = [asyncio.create_task(gated.decode(PNG)) for _ in range(2)]
        await gate.arrived.wait()
        with pytest.raises(OverloadedError) as refused:
            await gated.decode(PNG)
        gate.opened.set()
        await asyncio.gather(*accepted)
        await gated.decode(PNG)
        return refused.value.retry_after_s

    assert asyncio.run(story()) == pytest.approx(1.2)


def test_bytes_that_are_no_picture_never_reach_a_decoder(gated: DecoderPool, gate: GatedDecoder) -> None:
    async def story() -> None:
        for data in (b"", b"GIF89a", b"\x89PN"):
            with pytest.raises(UnsupportedPictureError):
                await gated.decode(data)

    asyncio.run(story())
    assert not gate.arrived.is_set()


def test_a_closed_pool_says_that_the_service_is_stopping(gated: DecoderPool) -> None:
    async def story() -> None:
        await gated.close()
        await gated.decode(PNG)

    with pytest.raises(UnavailableError, match="stopping"):
        asyncio.run(story())


def test_a_decoder_that_dies_loses_its_own_picture_alone(tmp_path: Path) -> None:
    """The child is held, so that a picture is with it when it dies as a native crash would end it."""
    world = ServiceWorld(tmp_path, sandboxed=True)

    async def story(client: httpx.AsyncClient) -> list[httpx.Response]:
        assert world.service is not None
        pool = world.service.decoders
        first = await client.post("/v1/predict", content=PNG)
        (decoder,) = pool._decoders
        child = decoder._child
        assert child is not None
        os.kill(child.process.pid, signal.SIGSTOP)
        asking = [asyncio.create_task(client.post("/v1/predict", content=PNG)) for _ in range(2)]
        while not pool._num_waiting or not num_bytes_unread(child.socket):
            await asyncio.sleep(0.001)
        os.kill(child.process.pid, signal.SIGSEGV)
        os.kill(child.process.pid, signal.SIGCONT)
        return [first, *await asyncio.gather(*asking)]

    first, struck, after = world.run(story)
    assert (first.status_code, struck.status_code, after.status_code) == (200, 422, 200)
    assert "crashed or ran out of memory" in struck.json()["detail"]


def num_bytes_unread(sender: socket.socket) -> int:
    """Tell how much of what was sent nobody has read yet, on Linux (unix(7), SIOCOUTQ)."""
    return int(struct.unpack("i", fcntl.ioctl(sender, termios.TIOCOUTQ, b"\0" * 4))[0])


@pytest.mark.usefixtures("children_of_their_own")
def test_the_pool_leaves_no_children_behind() -> None:
    async def story() -> list[psutil.Process]:
        pool = DecoderPool(ServingSettings(decoders=2), max_mpx=1.0)
        before = set(psutil.Process().children())
        await pool.warm_up()
        children = set(psutil.Process().children()) - before
        with pytest.raises(PictureError):
            await pool.decode(PNG[:60])
        await pool.close()
        return list(children)

    children = asyncio.run(story())
    assert len(children) == 2
    assert not any(child.is_running() for child in children)
