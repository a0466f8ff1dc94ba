"""The second process: sends pictures as a plan says, and writes what it saw to standard output as JSON.

It costs little (about 0.1 ms of one core for a request), because it shares the cores with what it measures:
plain sockets, httptools for the answers, nothing looked at before the end. A request's time goes from its
first byte on the socket (in an open loop: from when it was due) to the last of its answer.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path

import httptools

from benchmarks.serving.plans import HOST, Plan, Sent

_PAUSE_S = 0.2


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self.is_open = True
        self.status, self.headers, self._body = 0, dict[str, str](), b""
        self.sent_s = self.answered_s = 0.0
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._answer and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed before the answer"))

    def data_received(self, data: bytes) -> None:
        self.answered_s = time.monotonic()
        self._parser.feed_data(data)

    async def ask(self, message: bytes, timeout_s: float) -> bytes:
        """Send a request and return the answer's body. Raises OSError if the connection breaks."""
        assert self._transport
        self._parser = httptools.HttpResponseParser(self)
        self.headers, self._body = {}, b""
        self._answer = asyncio.get_running_loop().create_future()
        self.sent_s = time.monotonic()
        self._transport.write(message)
        async with asyncio.timeout(timeout_s):
            return await self._answer

    def close(self) -> None:
        """Leave."""
        self.is_open = False
        if self._transport:
            self._transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.is_open = self.is_open and self._parser.should_keep_alive()
        if self._answer and not self._answer.done():
            self._answer.set_result(self._body)


class Sender:
    """Sends the plan's pictures over connections that are kept as long as they last."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        files = sorted(file for file in Path(plan.pictures).iterdir() if file.is_file())
        self._messages = [_make_message(plan, file) for file in files]
        self._free: list[Connection] = []
        self.requests: list[Sent] = []

    async def closed_loop(self) -> None:
        """Let every client send its next picture when it has the answer to the last."""
        ends_s = time.monotonic() + self._plan.seconds

        async def client(number: int) -> None:
            picture = number
            while time.monotonic() < ends_s:
                if self._plan.pause_s:
                    await asyncio.sleep(self._plan.pause_s)
                await self.send(picture % len(self._messages), None)
                picture += self._plan.clients

        await asyncio.gather(*map(client, range(self._plan.clients)))

    async def open_loop(self) -> None:
        """Send at a fixed rate, whether answers come or not."""
        start_s, tasks = time.monotonic(), []
        for number in range(int(self._plan.rate * self._plan.seconds)):
            due_s = start_s + number / self._plan.rate
            if (early_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(early_s)
            tasks.append(asyncio.create_task(self.send(number % len(self._messages), due_s)))
        await asyncio.gather(*tasks)

    async def send(self, picture: int, due_s: float | None) -> None:
        """Send one picture until there is an answer, or no attempt is left.

        Args:
            picture: Its number.
            due_s: When it should have been sent; None for as soon as it is ready.
        """
        message = self._messages[picture](uuid.uuid4().hex)
        trouble, begun_s = "", time.monotonic()
        for attempt in range(1, self._plan.attempts + 1):
            if attempt > 1:
                await asyncio.sleep(_PAUSE_S)
            try:
                connection, body = await self._attempt(message)
            except (OSError, TimeoutError, httptools.HttpParserError) as error:
                trouble = f"{type(error).__name__}: {error}"
                continue
            since_s = due_s or (connection.sent_s if attempt == 1 else begun_s)
            retry_after = connection.headers.get("retry-after", "")
            self.requests.append(
                Sent(
                    picture,
                    since_s,
                    connection.answered_s,
                    connection.status,
                    attempt,
                    retry_after,
                    body.decode(),
                    trouble,
                )
            )
            return
        lost_s = time.monotonic()
        self.requests.append(Sent(picture, due_s or begun_s, lost_s, 0, self._plan.attempts, "", "", trouble))

    def close(self) -> None:
        """Leave."""
        for connection in self._free:
            connection.close()

    async def _attempt(self, message: bytes) -> tuple[Connection, bytes]:
        connection = await self._take_connection()
        try:
            body = await connection.ask(message, self._plan.timeout_s)
        except BaseException:
            connection.close()
            raise
        if self._plan.fresh_connections or not connection.is_open:
            connection.close()
        else:
            self._free.append(connection)
        return connection, body

    async def _take_connection(self) -> Connection:
        while self._free:
            if (connection := self._free.pop()).is_open:
                return connection
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._plan.timeout_s):
            _, connection = await loop.create_connection(Connection, HOST, self._plan.port)
        return connection


def _make_message(plan: Plan, file: Path) -> Callable[[str], bytes]:
    """Return what makes a request of one picture, given its id."""
    kind, body = _wrap(plan, file)
    leave = "Connection: close\r\n" if plan.fresh_connections else ""
    head = (
        f"POST {plan.path} HTTP/1.1\r\nHost: {HOST}:{plan.port}\r\n{leave}"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nX-Request-Id: "
    )
    return lambda request_id: f"{head}{request_id}\r\n\r\n".encode() + body


def _wrap(plan: Plan, file: Path) -> tuple[str, bytes]:
    data = file.read_bytes()
    text = base64.b64encode(data).decode()
    match plan.body:
        case "raw":
            return "image/png" if file.suffix == ".png" else "image/jpeg", data
        case "json":
            return "application/json", json.dumps({"picture": text}).encode()
        case "json list":
            return "application/json", json.dumps({"pictures": [text]}).encode()


async def _run(plan: Plan) -> tuple[float, Sequence[Sent]]:
    sender = Sender(plan)
    start_s = time.monotonic()
    await (sender.open_loop() if plan.rate else sender.closed_loop())
    sender.close()
    return start_s, sender.requests


def main() -> None:
    """Run the plan of the first argument."""
    plan = Plan(**json.loads(sys.argv[1]))
    gc.disable()  # a pause of the client would look like one of the service
    start_s, requests = asyncio.run(_run(plan))
    json.dump({"start_s": start_s, "requests": [astuple(one) for one in requests]}, sys.stdout)


if __name__ == "__main__":
    main()
