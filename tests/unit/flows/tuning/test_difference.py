from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.tuning.difference import apply_values, show_difference, write_fragment
from maskloop.errors import ConfigurationError
from maskloop.settings.workspace_settings import parse_settings

VALUES = {
    "training.learning_rate": 0.00123,
    "training.augmentation.crop": 0.25,
    "training.augmentation.scale_range": [0.8, 1.25],
    "model.rois_per_picture": 64,
}
EXPECTED = {
    "training": {"learning_rate": 0.00123, "augmentation": {"crop": 0.25, "scale_range": [0.8, 1.25]}},
    "model": {"rois_per_picture": 64},
}
FILES = [
    "",
    'model_name = "x"\n',
    "[training]\nlearning_rate = 4e-3  # why\n\n[gates]\n",
    "training = {steps = 3}\n",
    "[training.augmentation]\nmosaic = 0.5\n[gates]\n[model]\nnorm = 'batch'\n",
    "training.steps = 3\n",
]


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = dict(one)
    for name, value in other.items():
        both[name] = merged(both.get(name, {}), value) if isinstance(value, dict) else value
    return both


@pytest.mark.parametrize("text", FILES)
def test_values_come_into_any_file_and_nothing_else_changes(text):
    after = apply_values(text, VALUES)
    assert tomllib.loads(after) == merged(tomllib.loads(text), EXPECTED)
    assert apply_values(after, VALUES) == after


def test_comments_and_the_order_of_lines_stay():
    text = "# ours\n[training]\nsteps = 3\nlearning_rate = 4e-3  # slow\n\n[gates]  # strict\n"
    after = apply_values(text, {"training.learning_rate": 0.5})
    assert after == text.replace("4e-3", "0.5")
    lines = show_difference(text, after).splitlines()
    assert [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")] == [
        "-learning_rate = 4e-3  # slow",
        "+learning_rate = 0.5  # slow",
    ]


def test_a_fragment_says_what_it_is_and_is_read_by_maskloop():
    fragment = write_fragment(VALUES, ("found by a search",))
    assert fragment.startswith("# found by a search\n")
    assert tomllib.loads(fragment) == EXPECTED
    assert parse_settings(tomllib.loads(fragment)).training.learning_rate == 0.00123


@given(st.floats(1e-12, 1e12))
def test_a_number_is_read_back_as_it_was(rate):
    written = tomllib.loads(apply_values("", {"training.learning_rate": rate}))
    assert written["training"]["learning_rate"] == rate


def test_a_file_that_is_no_toml_is_left_alone():
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        apply_values("[training\n", VALUES)
