from __future__ import annotations

import pytest

from maskloop import errors
from maskloop.errors import EXIT_CODES, MaskloopError


def every_error(base: type[MaskloopError] = MaskloopError) -> list[type[MaskloopError]]:
    below = base.__subclasses__()
    return [base, *(found for one in below for found in every_error(one))]


def test_every_error_has_a_documented_exit_code() -> None:
    assert {error.exit_code for error in every_error()} <= set(EXIT_CODES)


def test_exactly_the_retryable_errors_say_try_again() -> None:
    for error in every_error():
        assert error.is_retryable == (error.exit_code == 75), error.__name__


@pytest.mark.parametrize(
    ("where", "hint", "text"),
    [
        ("", "", "it broke"),
        ("a.json", "", "it broke (a.json)"),
        ("", "mend it", "it broke. Mend it"),
        ("a.json", "mend it", "it broke (a.json). Mend it"),
    ],
)
def test_an_error_reads_as_a_sentence(where: str, hint: str, text: str) -> None:
    assert str(errors.DataError("it broke", where=where, hint=hint)) == text


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (errors.MaskloopError, 1),
        (errors.DataError, 65),
        (errors.MaskError, 65),
        (errors.PictureError, 65),
        (errors.NotFoundError, 66),
        (errors.TrainingError, 70),
        (errors.StorageError, 74),
        (errors.UnavailableError, 75),
        (errors.BusyError, 75),
        (errors.DeadlineError, 75),
        (errors.IntegrityError, 76),
        (errors.AccessError, 77),
        (errors.RefusedError, 77),
        (errors.UnauthorisedError, 77),
        (errors.ForbiddenError, 77),
        (errors.ConfigurationError, 78),
        (errors.StoppedError, errors.INTERRUPTED),
    ],
)
def test_an_error_ends_a_command_with_the_code_a_scheduler_knows(
    error: type[MaskloopError], exit_code: int
) -> None:
    assert error("it broke").exit_code == exit_code


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("free some space", "Free some space"),
        ("wait, then try again", "Wait, then try again"),
        ("gates: add the section", "Gates: add the section"),
        ("serving.host is the setting", "serving.host is the setting"),
        ("`maskloop up` starts it", "`maskloop up` starts it"),
        ("/data is the folder", "/data is the folder"),
    ],
)
def test_a_hint_begins_with_a_capital_unless_its_first_word_is_a_name(hint: str, shown: str) -> None:
    assert str(MaskloopError("it broke", hint=hint)) == f"it broke. {shown}"


@pytest.mark.parametrize(("retry_after_s", "shown"), [(1.4, "1 s"), (1.6, "2 s"), (30, "30 s")])
def test_an_overload_says_in_whole_seconds_when_to_come_back(retry_after_s: float, shown: str) -> None:
    error = errors.OverloadedError("too many requests", retry_after_s=retry_after_s)
    assert str(error) == f"too many requests. Try again in {shown}"
    assert (error.retry_after_s, error.is_retryable) == (retry_after_s, True)
