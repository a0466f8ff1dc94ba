"""Names of metrics that MLflow takes, whatever the classes are called."""

from __future__ import annotations

import posixpath
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.mlflow_adapter.metric_names import MAX_CHARACTERS, to_metric_name, translated

CLASS_NAMES = st.text(min_size=1, max_size=300)


@pytest.mark.parametrize(
    "name",
    ["validation/iou/nut", "nut M6", "a-b_c.d:e", "Mutter groß", "...", ".nut", "n" * MAX_CHARACTERS],
)
def test_a_name_that_mlflow_takes_stays_as_it_is(name: str) -> None:
    assert to_metric_name(name) == name


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("iou/screw (M6)", "iou/screw _M6_ "),
        ("iou/50%/nut", "iou/50_ "),
        ("iou/", "iou/_ "),
        ("iou//nut", "iou/_ "),
        ("iou/.", "iou/_ "),
        ("../nut", "_ "),
        ("iou/a\nb", "iou/a_b "),
    ],
)
def test_what_mlflow_refuses_is_replaced_in_its_own_part_which_gets_a_digest(name: str, start: str) -> None:
    given_name = to_metric_name(name)
    assert re.fullmatch(re.escape(start) + r"[0-9a-f]{6}(/nut)?", given_name)
    assert given_name.endswith("/nut") == (name.endswith("/nut"))


def test_a_name_of_one_character_too_many_is_cut_to_the_most_there_may_be() -> None:
    name = "iou/" + "n" * (MAX_CHARACTERS - 3)
    given_name = to_metric_name(name)
    assert len(given_name) == MAX_CHARACTERS
    assert re.fullmatch(r"iou/n{239} [0-9a-f]{6}", given_name)


def test_long_names_that_differ_only_at_their_end_stay_two() -> None:
    assert to_metric_name("n" * 300 + "a") != to_metric_name("n" * 300 + "b")


@given(CLASS_NAMES)
def test_any_class_has_a_short_plain_name_below_its_folder(name: str) -> None:
    given_name = to_metric_name(f"iou/{name}")
    assert len(given_name) <= MAX_CHARACTERS
    assert re.fullmatch(r"[\w.\- :/]+", given_name)
    assert posixpath.normpath(given_name) == given_name
    assert given_name.startswith("iou/")


@given(st.lists(CLASS_NAMES, unique=True, max_size=8))
def test_different_names_stay_different(names: list[str]) -> None:
    assert len({to_metric_name(name) for name in names}) == len(names)


def test_only_names_that_change_are_told_as_translated() -> None:
    assert translated(["nut", "50%", "bolt"]) == {"50%": to_metric_name("50%")}
    assert translated(["nut", "bolt"]) == {}
