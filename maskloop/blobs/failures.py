"""What S3 refuses, in plain words and with an exit code that says whether to try again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from maskloop.errors import AccessError, ConfigurationError, MaskloopError, StorageError, UnavailableError

_AGAIN: Final = "and run the same command again"


@dataclass(frozen=True)
class _Failure:
    """What S3's codes, and the names of Python's errors, mean. ``{said}`` stands for the message."""

    codes: frozenset[str]
    kind: type[MaskloopError]
    headline: str
    hint: str


def _failure(codes: str, kind: type[MaskloopError], headline: str, hint: str) -> _Failure:
    return _Failure(frozenset(codes.split()), kind, headline, hint)


_FAILURES: Final = (
    _failure(
        "ExpiredToken ExpiredTokenException TokenRefreshRequired RequestExpired",
        ConfigurationError,
        "the credentials for S3 have expired",
        f"Renew them (`aws sso login`, or a new session token), {_AGAIN}; nothing was lost",
    ),
    _failure(
        "NoCredentialsError PartialCredentialsError ProfileNotFound TokenRetrievalError",
        ConfigurationError,
        "there are no credentials for S3",
        "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role",
    ),
    _failure(
        "InvalidAccessKeyId SignatureDoesNotMatch InvalidToken InvalidSecurity",
        ConfigurationError,
        "S3 does not know these credentials",
        f"Compare AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY with the store's, {_AGAIN}",
    ),
    _failure(
        "RequestTimeTooSkewed",
        ConfigurationError,
        "this machine's clock is wrong: S3 refuses its requests",
        f"Set the clock, for example by NTP, {_AGAIN}",
    ),
    _failure(
        "NoSuchBucket InvalidBucketName ParamValidationError PermanentRedirect 301",
        ConfigurationError,
        "there is no such bucket, or it is in another region",
        f"Create the bucket, or correct the address and AWS_REGION, {_AGAIN}",
    ),
    _failure(
        "AccessDenied AllAccessDisabled AccountProblem 403",
        AccessError,
        "S3 forbids it to this user",
        "Grant s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject, s3:DeleteObject on its objects",
    ),
    _failure(
        "QuotaExceeded XMinioStorageFull InsufficientStorage 507",
        StorageError,
        "the store is full",
        f"Free some space there or raise the quota, {_AGAIN}",
    ),
    _failure(
        "EndpointConnectionError ConnectTimeoutError ReadTimeoutError ConnectionClosedError ConnectionError "
        "HTTPClientError ResponseStreamingError TimeoutError ClientConnectorError FSTimeoutError "
        "IncompleteRead ClientPayloadError",
        UnavailableError,
        "S3 does not answer: {said}",
        f"See whether AWS_ENDPOINT_URL_S3 is right and the store runs, {_AGAIN}",
    ),
    _failure(
        "SlowDown ServiceUnavailable InternalError RequestTimeout 500 502 503 504",
        UnavailableError,
        "S3 is busy: {said}",
        "Run the same command again later",
    ),
)
"""The first that fits counts: a full store answers with the status of a busy one."""


def explain_s3(error: BaseException, where: str) -> MaskloopError:
    """Say in plain words why a bucket cannot be used.

    Args:
        error: What s3fs or botocore raised.
        where: The address of the bucket and prefix.
    """
    codes, said = read_causes(error)
    return name_s3_failure(codes, said, where) or StorageError(f"S3 refuses: {said}", where=where)


def name_s3_failure(codes: frozenset[str], said: str, where: str) -> MaskloopError | None:
    """Return the error for what S3 and its client call a failure; None for one that is not known.

    Args:
        codes: S3's codes and the names of Python's errors, the causes included.
        said: The message.
        where: The address of the bucket and prefix.
    """
    for failure in _FAILURES:
        if codes & failure.codes:
            return failure.kind(failure.headline.format(said=said), where=where, hint=failure.hint)
    return None


def read_causes(error: BaseException) -> tuple[frozenset[str], str]:
    """Return what an error and its causes are called, and the message of the innermost."""
    codes: list[str] = []
    said, cause = "", error
    while cause is not None:
        codes += [kind.__name__ for kind in type(cause).__mro__]
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            codes.append(str(response.get("Error", {}).get("Code", "")))
            codes.append(str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")))
        said = str(cause).partition("\n")[0] or said
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]
    return frozenset(codes), said
