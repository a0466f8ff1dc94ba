"""Arrays with a head in one file: as they were, or refused."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskloop.errors import ConfigurationError, IntegrityError
from monitoring.array_file import Arrays, read_array_file, write_array_file

HEAD = {"schema_version": 1, "name": "left camera"}
ARRAYS = {"values": np.array([[1.5, np.nan]]), "names": np.array(["ä", "b"]), "none": np.zeros((0, 3))}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_array_file(tmp_path / "held.npz", HEAD, ARRAYS)
    return tmp_path / "held.npz"


def build(head: Mapping[str, Any], arrays: Arrays) -> tuple[str, Arrays]:
    return head["name"], arrays


def read(file: Path) -> tuple[str, Arrays]:
    return read_array_file(file, build, known=1, what="the trial", hint="delete the file")


def rewrite(file: Path, **changed: Any) -> None:
    """Replace arrays and leave the digest of before; None takes one out."""
    with np.load(file) as found:
        held = {name: found[name] for name in found.files} | changed
    buffer = io.BytesIO()
    named: dict[str, Any] = {name: array for name, array in held.items() if array is not None}
    np.savez_compressed(buffer, **named)
    file.write_bytes(buffer.getvalue())


def test_head_and_arrays_come_back_as_they_were(file: Path) -> None:
    name, arrays = read(file)
    assert (name, sorted(arrays)) == ("left camera", sorted(ARRAYS))
    for key, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[key], array)
        assert arrays[key].dtype == array.dtype


def test_writing_replaces_the_file_as_a_whole(file: Path) -> None:
    write_array_file(file, HEAD | {"name": "right camera"}, {"values": np.ones(2)})
    name, arrays = read(file)
    assert (name, list(arrays)) == ("right camera", ["values"])
    assert [one.name for one in file.parent.iterdir()] == ["held.npz"]


@pytest.mark.parametrize(
    "changed", [{"values": np.array([[1.5, 2.5]])}, {"values": None}, {"more": np.ones(1)}, {"head": None}]
)
def test_arrays_that_are_others_than_were_written_are_refused(file: Path, changed: dict[str, Any]) -> None:
    rewrite(file, **changed)
    with pytest.raises(IntegrityError, match="the trial cannot be read") as caught:
        read(file)
    assert (caught.value.where, caught.value.hint) == (str(file), "delete the file")


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_file_that_is_cut_or_no_archive_is_refused(file: Path, content: bytes | None) -> None:
    file.write_bytes(file.read_bytes()[:-30] if content is None else content)
    with pytest.raises(IntegrityError, match="the trial cannot be read"):
        read(file)


def test_any_altered_byte_is_noticed_or_changes_nothing(file: Path) -> None:
    """An archive holds dates and sizes that nothing is read from."""
    whole = file.read_bytes()
    num_noticed = 0
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            name, arrays = read(file)
        except IntegrityError:
            num_noticed += 1
            continue
        assert name == "left camera"
        assert sorted(arrays) == sorted(ARRAYS)
        for key, array in ARRAYS.items():
            np.testing.assert_array_equal(arrays[key], array)
    assert num_noticed > len(whole) / 2


def test_a_file_of_before_that_has_no_digest_is_read(file: Path) -> None:
    rewrite(file, head=np.array('{"name":"old camera","schema_version":1}'))
    assert read(file)[0] == "old camera"


def test_what_a_newer_maskloop_wrote_is_refused_before_it_is_built(file: Path) -> None:
    write_array_file(file, {"schema_version": 2}, {})
    with pytest.raises(ConfigurationError, match="a newer maskloop has written the trial"):
        read(file)


def test_what_does_not_fit_together_is_refused_as_damaged(file: Path) -> None:
    def refuse(head: Mapping[str, Any], arrays: Arrays) -> None:
        raise ValueError(f"{head['name']} has no picture")

    with pytest.raises(IntegrityError, match="left camera has no picture"):
        read_array_file(file, refuse, known=1, what="the trial")
