"""Problems are told gravest first, and what is alike only once with its number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.problems import DataProblem, Severity, by_kind, collapsed

PROBLEMS = st.lists(
    st.builds(
        DataProblem,
        severity=st.sampled_from(["error", "warning", "info"]),
        code=st.sampled_from("abc"),
        where=st.sampled_from(["/images/0", "/images/1"]),
        message=st.just("odd"),
        count=st.integers(1, 5),
    )
)
GRAVITY: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}


@pytest.mark.parametrize(
    ("hint", "count", "ending"),
    [
        ("", 1, "odd"),
        ("look", 1, "odd (look)"),
        ("", 2, "odd (and 1 more like this)"),
        ("look", 3, "odd (look; and 2 more like this)"),
    ],
)
def test_a_problem_is_one_line_with_its_hint_and_how_many_more_there_are(
    hint: str, count: int, ending: str
) -> None:
    problem = DataProblem("warning", "code", "/images/4", "odd", hint, count=count)
    assert str(problem) == f"warning: /images/4: {ending}"


@pytest.mark.parametrize(("picture", "example", "shown"), [("p", "e", "p"), ("", "e", "e"), ("", "", "")])
def test_a_problem_is_seen_in_its_own_picture_before_an_example(
    picture: str, example: str, shown: str
) -> None:
    assert DataProblem("info", "c", "/", "m", picture=picture, example=example).shown_in == shown


def test_alike_means_severity_and_code_and_the_first_stands_for_all() -> None:
    told = by_kind(
        [
            DataProblem("info", "a", "/1", "first", count=2),
            DataProblem("warning", "a", "/2", "graver"),
            DataProblem("info", "a", "/3", "again", count=3),
            DataProblem("info", "b", "/4", "other"),
        ]
    )
    assert [(one.severity, one.message, one.count) for one in told] == [
        ("warning", "graver", 1),
        ("info", "first", 5),
        ("info", "other", 1),
    ]


@given(PROBLEMS)
def test_collapsing_keeps_every_error_and_loses_no_count(problems: list[DataProblem]) -> None:
    told = collapsed(problems)
    errors = [problem for problem in problems if problem.severity == "error"]
    assert list(told[: len(errors)]) == errors
    rest = told[len(errors) :]
    assert len({(one.severity, one.code) for one in rest}) == len(rest)
    assert sum(one.count for one in told) == sum(one.count for one in problems)
    assert [GRAVITY[one.severity] for one in told] == sorted(GRAVITY[one.severity] for one in told)


@given(PROBLEMS)
def test_telling_by_kind_twice_says_no_more_than_once(problems: list[DataProblem]) -> None:
    assert by_kind(by_kind(problems)) == by_kind(problems)
