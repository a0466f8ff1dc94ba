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
