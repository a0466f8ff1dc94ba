"""Digests: sha256 of bytes, of files in blocks, and of plain values in one spelling."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.digest import canonical_json, digest_bytes, digest_file, digest_value

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_the_digest_of_bytes_is_the_published_sha256() -> None:
    """The two test vectors of FIPS 180 that everybody knows."""
    assert digest_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_bytes(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_the_digest_of_a_file_is_that_of_its_bytes_whatever_its_size(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "file").write_bytes(data)
    assert digest_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()


@given(st.dictionaries(st.text(), PLAIN, max_size=6))
def test_the_order_of_keys_changes_no_digest(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert digest_value(turned) == digest_value(value)


@given(PLAIN)
def test_what_is_written_can_be_read_back(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


def test_letters_beyond_ascii_are_written_as_they_are() -> None:
    assert canonical_json({"ä": "ß"}) == '{"ä":"ß"}'
    assert digest_value("ä") == hashlib.sha256('"ä"'.encode()).hexdigest()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_has_no_digest(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest_value({"a": [number]})


def test_the_order_of_a_list_and_the_kind_of_a_value_change_the_digest() -> None:
    different = [[1, 2], [2, 1], ["1", "2"], [1.0, 2.0], {"1": 2}, [[1], 2]]
    assert len({digest_value(one) for one in different}) == len(different)
