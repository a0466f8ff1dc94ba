"""A client in Python for the service: typed answers, errors in plain words, and patience.

A request that fails because of a broken connection or a busy service is sent again with the same id, which
counts once. So a dead worker, a restart or a load peak costs time, not answers.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, TypedDict, TypeVar, Unpack
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from maskloop.errors import (
    DataError,
    DeadlineError,
    ForbiddenError,
    MaskloopError,
    NotFoundError,
    OverloadedError,
    PictureError,
    UnauthorisedError,
    UnavailableError,
)
from serving.schemas import (
    BatchAnswer,
    FeedbackAnswer,
    FeedbackRequest,
    MaskFormat,
    Message,
    ModelAnswer,
    ModelsAnswer,
    PredictAnswer,
    Problem,
)

_Answer = TypeVar("_Answer", bound=Message)
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 10.0
_BYTES: Final = {"Content-Type": "application/octet-stream"}
_BROKEN: Final = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout)
_ERRORS: Final[dict[int, type[MaskloopError]]] = {
    401: UnauthorisedError,
    403: ForbiddenError,
    404: NotFoundError,
    413: PictureError,
    415: PictureError,
    422: DataError,
    504: DeadlineError,
}


class PredictOptions(TypedDict, total=False):
    """The parameters of a prediction; the service's documentation says more about each.

    ``request_id`` names the answer; ``sticky_key`` keeps a client with one model during a rollout.
    """

    masks: MaskFormat
    min_score: float
    max_instances: int
    tile_px: int
    tile_overlap_px: int
    source: str
    request_id: str
    sticky_key: str


class Client:
    """Talks to one service. Use it as a context manager, or close it. Safe to use from several threads.

    Args:
        url: Where the service is, such as ``http://127.0.0.1:8080``.
        key: An API key, if the service asks for one.
        model: Of several models of the service, by its name there; empty: the first one.
        timeout_s: For one attempt.
        attempts: How often a request is sent before it is given up.
        transport: Instead of the network, for tests.
        pause: Waits between attempts, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        model: str = "",
        timeout_s: float = 60.0,
        attempts: int = 6,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._below = f"/v1/models/{quote(model, safe='')}" if model else "/v1"
        self._url, self._attempts, self._pause = url, attempts, pause
        try:
            self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, transport=transport)
        except (httpx.InvalidURL, ValueError) as error:
            raise DataError("this is no address of a service", where=url) from error

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(self, picture: bytes | Path, **options: Unpack[PredictOptions]) -> PredictAnswer:
        """Find the instances in one picture (JPEG, PNG, WebP).

        Raises:
            PictureError: if the service does not take the picture.
            DataError: if a parameter is wrong, or the picture is unlike everything the model knows.
            UnauthorisedError, ForbiddenError: if the key is missing, not valid, or may not do this.
            OverloadedError: if the service is too busy, or not ready, after every attempt.
            UnavailableError: if it cannot be reached, or does not answer in time.
        """
        response = self._send("POST", self._at("predict"), options, content=_read(picture), headers=_BYTES)
        return _parse(response, PredictAnswer)

    def predict_batch(
        self, pictures: Sequence[bytes | Path], **options: Unpack[PredictOptions]
    ) -> BatchAnswer:
        """Find the instances in several pictures; each has an answer or a problem. Raises as `predict`."""
        files = [
            ("pictures", (one.name if isinstance(one, Path) else f"{number}", _read(one)))
            for number, one in enumerate(pictures)
        ]
        response = self._send("POST", self._at("predict/batch"), options, files=files)
        return _parse(response, BatchAnswer)

    def overlay(self, picture: bytes | Path, **options: Unpack[PredictOptions]) -> bytes:
        """Return a PNG of the picture with what was found drawn on it. Raises as `predict`."""
        response = self._send("POST", self._at("overlay"), options, content=_read(picture), headers=_BYTES)
        return response.content

    def feedback(
        self,
        request_id: str,
        verdict: Literal["right", "wrong"],
        *,
        instances: Sequence[dict[str, Any]] | None = None,
        note: str = "",
    ) -> FeedbackAnswer:
        """Say whether an answer was right, or what should have been there (``class_name`` and ``mask``).

        Raises:
            NotFoundError: if no such answer was kept.
            DataError: if a class or mask cannot be used; and the others of `predict`.
        """
        try:
            said = FeedbackRequest.model_validate(
                {"request_id": request_id, "verdict": verdict, "instances": instances, "note": note}
            )
        except ValidationError as error:
            raise DataError(f"this is no feedback: {error.errors()[0]['msg']}") from error
        response = self._send("POST", self._at("feedback"), {}, json=said.model_dump(mode="json"))
        return _parse(response, FeedbackAnswer)

    def model(self) -> ModelAnswer:
        """Say which model serves, and what it knows. Raises as `predict`."""
        return _parse(self._send("GET", self._at("model"), {}), ModelAnswer)

    def _at(self, route: str) -> str:
        return f"{self._below}/{route}"

    def models(self) -> ModelsAnswer:
        """List the models of the service, each with its state. Raises as `predict`."""
        return _parse(self._send("GET", "/v1/models", {}), ModelsAnswer)

    def _send(self, method: str, path: str, options: PredictOptions, **content: Any) -> httpx.Response:
        """Send a request until it is answered, or not worth another attempt. Raises what `predict` does."""
        headers = {
            "X-Request-Id": options.get("request_id") or uuid.uuid4().hex,
            **({"X-Sticky-Key": options["sticky_key"]} if "sticky_key" in options else {}),
            **content.pop("headers", {}),
        }
        query: dict[str, Any] = {
            name: value for name, value in options.items() if name not in ("request_id", "sticky_key")
        }
        trouble: MaskloopError = DeadlineError("not even one attempt was made")
        for attempt in range(self._attempts):
            if attempt:
                self._pause(_choose_pause_s(attempt, trouble))
            try:
                request = self._http.build_request(method, path, params=query, headers=headers, **content)
                response = self._http.send(request)
            except _BROKEN as error:
                trouble = UnavailableError(
                    f"the service cannot be reached: {error}", where=self._url, hint="does it run?"
                )
                continue
            except httpx.TimeoutException as error:
                raise UnavailableError("the service did not answer in time", where=self._url) from error
            except httpx.HTTPError as error:
                raise UnavailableError(f"the service cannot be asked: {error}", where=self._url) from error
            if response.is_success:
                return response
            trouble = _error_of(response)
            if not isinstance(trouble, OverloadedError):
                raise trouble
        raise trouble


