"""`dataset.pictures.sandbox` for an event loop: no thread waits for the child."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from dataset.pictures.decoding import DecodedPicture, sniff_format
from dataset.pictures.sandbox import ANSWER, Child, ChildAnswer, DecodingLimits, name_failure, to_refusal
from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from maskloop.errors import MaskloopError, PictureError

_CHUNK_BYTES: Final = 2**16
_LARGE_BYTES: Final = 2**22
"""More than an event loop should copy itself."""


class AsyncSandboxedDecoder:
    """Does what `SandboxedDecoder` does. Belongs to one event loop, and decodes one picture at a time.

    Args:
        limits: What a child may use.
    """

    def __init__(self, limits: DecodingLimits) -> None:
        self._limits = limits
        self._child: Child | None = None
        self._asked: _Asked | None = None

    @property
    def is_running(self) -> bool:
        """A child is there and lives."""
        return self._child is not None and self._child.is_running

    async def open(self, data: bytes, conversion: PictureConversion = DEFAULT_CONVERSION) -> DecodedPicture:
        """Do what `ask` does, starting a child if none lives. Raises PictureError, UnavailableError."""
        await self.start()
        return await self.ask(data, lambda: None, conversion)

    async def start(self) -> None:
        """Start the child if none lives, so that no picture waits for that."""
        if not self.is_running:
            await self.close()
            self._child = await asyncio.to_thread(Child, self._limits)
            asyncio.get_running_loop().add_reader(self._child.socket, self._hear, self._child)

    def ask(
        self,
        data: bytes,
        when_over: Callable[[], None],
        conversion: PictureConversion = DEFAULT_CONVERSION,
    ) -> asyncio.Future[DecodedPicture]:
        """Decode a picture in the child, which must be running, as `open_picture` does.

        Args:
            data: The file's bytes.
            when_over: Called when the next picture may be asked for. That may be after the future was
                cancelled: the child is heard to the end, or its answer would be taken for the next one's.
            conversion: How values that are no 8-bit RGB become it.

        Returns a future that may raise PictureError, or UnavailableError if the child does not answer.
        """
        assert self._child  # noqa: S101 - it runs
        loop, child = asyncio.get_running_loop(), self._child
        self._asked = asked = _Asked(
            sniff_format(data)[1],
            loop.create_future(),
            when_over,
            loop.call_later(self._limits.timeout_s, self._fail, child, TimeoutError()),
        )
        try:
            child.socket.send(child.put(data, conversion))
        except PictureError as error:
            self._end(error)
        except OSError as error:
            self._fail(child, error)
        return asked.picture

    async def close(self) -> None:
        """Stop the child. `start` starts another."""
        if self._asked:
            self._end(PictureError("the decoder was closed"))
        if self._child:
            await asyncio.to_thread(self._let_go(self._child).stop)

    def _hear(self, child: Child) -> None:
        try:
            heard = child.socket.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(child, error)
            return
        asked = self._asked
        if not heard or not asked:
            self._fail(child, EOFError("the child has ended, or speaks unasked"))
            return
        asked.heard += heard
        if len(asked.heard) < ANSWER.size:
            return
        answer, reason = ChildAnswer(*ANSWER.unpack_from(asked.heard)), asked.heard[ANSWER.size :]
        if len(reason) < answer.num_bytes:
            return
        if reason:
            self._end(to_refusal(reason))
            return
        take = partial(child.take, answer, asked.extension)
        if answer.num_pixel_bytes + answer.num_stored_bytes > _LARGE_BYTES:
            copying = asyncio.get_running_loop().run_in_executor(None, take)
            copying.add_done_callback(lambda copied: self._settle(child, copied.result))
        else:
            self._settle(child, take)

    def _settle(self, child: Child, take: Callable[[], DecodedPicture]) -> None:
        if child is not self._child:  # it has failed meanwhile
            return
        try:
            picture = take()
        except EOFError as error:
            self._fail(child, error)
        else:
            self._end(picture)

    def _fail(self, child: Child, error: Exception) -> None:
        failure = self._let_go(child).failed(error)
        if self._asked:
            named = name_failure(failure, self._limits)
            named.__cause__ = error
            self._end(named)

    def _let_go(self, child: Child) -> Child:
        self._child = None
        asyncio.get_running_loop().remove_reader(child.socket)
        return child

    def _end(self, outcome: DecodedPicture | MaskloopError) -> None:
        asked, self._asked = self._asked, None
        assert asked  # noqa: S101 - nothing ends twice
        asked.timer.cancel()
        asked.when_over()
        if asked.picture.cancelled():
            return
        if isinstance(outcome, MaskloopError):
            asked.picture.set_exception(outcome)
        else:
            asked.picture.set_result(outcome)


@dataclass(eq=False)
class _Asked:
    """The picture that is with the child."""

    extension: str
    picture: asyncio.Future[DecodedPicture]
    when_over: Callable[[], None]
    timer: asyncio.TimerHandle
    heard: bytearray = field(default_factory=bytearray)
