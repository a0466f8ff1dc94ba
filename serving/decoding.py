"""Pictures decoded in child processes, from the event loop: a decoder that dies costs one picture."""

from __future__ import annotations

import asyncio
import queue
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import numpy as np

from dataset.decoding import DecodedPicture, SandboxedDecoder, encode_png, sniff_format
from maskloop.errors import OverloadedError, PictureError, UnavailableError
from maskloop.settings import ServingSettings

_NEWEST_WEIGHT: Final = 0.2
"""Of the latest picture in the running average of seconds."""


class UnsupportedPictureError(PictureError):
    """The bytes are no JPEG, PNG or WebP."""


class DecoderPool:
    """A few decoding children, each used by one request at a time. The queue before them is bounded by time.

    Args:
        settings: ``decoders``, ``max_frames``, ``max_queue_s``.
        max_mpx: Larger pictures are refused before they are decoded.
    """

    def __init__(self, settings: ServingSettings, *, max_mpx: float) -> None:
        self._settings = settings
        self._decoders = [
            SandboxedDecoder(max_mpx=max_mpx, max_frames=settings.max_frames)
            for _ in range(settings.decoders)
        ]
        self._free: queue.SimpleQueue[SandboxedDecoder] = queue.SimpleQueue()
        for decoder in self._decoders:
            self._free.put(decoder)
        self._threads = ThreadPoolExecutor(settings.decoders, thread_name_prefix="decoding")
        self._open: set[Future[DecodedPicture]] = set()
        self._seconds_per_picture = 0.0

    @property
    def waiting_s(self) -> float:
        """About how long a new picture would wait for its turn."""
        num_ahead = max(0, len(self._open) + 1 - self._settings.decoders)
        return num_ahead * self._seconds_per_picture / self._settings.decoders

    async def decode(self, data: bytes) -> DecodedPicture:
        """Decode one picture, upright. Cancelled while it waits, it costs nothing.

        Raises:
            UnsupportedPictureError: if it is no JPEG, PNG or WebP.
            PictureError: if it is too large or broken.
            OverloadedError: if its turn would come too late.
            UnavailableError: if the pool is closed.
        """
        try:
            sniff_format(data)
        except PictureError as error:
            raise UnsupportedPictureError(error.headline) from error
        if self.waiting_s > self._settings.max_queue_s:
            raise OverloadedError(
                "more pictures come than can be decoded", retry_after_s=max(1.0, self.waiting_s)
            )
        try:
            future = self._threads.submit(self._decode, data)
        except RuntimeError as error:  # the executor is shut down
            raise UnavailableError("the service is stopping") from error
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        return await asyncio.wrap_future(future)

    def warm_up(self) -> None:
        """Start the children, so that no client waits for that. Blocking."""
        picture = encode_png(np.zeros((8, 8, 3), np.uint8))
        for decoder in self._decoders:
            decoder.open(picture)

    def close(self) -> None:
        """Stop the children."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for decoder in self._decoders:
            decoder.close()

    def _decode(self, data: bytes) -> DecodedPicture:
        decoder = self._free.get()
        started = time.monotonic()
        try:
            return decoder.open(data)
        finally:
            self._free.put(decoder)
            seconds = time.monotonic() - started
            self._seconds_per_picture += _NEWEST_WEIGHT * (seconds - self._seconds_per_picture)