def _choose_pause_s(attempt: int, trouble: MaskloopError) -> float:
    """Wait as long as the service asks for, else longer each time; never all clients at once."""
    if isinstance(trouble, OverloadedError):
        wait_s = trouble.retry_after_s
    else:
        wait_s = _FIRST_PAUSE_S * 2 ** (attempt - 1)
    return min(wait_s, _LONGEST_PAUSE_S) * random.uniform(1.0, 1.3)  # noqa: S311 - nothing to guess here


def _error_of(response: httpx.Response) -> MaskloopError:
    status = response.status_code
    try:
        problem = Problem.model_validate_json(response.content)
        what = f"{problem.detail} [request {problem.request_id}]"
    except ValidationError:
        what = f"the service answered {status}"
    where = str(response.request.url.copy_with(query=None))
    if status in (429, 503):
        retry_after = response.headers.get("retry-after", "")
        return OverloadedError(what, retry_after_s=float(retry_after) if retry_after.isdigit() else 1.0)
    return _ERRORS.get(status, UnavailableError if status >= 500 else DataError)(what, where=where)


def _parse(response: httpx.Response, kind: type[_Answer]) -> _Answer:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        where = str(response.request.url.copy_with(query=None))
        raise DataError("this is no answer of a maskloop service", where=where) from error


def _read(picture: bytes | Path) -> bytes:
    if isinstance(picture, bytes):
        return picture
    try:
        return picture.read_bytes()
    except OSError as error:
        raise PictureError(f"the picture cannot be read: {error.strerror}", where=str(picture)) from error
