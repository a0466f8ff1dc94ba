"""Our errors as HTTP answers (RFC 9457): a status, plain words, and when to come back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from maskloop.errors import (
    DataError,
    DeadlineError,
    ForbiddenError,
    IntegrityError,
    MaskloopError,
    NotFoundError,
    OverloadedError,
    RefusedError,
    UnauthorisedError,
    UnavailableError,
)
from serving.access.limits import RateLimitedError
from serving.answering.decoding import UnsupportedPictureError
from serving.answering.service import OutOfDistributionError
from serving.http.intake import BodyTooLargeError, ClientLeftError, SlowBodyError, UnsupportedBodyError
from serving.residency.memory import QuotaError
from serving.schemas import Asked, FeedbackRequest, Problem


class BadRequestError(DataError):
    """A parameter is missing or wrong."""


class UnknownHostError(DataError):
    """The request is meant for another service."""


_STATUSES: Final[tuple[tuple[type[MaskloopError], int, str], ...]] = (
    (UnknownHostError, 400, "unknown_host"),
    (UnauthorisedError, 401, "no_valid_key"),
    (ForbiddenError, 403, "forbidden"),
    (RefusedError, 403, "forbidden"),
    (NotFoundError, 404, "not_found"),
    (SlowBodyError, 408, "slow_body"),
    (BodyTooLargeError, 413, "too_large"),
    (UnsupportedBodyError, 415, "unsupported"),
    (UnsupportedPictureError, 415, "unsupported"),
    (OutOfDistributionError, 422, "out_of_distribution"),
    (BadRequestError, 422, "bad_request"),
    (DataError, 422, "bad_picture"),
    (QuotaError, 429, "quota"),
    (RateLimitedError, 429, "rate_limited"),
    (ClientLeftError, 499, "client_left"),
    (OverloadedError, 503, "overloaded"),
    (DeadlineError, 504, "deadline"),
    (UnavailableError, 503, "not_ready"),
    (IntegrityError, 503, "model_fails"),
)
"""The first that fits counts."""


def refuse_parameter(error: Mapping[str, Any]) -> BadRequestError:
    """Return pydantic's word about a parameter as an error of ours. The first part of ``loc`` says where."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] != "extra_forbidden":
        return BadRequestError(f"{place}: {error['msg']}")
    known = Asked if error["loc"][0] == "query" else FeedbackRequest
    hint = f"the parameters are {', '.join(known.model_fields)}"
    return BadRequestError(f"{place}: there is no such parameter", hint=hint)


def status_of(error: Exception) -> tuple[int, str]:
    """Return the HTTP status of an error and its short name for the metrics."""
    for kind, status, cause in _STATUSES:
        if isinstance(error, kind):
            return status, cause
    return 500, "unexpected"


def problem_of(error: Exception, request_id: str) -> Problem:
    """Say an error in plain words.

    ``where`` is left out because clients must not see the server's paths. Errors that are unrelated to the
    request are hidden entirely.
    """
    status, _ = status_of(error)
    if status == 500 or not isinstance(error, MaskloopError):
        detail = "something unexpected happened; the service's log says what"
    else:
        detail = f"{error.headline}; {error.hint}" if error.hint else error.headline
    return Problem(title=title_of(status), status=status, detail=detail, request_id=request_id)


def title_of(status: int) -> str:
    """Return a status in words."""
    return "Client Closed Request" if status == 499 else HTTPStatus(status).phrase


def headers_of(error: Exception) -> dict[str, str]:
    """Return what helps a client to do better."""
    status, _ = status_of(error)
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    if status in (429, 503):
        wait_s = error.retry_after_s if isinstance(error, OverloadedError) else 1.0
        return {"Retry-After": str(math.ceil(wait_s))}
    return {}


def _document(status: int, description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    documented: dict[str, Any] = {
        "description": description,
        "content": {"application/problem+json": {"schema": schema}},
    }
    if status in (429, 503):
        documented["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return documented


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: _document(status, description)
    for status, description in {
        400: "The request cannot be read.",
        401: "An API key is needed, or this one is not valid.",
        403: "This key may not do this.",
        404: "There is no such thing.",
        408: "The body did not arrive in time.",
        413: "The body is too large.",
        415: "This is no JPEG, PNG or WebP picture.",
        422: "The picture cannot be used, or a parameter is wrong.",
        429: "Too many requests; Retry-After says when to come back.",
        500: "Something unexpected happened.",
        503: "Overloaded or not ready; Retry-After says when to come back.",
        504: "There was no answer in time.",
    }.items()
}
