"""What S3 refuses, in plain words and with an exit code that says whether to try again."""

from __future__ import annotations

from typing import Final

from maskloop.errors import AccessError, ConfigurationError, MaskloopError, StorageError, UnavailableError

_EXPIRED: Final = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")
_UNKNOWN_KEY: Final = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidSecurity")
_NO_KEY: Final = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError")
_SKEWED: Final = ("RequestTimeTooSkewed",)
_FORBIDDEN: Final = ("AccessDenied", "AllAccessDisabled", "AccountProblem", "403")
_NO_BUCKET: Final = ("NoSuchBucket", "InvalidBucketName", "ParamValidationError", "PermanentRedirect", "301")
_FULL: Final = ("QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507", "EntityTooLarge")
_BUSY: Final = (
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "500",
    "502",
    "503",
    "504",
)
_AWAY: Final = (
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ConnectionClosedError",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "HTTPClientError",
    "ProxyConnectionError",
    "ResponseStreamingError",
    "SSLError",
    "TimeoutError",
    "ClientConnectorError",
    "FSTimeoutError",
    "IncompleteRead",
    "ClientPayloadError",
)
_AGAIN: Final = "and run the same command again"


def explain_s3(error: BaseException, where: str) -> MaskloopError:
    """Say in plain words why a bucket cannot be used.

    Args:
        error: What s3fs or botocore raised.
        where: The address of the bucket and prefix.
    """
    codes, said = read_causes(error)
    return name_s3_failure(codes, said, where)


def name_s3_failure(codes: frozenset[str], said: str, where: str) -> MaskloopError:
    """Return the error for what S3 and its client call a failure.

    Args:
        codes: S3's codes and the names of Python's errors, the causes included.
        said: The message.
        where: The address of the bucket and prefix.
    """
    if codes & {*_EXPIRED}:
        hint = f"Renew them (`aws sso login`, or a new session token), {_AGAIN}; nothing was lost"
        return ConfigurationError("the credentials for S3 have expired", where=where, hint=hint)
    if codes & {*_NO_KEY}:
        hint = "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        return ConfigurationError("there are no credentials for S3", where=where, hint=hint)
    if codes & {*_UNKNOWN_KEY}:
        hint = f"Compare AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY with the store's, {_AGAIN}"
        return ConfigurationError("S3 does not know these credentials", where=where, hint=hint)
    if codes & {*_SKEWED}:
        hint = f"Set the clock, for example by NTP, {_AGAIN}"
        return ConfigurationError(
            "this machine's clock is wrong: S3 refuses its requests", where=where, hint=hint
        )
    if codes & {*_NO_BUCKET}:
        hint = f"Create the bucket, or correct the address and AWS_REGION, {_AGAIN}"
        return ConfigurationError(
            "there is no such bucket, or it is in another region", where=where, hint=hint
        )
    if codes & {*_FORBIDDEN}:
        hint = "Grant s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects"
        return AccessError("S3 forbids it to this user", where=where, hint=hint)
    if codes & {*_FULL}:
        hint = f"Free some space there or raise the quota, {_AGAIN}"
        return StorageError("the store is full", where=where, hint=hint)
    if codes & {*_AWAY}:
        hint = f"See whether AWS_ENDPOINT_URL_S3 is right and the store runs, {_AGAIN}"
        return UnavailableError(f"S3 does not answer: {said}", where=where, hint=hint)
    if codes & {*_BUSY}:
        return UnavailableError(f"S3 is busy: {said}", where=where, hint="Run the same command again later")
    return StorageError(f"S3 refuses: {said}", where=where)


def read_causes(error: BaseException) -> tuple[frozenset[str], str]:
    """Return what an error and its causes are called, and the message of the innermost."""
    codes, said, cause = [], "", error
    while cause is not None:
        codes += [kind.__name__ for kind in type(cause).__mro__]
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            told = response.get("Error", {})
            codes += [str(told.get("Code", ""))]
            codes += [str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))]
        said = str(cause).partition("\n")[0] or said
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]
    return frozenset(codes), said
