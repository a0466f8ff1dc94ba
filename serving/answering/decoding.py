"""Pictures decoded in child processes, from the event loop: a decoder that dies costs one picture."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Final

import numpy as np

from dataset.pictures.async_sandbox import AsyncSandboxedDecoder
from dataset.pictures.decoding import FORMATS_READ, DecodedPicture, encode_png, sniff_format
from dataset.pictures.sandbox import DecodingLimits
from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from maskloop.errors import OverloadedError, PictureError, UnavailableError
from maskloop.settings.workspace_settings import ServingSettings

_GIVEN_UP_AFTER_S: Final = 20.0
"""Clients wait for less, and others for the same child."""
_HOW_TO_SEND: Final = f"send the whole file of a {FORMATS_READ} picture"
_NEWEST_WEIGHT: Final = 0.2
"""Weight of the latest picture in the moving average of seconds."""


class UnsupportedPictureError(PictureError):
    """The bytes are no picture in a format that is read."""


class DecoderPool:
    """A few decoding children, each used by one request at a time. The queue before them is bounded by time.

    Belongs to one event loop.

    Args:
        settings: ``decoders``, ``max_frames``, ``max_queue_s``.
        max_mpx: Larger pictures are refused before they are decoded.
    """

    def __init__(self, settings: ServingSettings, *, max_mpx: float) -> None:
        self._settings = settings
        self._decoders = [
            AsyncSandboxedDecoder(
                DecodingLimits(max_mpx=max_mpx, max_frames=settings.max_frames, timeout_s=_GIVEN_UP_AFTER_S)
            )
            for _ in range(settings.decoders)
        ]
        self._free: asyncio.Queue[AsyncSandboxedDecoder] = asyncio.Queue()
        for decoder in self._decoders:
            self._free.put_nowait(decoder)
        self._num_waiting = 0
        self._seconds_per_picture = 0.0
        self._is_closed = False

    @property
    def waiting_s(self) -> float:
        """About how long a new picture would wait for its turn."""
        num_ahead = self._num_waiting - self._free.qsize() + 1
        return max(0, num_ahead) * self._seconds_per_picture / len(self._decoders)

    async def decode(self, data: bytes, conversion: PictureConversion = DEFAULT_CONVERSION) -> DecodedPicture:
        """Decode one picture, upright. Cancelled while it waits, it costs nothing.

        Args:
            data: The file's bytes.
            conversion: How values that are no 8-bit RGB become it.

        Raises:
            UnsupportedPictureError: if it is in no format that is read.
            PictureError: if it is too large or broken.
            OverloadedError: if its turn would come too late.
            UnavailableError: if the pool is closed, or the child does not answer.
        """
        try:
            sniff_format(data)
        except PictureError as error:
            raise UnsupportedPictureError(error.headline, hint=_HOW_TO_SEND) from error
        if self._is_closed:
            raise UnavailableError("the service is stopping")
        if self.waiting_s > self._settings.max_queue_s:
            raise OverloadedError(
                "more pictures come than can be decoded", retry_after_s=max(1.0, self.waiting_s)
            )
        self._num_waiting += 1
        try:
            decoder = await self._free.get()
        finally:
            self._num_waiting -= 1
        if not decoder.is_running:
            return await asyncio.shield(
                asyncio.create_task(self._start_and_decode(decoder, data, conversion))
            )
        return await decoder.ask(data, partial(self._free_again, decoder, time.monotonic()), conversion)

    async def warm_up(self) -> None:
        """Start the children, so that no client waits for that."""
        picture = encode_png(np.zeros((8, 8, 3), np.uint8))
        await asyncio.gather(*(self.decode(picture) for _ in self._decoders))

    async def close(self) -> None:
        """Finish what was begun and stop the children."""
        self._is_closed = True
        for _ in self._decoders:
            await self._free.get()
        await asyncio.gather(*(decoder.close() for decoder in self._decoders))

    async def _start_and_decode(
        self, decoder: AsyncSandboxedDecoder, data: bytes, conversion: PictureConversion
    ) -> DecodedPicture:
        try:
            return await decoder.open(data, conversion)
        finally:
            self._free_again(decoder, None)

    def _free_again(self, decoder: AsyncSandboxedDecoder, started: float | None) -> None:
        self._free.put_nowait(decoder)
        if started is not None:  # otherwise the child had to be started first
            seconds = time.monotonic() - started
            self._seconds_per_picture += _NEWEST_WEIGHT * (seconds - self._seconds_per_picture)
