"""Figures, times and sentences as reviewers read them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.wording import figure, sentence, signed, when


@pytest.mark.parametrize(
    ("value", "written"), [(0.0, "0.000"), (None, "–"), (0.8126, "0.813"), (1.0, "1.000"), (0.0004, "0.000")]
)
def test_a_share_has_three_decimals_and_zero_is_not_nothing(value: float | None, written: str) -> None:
    assert figure(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0.000"), (0.0006, "+0.001"), (-0.0006, "-0.001"), (0.0004, "0.000"), (-0.25, "-0.250")],
)
def test_a_difference_has_its_sign_unless_it_rounds_to_nothing(value: float, written: str) -> None:
    assert signed(value) == written


@given(st.floats(-1, 1))
def test_a_gain_is_written_as_the_loss_of_the_same_size(value: float) -> None:
    assert signed(value).lstrip("+-") == signed(-value).lstrip("+-") == figure(abs(value))
    assert (signed(value)[0], signed(-value)[0]) in {("+", "-"), ("-", "+"), ("0", "0")}


def test_a_time_is_written_to_the_minute_with_its_zone() -> None:
    assert when(datetime(2026, 3, 2, 4, 5, 59, tzinfo=UTC)) == "2026-03-02 04:05 UTC"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("it serves.", "It serves."),
        ("  it serves \n", "It serves."),
        ("IoU of nut", "IoU of nut."),
        ("x", "X."),
        ("élan", "Élan."),
        (" ", ""),
    ],
)
def test_a_sentence_begins_with_a_capital_and_ends_with_one_stop(text: str, said: str) -> None:
    assert sentence(text) == said


@given(st.text(alphabet="aB ß.", max_size=8))
def test_a_sentence_is_not_changed_by_being_made_one_again(text: str) -> None:
    assert sentence(sentence(text)) == sentence(text)
