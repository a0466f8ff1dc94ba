"""What came over the wire, as bytes of pictures: raw, as a form, or as base64 in JSON."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from maskloop.errors import DataError, MaskloopError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

Message = MutableMapping[str, Any]
_JSON: Final = 'the JSON must be {"picture": "… base64 …"}'
_HOW_TO_SEND: Final = (
    "send the picture's bytes as image/jpeg, image/png, another image/*, application/dicom or "
    "application/octet-stream, "
    "a form with the file in the field picture, or JSON with base64"
)


class BodyTooLargeError(DataError):
    """More bytes came than are accepted."""


class SlowBodyError(MaskloopError):
    """The body did not arrive in time."""


class ClientLeftError(MaskloopError):
    """Nobody reads the answer."""


class UnsupportedBodyError(DataError):
    """The content type is none we read."""


class BodyLimit:
    """ASGI middleware: a body is limited in bytes and time before it is read or kept.

    Args:
        app: What is protected.
        max_bytes: Larger bodies are refused while they arrive, and at once if they say so themselves.
        timeout_s: A body that is not complete by then is given up.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, timeout_s: float) -> None:
        self._app, self._max_bytes, self._timeout_s = app, max_bytes, timeout_s

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Pass the request on, watching its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        is_too_large = told.isdigit() and int(told) > self._max_bytes
        loop = asyncio.get_running_loop()
        ends_at, received, is_complete = loop.time() + self._timeout_s, 0, False

        async def watched() -> Message:
            nonlocal received, is_complete
            if is_complete:
                return await receive()  # waits for the client to leave
            if is_too_large:
                raise self._too_large()
            try:
                async with asyncio.timeout_at(ends_at):
                    message = await receive()
            except TimeoutError as error:
                raise SlowBodyError(f"the body did not arrive within {self._timeout_s:g} s") from error
            if message["type"] == "http.disconnect":
                raise ClientLeftError("the client left before its body was complete")
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise self._too_large()
            is_complete = not message.get("more_body", False)
            return message

        await self._app(scope, watched, send)

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"the body is larger than the {self._max_bytes / 1e6:g} MB accepted")


async def read_picture(request: Request) -> bytes:
    """Return the one picture of a request.

    Raises:
        UnsupportedBodyError: if the content type is neither a picture, a form nor JSON.
        DataError: if there is no picture in it.
        BodyTooLargeError, SlowBodyError: from the middleware.
    """
    kind = _kind_of(request)
    if kind == "multipart/form-data":
        pictures = await read_form(request, "picture", max_files=1)
        return pictures[0][1]
    body = await request.body()
    if kind == "application/json":
        return _from_json(body)
    if kind.startswith("image/") or kind in ("application/octet-stream", "application/dicom"):
        return body
    raise _unsupported(kind, _HOW_TO_SEND)


async def read_form(request: Request, field: str, *, max_files: int) -> list[tuple[str, bytes]]:
    """Return the files of a form field as (name, bytes).

    They stay in memory: the body is bounded, and request bodies must not be written to disk.

    Raises:
        UnsupportedBodyError: if this is no form.
        DataError: if it cannot be read, or has no file in that field, or too many.
    """
    if (kind := _kind_of(request)) != "multipart/form-data":
        raise _unsupported(kind, f"send a form with the field {field}")
    parser = MultiPartParser(request.headers, request.stream(), max_files=max_files, max_fields=8)
    parser.spool_max_size = sys.maxsize
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise DataError(f"the form cannot be read: {error.message}") from error
    files = [file for file in form.getlist(field) if isinstance(file, UploadFile)]
    found = [((file.filename or "picture")[:200], await file.read()) for file in files]
    await form.close()
    if not found:
        raise DataError(
            f"the form has no file in the field {field}", hint=f"curl sends one with -F {field}=@FILE"
        )
    return found


def _kind_of(request: Request) -> str:
    told = request.headers.get("content-type", "application/octet-stream")
    return told.partition(";")[0].strip().lower()


def _unsupported(kind: str, hint: str) -> UnsupportedBodyError:
    return UnsupportedBodyError(f"bodies of type {kind[:60]!r} are not read here", hint=hint)


def _from_json(body: bytes) -> bytes:
    try:
        content = json.loads(body)
        text = content["picture"] if isinstance(content, dict) else None
        if not isinstance(text, str):
            raise DataError('the JSON has no text in "picture"', hint=_JSON)
        return base64.b64decode(text, validate=True)
    except (ValueError, KeyError, RecursionError, binascii.Error) as error:
        raise DataError("the JSON cannot be read, or its text is not base64", hint=_JSON) from error
