"""Bodies are bounded in bytes and in time, whatever they claim and however slowly they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.http.intake import BodyLimit, BodyTooLargeError, ClientLeftError, SlowBodyError
from tests.fakes.service_world import PNG, ServiceWorld

Message = MutableMapping[str, Any]


async def receive_all(
    chunks: list[bytes], *, max_bytes: int, headers: list[tuple[bytes, bytes]] | None = None
) -> tuple[bytes, int]:
    """Read a body through the limit; return it and how many chunks were looked at."""
    sent = [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks) - 1}
        for number, chunk in enumerate(chunks)
    ]
    looked_at, body = 0, b""

    async def receive() -> Message:
        nonlocal looked_at
        looked_at += 1
        return sent[looked_at - 1]

    async def read(_scope: Any, receive: Any, _send: Any) -> None:
        nonlocal body
        more = True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]

    scope = {"type": "http", "headers": headers or []}
    await BodyLimit(read, max_bytes=max_bytes, timeout_s=5.0)(scope, receive, None)  # type: ignore[arg-type]
    return body, looked_at


@settings(max_examples=50, deadline=None)
@given(chunks=st.lists(st.binary(max_size=20), min_size=1, max_size=10), max_bytes=st.integers(0, 100))
def test_a_body_passes_whole_or_is_refused_at_the_byte_too_many(chunks: list[bytes], max_bytes: int) -> None:
    body = b"".join(chunks)
    if len(body) <= max_bytes:
        assert asyncio.run(receive_all(chunks, max_bytes=max_bytes))[0] == body
    else:
        with pytest.raises(BodyTooLargeError):
            asyncio.run(receive_all(chunks, max_bytes=max_bytes))


def test_a_body_whose_declared_length_is_too_large_is_refused_unread() -> None:
    with pytest.raises(BodyTooLargeError):
        asyncio.run(receive_all([], max_bytes=10, headers=[(b"content-length", b"11")]))


@pytest.mark.parametrize("claim", [b"3", b"-1", b"ten", b"", b"\xff"])
def test_what_a_body_claims_does_not_help_it(claim: bytes) -> None:
    with pytest.raises(BodyTooLargeError):
        asyncio.run(receive_all([b"12345678901"], max_bytes=10, headers=[(b"content-length", claim)]))


@pytest.mark.parametrize(("ending", "error"), [("silence", SlowBodyError), ("goodbye", ClientLeftError)])
def test_a_body_that_never_ends_is_cut_off(ending: str, error: type[Exception]) -> None:
    async def receive() -> Message:
        if ending == "silence":
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def read(_scope: Any, receive: Any, _send: Any) -> None:
        await receive()

    limit = BodyLimit(read, max_bytes=10, timeout_s=0.01)
    with pytest.raises(error):
        asyncio.run(limit({"type": "http", "headers": []}, receive, None))  # type: ignore[arg-type]


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


FORM = b'--a\r\nContent-Disposition: form-data; name="pictures"; filename="a"\r\n\r\n'


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/predict", "image/png"),
        ("/v1/predict", "application/json"),
        ("/v1/predict", "multipart/form-data; boundary=a"),
        ("/v1/predict/batch", "multipart/form-data; boundary=a"),
        ("/v1/overlay", "image/png"),
        ("/v1/feedback", "application/json"),
    ],
)
def test_too_large_is_413_on_every_route_with_a_length_or_without(
    tmp_path: Path, path: str, kind: str
) -> None:
    world = ServiceWorld(tmp_path, max_body_mb=0.01)
    headers = {"Content-Type": kind}

    async def story(client: httpx.AsyncClient) -> list[httpx.Response]:
        body = FORM + b"x" * 11_000
        return [
            await client.post(path, content=body, headers=headers),
            await client.post(path, content=in_pieces(body), headers=headers),
        ]

    for answer in world.run(story):
        assert answer.status_code == 413
        assert "larger than the 0.01 MB" in answer.json()["detail"]


def test_a_picture_in_pieces_without_a_length_is_answered(world: ServiceWorld) -> None:
    async def story(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/v1/predict", content=in_pieces(PNG))

    assert world.run(story).status_code == 200


def test_a_form_never_touches_the_disk(world: ServiceWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starlette would write files of a megabyte and more to a temporary folder."""

    def refuse(*_arguments: Any, **_options: Any) -> Any:
        raise AssertionError("a picture was written to disk")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    large = PNG + b"\0" * 2_000_000
    answer = world.post(files={"picture": ("a.png", large)})
    assert answer.status_code == 200
