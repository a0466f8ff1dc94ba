"""Connections bounded before anything is a request: how many, how slowly and how large their heads come.

uvicorn waits without limit for the rest of a request head and buffers all of it. Here a head has ten seconds
and 64 KiB, and so has the rest of a body that is no longer needed. Above the connection limit, requests are
marked: routes that do work refuse them, health routes still answer. Above twice the limit, connections are
closed unread.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

_PATIENCE_S: Final = 10.0
_MAX_HEAD_BYTES: Final = 64 * 1024
_REFUSAL: Final = "HTTP/1.1 {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _InOnePiece(asyncio.Transport):
    """Sends an answer's head together with what follows it: each write would wake the client."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport, self._held = transport, b""
        self.is_holding = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        """Send what was held and this, or hold it too."""
        self._held += data
        if not self.is_holding:
            self.flush()

    def flush(self) -> None:
        """Send what was held."""
        if self._held:
            self._transport.write(self._held)
            self._held = b""

    def close(self) -> None:
        """Send what was held, and close."""
        self.flush()
        self._transport.close()


class GuardedProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        max_connections: Beyond it requests are marked ``is_over_capacity``.
        patience_s: For a head, or for the rest of a body that was answered already.
        arguments: What uvicorn gives.
    """

    def __init__(self, *, max_connections: int, patience_s: float = _PATIENCE_S, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._max_connections, self._patience_s = max_connections, patience_s
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_in_body = False
        self.app = partial(self._answer_whole, self.app)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._answers = _InOnePiece(transport)
        if len(self.connections) > 2 * self._max_connections:
            transport.abort()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hand bytes on, unless a head becomes too large."""
        if not self._is_in_body:
            self._head_bytes += len(data)
            self._wait()
        super().data_received(data)
        if not self._is_in_body and self._head_bytes > _MAX_HEAD_BYTES:
            self._refuse("431 Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._stop_waiting()
        self._head_bytes, self._is_in_body = 0, True
        is_over_capacity = len(self.connections) > self._max_connections
        self.scope["state"]["is_over_capacity"] = is_over_capacity
        super().on_headers_complete()
        self.cycle.transport = self._answers
        if is_over_capacity:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """End a request's body."""
        self._stop_waiting()
        self._is_in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Read the rest of a body, for a limited time."""
        self._answers.flush()
        super().on_response_complete()
        if self._is_in_body and self.cycle.response_complete:
            self._wait()

    async def _answer_whole(self, app: ASGI3Application, scope: Any, receive: Any, send: Any) -> None:
        async def whole(message: Any) -> None:
            self._answers.is_holding = message["type"] == "http.response.start"
            await send(message)

        await app(scope, receive, whole)

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._patience_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if self._head_bytes:
            self._refuse("408 Request Timeout")
        else:
            self.transport.abort()

    def _refuse(self, status: str) -> None:
        if self.cycle and not self.cycle.response_complete:  # an answer is under way on this connection
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.write(_REFUSAL.format(status).encode())
            self.transport.close()
