"""A label file parsed lazily is the same as one parsed whole, and takes a fraction of time and memory."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.bends import losses
from dataset.formats import typed_json
from dataset.label_json import parse_json, parse_labels, unfolded

NUMBERS = st.integers() | st.floats() | st.sampled_from([2**64, -(10**30), 1e308, float("nan"), float("inf")])
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=5)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "segmentation", "bbox"]), inner, max_size=3)
    ),
    max_leaves=8,
)
COCO = st.fixed_dictionaries(
    {
        "images": ANYTHING,
        "annotations": st.lists(ANYTHING, max_size=4) | ANYTHING,
        "categories": st.lists(ANYTHING, max_size=2),
    },
    optional={"info": ANYTHING, "segmentation": ANYTHING},
)
READ = {"id", "segmentation", "bbox", "area"}
"""Of the keys above, those that are read."""


def whole(content: Any) -> Any:
    """Replace outlines that were left as text; leave out what is empty or what nothing reads."""
    if isinstance(content, dict):
        content = {name: value for name, value in content.items() if value is not None}
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        records = content["annotations"]
        content["annotations"] = [
            {name: unfolded(value) for name, value in one.items() if name in READ}
            if isinstance(one, dict)
            else one
            for one in records
        ]
    return content


def same(one: Any, other: Any) -> bool:
    """Compare by text: NaN is not equal to itself."""
    texts = [json.dumps(whole(content), sort_keys=True) for content in (one, other)]
    return texts[0] == texts[1]


@settings(max_examples=300, deadline=None)
@given(COCO | ANYTHING)
def test_whatever_json_holds_is_read_as_json_reads_it(content):
    data = json.dumps(content).encode()
    assert same(parse_labels(data), parse_json(data))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=12), st.integers(0, 90))
def test_damaged_files_are_refused_where_json_refuses_them(damage, place):
    data = json.dumps({"images": [], "annotations": [{"segmentation": [[1, "ä"]]}], "categories": []})
    damaged = data.encode()[:place] + damage + data.encode()[place + len(damage) :]
    try:
        expected = parse_json(damaged)
    except (ValueError, RecursionError) as error:
        with pytest.raises(type(error)):
            parse_labels(damaged)
        return
    assert same(parse_labels(damaged), expected)


def test_the_order_of_keys_and_the_last_of_two_equal_ones_stay():
    data = b'{"images":[],"categories":[],"annotations":[{"id":1,"segmentation":[[1]],"area":2,"id":3}]}'
    (record,) = parse_labels(data)["annotations"]
    assert [*record] == ["id", "segmentation", "area"]
    assert record["id"] == 3


def test_every_key_that_tells_where_a_label_comes_from_or_what_it_is_a_part_of_is_kept():
    keys = {key for names in typed_json._ORIGIN_KEYS.values() for key in names} | {*losses._GROUP_KEYS}
    annotation = {"segmentation": [], "id": 1, **dict.fromkeys(keys, "told")}
    (record,) = parse_labels(
        json.dumps({"images": [], "annotations": [annotation], "categories": []}).encode()
    )["annotations"]
    assert {name: unfolded(value) for name, value in record.items()} == annotation


def test_outlines_and_boxes_alone_are_left_as_text():
    data = b'{"images":[1],"categories":[],"annotations":[{"segmentation":[[1,2.5]],"bbox":[0,0,1,1]},7]}'
    record, other = parse_labels(data)["annotations"]
    assert isinstance(record["segmentation"], msgspec.Raw)
    assert unfolded(record["segmentation"]) == [[1, 2.5]]
    assert isinstance(record["bbox"], msgspec.Raw)
    assert (unfolded(record["bbox"]), other) == ([0, 0, 1, 1], 7)


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"annotations":' * 3000])
def test_deep_nesting_is_an_error_as_before(text):
    with pytest.raises((ValueError, RecursionError)):
        parse_labels(text)


@pytest.mark.parametrize("text", [b"[1e999]", b'"\\ud800"', b"[[" + b"1," * 9 + b"1]]"])
def test_an_outline_that_only_json_reads_is_read_by_that(text):
    assert unfolded(msgspec.Raw(text)) == json.loads(text)


def test_an_outline_that_makes_no_sense_is_text():
    assert unfolded(msgspec.Raw(b"[1,")) == "[1,"
    assert unfolded([[1.0]]) == [[1.0]]
