"""Categories are read by id and name; every slip in them is named with its place."""

from __future__ import annotations

from typing import Any

import pytest

from dataset.coco.labels import read_categories
from dataset.problems import DataProblem


def read(*categories: Any) -> tuple[dict[int | str, str], list[tuple[str, str, str]]]:
    problems: list[DataProblem] = []
    names = read_categories(categories, problems)
    return names, [(problem.severity, problem.code, problem.where) for problem in problems]


def category(key: Any, name: Any) -> dict[str, Any]:
    return {"id": key, "name": name}


def test_classes_come_in_the_order_of_their_ids_numbers_before_text() -> None:
    names, problems = read(
        category("b", "nut"), category(10, "gear"), category("a", "pin"), category(9, "bolt")
    )
    assert list(names.items()) == [(9, "bolt"), (10, "gear"), ("a", "pin"), ("b", "nut")]
    assert problems == []


@pytest.mark.parametrize(
    "useless",
    [
        category(None, "nut"),
        category(True, "nut"),
        category(1, ""),
        category(1, " "),
        category(1, 2),
        "nut",
        None,
    ],
)
def test_a_category_without_id_or_name_is_an_error_and_the_next_keeps_its_place(useless: Any) -> None:
    names, problems = read(useless, category(2, " bolt"))
    assert names == {2: "bolt"}
    assert problems == [
        ("error", "bad-category", "/categories/0"),
        ("warning", "category-name-trimmed", "/categories/1"),
    ]


def test_two_categories_of_one_id_are_an_error_at_the_second() -> None:
    _, problems = read(category(1, "bolt"), category(2, "nut"), category("1", "gear"))
    assert problems == [("error", "category-id-twice", "/categories/2")]


def test_names_that_differ_only_in_blanks_are_one_name_used_twice() -> None:
    problems: list[DataProblem] = []
    read_categories([category(1, "nut"), category(2, "nut\n"), category(3, "bolt")], problems)
    assert [problem.code for problem in problems] == ["category-name-trimmed", "category-name-twice"]
    assert problems[1].message == "2 categories are called 'nut'"


def test_names_that_differ_in_capitals_are_two_classes() -> None:
    assert read(category(1, "nut"), category(2, "Nut")) == ({1: "nut", 2: "Nut"}, [])
