"""What is said when a file cannot be written, and what stays where it was."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from maskloop.errors import AccessError, StorageError, UnavailableError
from maskloop.files import EXPLAINED, directory_written_atomically, locked, storage_error, written_atomically


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_or_quota_asks_for_space(number: int) -> None:
    error = storage_error(OSError(number, "no space"), Path("a.json"))
    assert type(error) is StorageError
    assert str(error) == "the disk is full (a.json). Free some space and run the same command again"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_is_not_permitted_is_a_matter_of_permissions(tmp_path: Path, number: int) -> None:
    error = storage_error(OSError(number, "not so"), tmp_path / "a.json")
    assert isinstance(error, AccessError)
    assert error.headline.startswith("not permitted: not so")


def test_the_failures_with_a_cure_are_those_five() -> None:
    assert set(EXPLAINED) == {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}


def test_a_failure_without_a_number_is_told_in_its_own_words() -> None:
    assert (
        str(storage_error(OSError("the tape is torn"), Path("x"))) == "could not write: the tape is torn (x)"
    )


def test_a_folder_may_take_the_place_of_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with directory_written_atomically(tmp_path / "made") as beside:
        (beside / "inner").mkdir()
        (beside / "inner" / "file").write_text("x")
    assert [file.relative_to(tmp_path).as_posix() for file in sorted(tmp_path.rglob("*"))] == [
        "made",
        "made/inner",
        "made/inner/file",
    ]


def test_what_is_written_beside_is_hidden_and_in_the_same_folder(tmp_path: Path) -> None:
    with written_atomically(tmp_path / "new" / "a.json") as beside:
        assert beside.parent == tmp_path / "new"
        assert beside.name.startswith(".a.json.")
        beside.write_text("x")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.json"]


def test_a_lock_that_is_held_says_for_how_long_it_was_waited_for(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "data.lock"
    with (
        locked(lock, what="the data folder"),
        pytest.raises(UnavailableError) as refused,
        locked(lock, what="the data folder", timeout_s=0.0),
    ):
        pass
    assert str(refused.value) == (
        f"the data folder is busy: another process has held it for 0 s ({lock}). "
        "Wait for the other command, then run this one again"
    )
