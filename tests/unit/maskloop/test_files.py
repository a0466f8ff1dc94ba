from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from maskloop import files
from maskloop.errors import StorageError, UnavailableError
from maskloop.files import directory_written_atomically, locked, write_bytes, write_text, written_atomically


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(".tmp"))


def test_a_written_file_holds_exactly_the_text(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "file.txt", "ü\r\n")
    assert (tmp_path / "new" / "file.txt").read_bytes() == "ü\r\n".encode()
    assert leftovers(tmp_path / "new") == []


def test_a_failing_body_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), written_atomically(file) as beside:
        beside.write_text(f"half {1 / 0}")
    assert file.read_text() == "old"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_a_full_disk_leaves_the_old_file_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    target = {"fsync": (os, "fsync"), "replace": (Path, "replace"), "write": (Path, "write_bytes")}[call]
    monkeypatch.setattr(*target, full)
    with pytest.raises(StorageError, match="the disk is full"):
        write_bytes(file, b"new")
    monkeypatch.undo()
    assert file.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        write_text(tmp_path / "file" / "below" / "x.txt", "")
    with pytest.raises(StorageError), directory_written_atomically(tmp_path / "file" / "below"):
        pass


@pytest.mark.parametrize("step", ["sync_file", "sync_directory"])
def test_a_writer_killed_at_any_step_leaves_the_old_or_the_new_file(tmp_path: Path, step: str) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    die = (
        "import os, sys; from pathlib import Path; from maskloop import files\n"
        f"files.{step} = lambda path: os._exit(9)\n"
        "files.write_text(Path(sys.argv[1]), 'new')"
    )
    assert subprocess.run([sys.executable, "-c", die, str(file)], check=False).returncode == 9
    assert file.read_text() == ("old" if step == "sync_file" else "new")
    write_text(file, "again")
    assert file.read_text() == "again"


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "models" / "abc"
    with pytest.raises(ZeroDivisionError), directory_written_atomically(target) as beside:
        (beside / "half").write_text(f"half {1 / 0}")
    assert list((tmp_path / "models").iterdir()) == []
    with directory_written_atomically(target) as beside:
        (beside / "sub").mkdir()
        (beside / "sub" / "file").write_text("x")
    assert (target / "sub" / "file").read_text() == "x"


def test_a_folder_with_content_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("keep")
    with pytest.raises(StorageError), directory_written_atomically(tmp_path / "mine") as beside:
        (beside / "file").write_text("other")
    assert (tmp_path / "mine" / "file").read_text() == "keep"


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "x.lock"
    with (
        locked(lock, what="the folder"),
        pytest.raises(UnavailableError, match="the folder is busy"),
        locked(lock, what="the folder", timeout_s=0.05),
    ):
        pass
    with locked(lock, what="the folder", timeout_s=0.05):
        pass


def test_a_lock_is_free_when_its_holder_dies(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    hold_and_die = (
        "import os, sys; from pathlib import Path; from maskloop.files import locked\n"
        "with locked(Path(sys.argv[1]), what='x'): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", hold_and_die, str(lock)], check=False).returncode == 9
    with locked(lock, what="x", timeout_s=1.0):
        pass


def test_other_failures_are_said_in_plain_words() -> None:
    error = files.storage_error(OSError(errno.EISDIR, "Is a directory"), Path("x"))
    assert str(error) == "could not write: Is a directory (x)"
