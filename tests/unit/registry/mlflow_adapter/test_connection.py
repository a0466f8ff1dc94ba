"""Whatever MLflow raises becomes an error that says what to do, without a password in it."""

from __future__ import annotations

import pytest
import requests
from mlflow.exceptions import MlflowException

from maskloop.errors import MaskloopError, NotFoundError, RefusedError, StorageError, UnavailableError
from registry.mlflow_adapter.connection import plain_errors, without_password

SERVER = "http://me:secret@mlflow:5000"


def caught(error: Exception, *, missing: str = "", hint: str = "") -> MaskloopError:
    with pytest.raises(MaskloopError) as found, plain_errors(SERVER, missing=missing, hint=hint):
        raise error
    return found.value


def of_mlflow(text: str, code: str = "INTERNAL_ERROR") -> MlflowException:
    error = MlflowException(text)
    error.error_code = code
    return error


@pytest.mark.parametrize(
    ("error", "kind", "headline"),
    [
        (of_mlflow("no run", "RESOURCE_DOES_NOT_EXIST"), NotFoundError, "this is not in MLflow: no run"),
        (of_mlflow("no route", "NOT_FOUND"), NotFoundError, "this is not in MLflow: no route"),
        (of_mlflow("No such artifact: a"), NotFoundError, "this is not in MLflow: No such artifact: a"),
        (of_mlflow("Max retries exceeded with url"), UnavailableError, "MLflow does not answer"),
        (
            of_mlflow("(sqlite3) database is locked", "BAD_REQUEST"),
            UnavailableError,
            "MLflow does not answer",
        ),
        (
            of_mlflow("later", "RESOURCE_EXHAUSTED"),
            UnavailableError,
            "MLflow cannot do this just now: later",
        ),
        (of_mlflow("no", "INVALID_PARAMETER_VALUE"), StorageError, "MLflow refused: no"),
        (of_mlflow("n" * 999, "BAD_REQUEST"), StorageError, f"MLflow refused: {'n' * 300}"),
        (requests.ConnectionError("refused"), UnavailableError, "MLflow does not answer"),
        (FileNotFoundError("a.pt"), NotFoundError, "MLflow misses a file: a.pt"),
        (PermissionError("a.pt"), StorageError, "MLflow could not read or write: a.pt"),
    ],
)
def test_an_error_of_mlflow_is_missing_unavailable_or_refused(
    error: Exception, kind: type[MaskloopError], headline: str
) -> None:
    found = caught(error)
    assert (type(found), found.headline) == (kind, headline)
    assert found.where == "http://mlflow:5000"
    assert found.__cause__ is error


@pytest.mark.parametrize(
    ("kind", "command"),
    [("run", "runs restore --run-id ab12"), ("experiment", "experiments restore --experiment-id ab12")],
)
def test_what_somebody_deleted_is_refused_with_the_command_that_brings_it_back(
    kind: str, command: str
) -> None:
    text = f"The {kind} ab12 must be in the 'active' state. Current state is deleted."
    found = caught(of_mlflow(text, "INVALID_PARAMETER_VALUE"))
    assert isinstance(found, RefusedError)
    assert found.headline == f"the {kind} ab12 was deleted in MLflow"
    assert found.hint == f"bring it back with `MLFLOW_TRACKING_URI=http://mlflow:5000 mlflow {command}`"


def test_what_is_missing_is_named_as_the_caller_knows_it() -> None:
    found = caught(of_mlflow("no", "NOT_FOUND"), missing="there is no version 7", hint="look")
    assert (found.headline, found.hint) == ("there is no version 7", "look")
    assert caught(FileNotFoundError("x"), missing="there is no version 7").headline == "there is no version 7"


def test_an_error_of_our_own_passes_unchanged_and_an_unknown_one_too() -> None:
    own = RefusedError("no")
    assert caught(own) is own
    with pytest.raises(KeyError), plain_errors(SERVER):
        raise KeyError("a defect")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://user@host/a", "http://host/a"),
        ("http://me:p@ss@host", "http://host"),
        ("sqlite:///a.db", "sqlite:///a.db"),
    ],
)
def test_an_address_is_shown_without_who_uses_it(uri: str, shown: str) -> None:
    assert without_password(uri) == shown
