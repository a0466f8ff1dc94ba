"""Every error of ours has its status, its name for the figures, and words without the server's places."""

from __future__ import annotations

import pytest

from maskloop import errors
from maskloop.errors import ForbiddenError, UnauthorisedError
from serving.access.limits import RateLimitedError
from serving.answering.decoding import UnsupportedPictureError
from serving.answering.service import OutOfDistributionError
from serving.http.intake import BodyTooLargeError, ClientLeftError, SlowBodyError, UnsupportedBodyError
from serving.http.problems import PROBLEMS, headers_of, problem_of, status_of, title_of


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnauthorisedError("x"), (401, "no_valid_key")),
        (ForbiddenError("x"), (403, "forbidden")),
        (errors.RefusedError("x"), (403, "forbidden")),
        (errors.NotFoundError("x"), (404, "not_found")),
        (SlowBodyError("x"), (408, "slow_body")),
        (BodyTooLargeError("x"), (413, "too_large")),
        (UnsupportedBodyError("x"), (415, "unsupported")),
        (UnsupportedPictureError("x"), (415, "unsupported")),
        (OutOfDistributionError("x"), (422, "out_of_distribution")),
        (errors.PictureError("x"), (422, "bad_picture")),
        (errors.MaskError("x"), (422, "bad_picture")),
        (RateLimitedError("x", retry_after_s=3.2), (429, "rate_limited")),
        (ClientLeftError("x"), (499, "client_left")),
        (errors.OverloadedError("x", retry_after_s=3.2), (503, "overloaded")),
        (errors.DeadlineError("x"), (504, "deadline")),
        (errors.BusyError("x"), (503, "not_ready")),
        (errors.IntegrityError("x"), (503, "model_fails")),
        (errors.StorageError("x"), (500, "unexpected")),
        (errors.ConfigurationError("x"), (500, "unexpected")),
        (RuntimeError("x"), (500, "unexpected")),
    ],
)
def test_each_error_has_its_status_and_its_name(error: Exception, expected: tuple[int, str]) -> None:
    status = expected[0]
    assert status_of(error) == expected
    assert problem_of(error, "r1").status == status
    assert title_of(status)
    assert status == 499 or status in PROBLEMS, "an answer nobody documented"


def test_a_problem_states_cause_and_remedy_but_no_server_path() -> None:
    problem = problem_of(errors.DataError("it is empty", where="/srv/a.png", hint="send another"), "r1")
    assert problem.detail == "it is empty; send another"
    assert problem.request_id == "r1"
    hidden = problem_of(errors.StorageError("could not write /srv/a", where="/srv/a"), "r1")
    assert "/srv" not in hidden.detail


def test_whoever_may_come_back_hears_when_in_whole_seconds() -> None:
    assert headers_of(errors.OverloadedError("x", retry_after_s=3.2)) == {"Retry-After": "4"}
    assert headers_of(RateLimitedError("x", retry_after_s=1.0)) == {"Retry-After": "1"}
    assert headers_of(errors.UnavailableError("x")) == {"Retry-After": "1"}
    assert headers_of(errors.DataError("x")) == {}
    assert headers_of(UnauthorisedError("x")) == {"WWW-Authenticate": "Bearer"}
