"""Pictures decoded in child processes, from the event loop: a decoder that dies costs one picture."""

from __future__ import annotations

import asyncio
import queue
from concurrent.futures import ThreadPoolExecutor

from dataset.decoding import DecodedPicture, SandboxedDecoder, sniff_format
from maskloop.errors import PictureError, UnavailableError
from maskloop.settings import ServingSettings


class UnsupportedPictureError(PictureError):
    """The bytes are no JPEG, PNG or WebP."""


class DecoderPool:
    """A few decoding children, each used by one request at a time.

    Args:
        settings: ``decoders``, ``max_frames``.
        max_mpx: Larger pictures are refused before they are decoded.
    """

    def __init__(self, settings: ServingSettings, *, max_mpx: float) -> None:
        self._decoders = [
            SandboxedDecoder(max_mpx=max_mpx, max_frames=settings.max_frames)
            for _ in range(settings.decoders)
        ]
        self._free: queue.SimpleQueue[SandboxedDecoder] = queue.SimpleQueue()
        for decoder in self._decoders:
            self._free.put(decoder)
        self._threads = ThreadPoolExecutor(settings.decoders, thread_name_prefix="decoding")

    async def decode(self, data: bytes) -> DecodedPicture:
        """Decode one picture, upright.

        Raises:
            UnsupportedPictureError: if it is no JPEG, PNG or WebP.
            PictureError: if it is too large or broken.
            UnavailableError: if the pool is closed.
        """
        try:
            sniff_format(data)
        except PictureError as error:
            raise UnsupportedPictureError(error.headline) from error
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._decode, data)
        except RuntimeError as error:  # the executor is shut down
            raise UnavailableError("the service is stopping") from error

    def close(self) -> None:
        """Stop the children."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for decoder in self._decoders:
            decoder.close()

    def _decode(self, data: bytes) -> DecodedPicture:
        decoder = self._free.get()
        try:
            return decoder.open(data)
        finally:
            self._free.put(decoder)
