"""Decoding beside the requests: a child that dies costs its picture, a rush is refused, leaving is free."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from dataset.decoding import DecodedPicture, open_picture
from maskloop.errors import OverloadedError, PictureError, UnavailableError
from maskloop.settings import ServingSettings
from serving.decoding import DecoderPool, UnsupportedPictureError
from tests.fakes.service_world import PNG, ServiceWorld


class GatedDecoder:
    """Decodes when it is let, and counts."""

    opened = threading.Event()
    arrived = threading.Event()
    decoded = 0

    def __init__(self, **_limits: Any) -> None:
        type(self).opened, type(self).arrived = threading.Event(), threading.Event()
        type(self).decoded = 0

    def open(self, data: bytes) -> DecodedPicture:
        self.arrived.set()
        assert self.opened.wait(20)
        type(self).decoded += 1
        return open_picture(data, max_mpx=1.0)

    def close(self) -> None:
        """Nothing to stop."""


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator[DecoderPool]:
    monkeypatch.setattr("serving.decoding.SandboxedDecoder", GatedDecoder)
    pool = DecoderPool(ServingSettings(max_queue_s=1.0), max_mpx=1.0)
    yield pool
    GatedDecoder.opened.set()
    pool.close()


def test_a_cancelled_picture_that_waits_is_never_decoded(gated: DecoderPool) -> None:
    async def story() -> None:
        first = asyncio.create_task(gated.decode(PNG))
        assert await asyncio.to_thread(GatedDecoder.arrived.wait, 20)
        second = asyncio.create_task(gated.decode(PNG))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        GatedDecoder.opened.set()
        await first
        await gated.decode(PNG)

    asyncio.run(story())
    assert GatedDecoder.decoded == 2


def test_a_rush_is_refused_at_once_with_a_time_to_come_back(gated: DecoderPool) -> None:
    async def story() -> float:
        gated._seconds_per_picture = 0.6
        accepted = [asyncio.create_task(gated.decode(PNG)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as refused:
            await gated.decode(PNG)
        GatedDecoder.opened.set()
        await asyncio.gather(*accepted)
        await gated.decode(PNG)
        return refused.value.retry_after_s

    assert asyncio.run(story()) == pytest.approx(1.2)


def test_bytes_that_are_no_picture_never_reach_a_decoder(gated: DecoderPool) -> None:
    async def story() -> None:
        for data in (b"", b"GIF89a", b"\x89PN"):
            with pytest.raises(UnsupportedPictureError):
                await gated.decode(data)

    asyncio.run(story())
    assert not GatedDecoder.arrived.is_set()


def test_a_closed_pool_says_that_the_service_is_stopping(gated: DecoderPool) -> None:
    gated.close()
    with pytest.raises(UnavailableError, match="stopping"):
        asyncio.run(gated.decode(PNG))


def test_a_decoder_that_dies_costs_its_picture_and_no_other(tmp_path: Path) -> None:
    """The child is held, so that a picture is with it when it dies as a native crash would end it."""
    world = ServiceWorld(tmp_path, sandboxed=True)

    async def story(client: httpx.AsyncClient) -> list[httpx.Response]:
        assert world.service is not None
        pool = world.service.decoders
        first = await client.post("/v1/predict", content=PNG)
        (decoder,) = pool._decoders
        assert decoder._child is not None
        os.kill(decoder._child.pid, signal.SIGSTOP)
        asking = [asyncio.create_task(client.post("/v1/predict", content=PNG)) for _ in range(2)]
        while len(pool._open) < 2 or not num_bytes_in(decoder._child.stdin):
            await asyncio.sleep(0.001)
        os.kill(decoder._child.pid, signal.SIGSEGV)
        os.kill(decoder._child.pid, signal.SIGCONT)
        return [first, *await asyncio.gather(*asking)]

    first, struck, after = world.run(story)
    assert (first.status_code, struck.status_code, after.status_code) == (200, 422, 200)
    assert "crashed or ran out of memory" in struck.json()["detail"]


def num_bytes_in(pipe: Any) -> int:
    """Tell how much of what was written into a pipe nobody has read yet."""
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0])


def test_the_pool_leaves_no_children_behind() -> None:
    pool = DecoderPool(ServingSettings(decoders=2), max_mpx=1.0)
    before = set(psutil.Process().children())
    pool.warm_up()
    children = set(psutil.Process().children()) - before
    assert len(children) == 2
    with pytest.raises(PictureError):
        asyncio.run(pool.decode(PNG[:60]))
    pool.close()
    assert not any(child.is_running() for child in children)
