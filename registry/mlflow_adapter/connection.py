"""How MLflow is called: bounded in time, and with our errors instead of its."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import requests

from maskloop.errors import MaskloopError, NotFoundError, RefusedError, StorageError, UnavailableError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LIMITS: Final = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""MLflow's own limits keep a caller waiting for minutes. Whoever sets one of these keeps it."""
_ABSENT: Final = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
_BUSY: Final = ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "RESOURCE_EXHAUSTED", "REQUEST_LIMIT_EXCEEDED")
_DELETED: Final = re.compile(r"The (run|experiment) (\w+) must be in the 'active' state")
_RESTORE: Final = {"run": "runs restore --run-id", "experiment": "experiments restore --experiment-id"}
_NO_ANSWER: Final = ("Max retries exceeded", "Connection", "timed out", "database is locked")


@cache
def connect(tracking_uri: str) -> MlflowClient:
    """Return the client of a server or database. Raises UnavailableError, StorageError."""
    for name, value in _LIMITS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # its notes would break our progress bars
    with plain_errors(tracking_uri):
        return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


@contextmanager
def plain_errors(where: str, *, missing: str = "", hint: str = "") -> Iterator[None]:
    """Turn what MLflow raises into NotFoundError, UnavailableError, StorageError, or RefusedError.

    The last is for what somebody deleted in MLflow and can bring back.

    Args:
        where: The address, for the message; a password in it is left out.
        missing: What does not exist, if MLflow says that something does not.
        hint: What to do then.
    """
    from mlflow.exceptions import MlflowException

    place = without_password(where)
    try:
        yield
    except MaskloopError:
        raise
    except MlflowException as error:
        raise _translated(error, place, missing, hint) from error
    except requests.RequestException as error:
        raise _no_answer(place) from error
    except FileNotFoundError as error:
        raise NotFoundError(missing or f"MLflow misses a file: {error}", where=place) from error
    except OSError as error:
        raise StorageError(f"MLflow could not read or write: {error}", where=place) from error


def without_password(uri: str) -> str:
    """Return an address without its user part.

    >>> without_password("postgresql://me:secret@db/mlflow")
    'postgresql://db/mlflow'
    >>> without_password("")
    ''
    """
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _translated(error: Any, place: str, missing: str, hint: str) -> MaskloopError:
    text = str(error)
    if gone := _DELETED.search(text):
        kind, name = gone[1], gone[2]
        return RefusedError(
            f"the {kind} {name} was deleted in MLflow",
            where=place,
            hint=f"bring it back with `MLFLOW_TRACKING_URI={place} mlflow {_RESTORE[kind]} {name}`",
        )
    if error.error_code in _ABSENT or "No such artifact" in text:
        return NotFoundError(missing or f"this is not in MLflow: {text}", where=place, hint=hint)
    if any(sign in text for sign in _NO_ANSWER):
        return _no_answer(place)
    if error.error_code in _BUSY:
        return UnavailableError(f"MLflow cannot do this just now: {text[:300]}", where=place)
    return StorageError(f"MLflow refused: {text[:300]}", where=place)


def _no_answer(place: str) -> UnavailableError:
    return UnavailableError(
        "MLflow does not answer",
        where=place,
        hint="start it with `maskloop up`, or check MLFLOW_TRACKING_URI; then run the same command again",
    )
