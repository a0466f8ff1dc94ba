"""Data versions that another host has made: opened from the record and the remote, never overwritten."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataset.versions.releases import Recorded, Release
from dataset.versions.revision import DvcDatasetStore
from maskloop.errors import BusyError, IntegrityError, RefusedError
from maskloop.workspace import Workspace
from tests.unit.dataset.versions.conftest import ingest


def record_of(root: Path) -> Recorded:
    made = DvcDatasetStore(Workspace(root)).current()
    assert made is not None
    release = Release(made.tag, made.fingerprint, made.dvc_md5, "made elsewhere", made.git_commit)
    return Recorded({made.tag: release}, made.tag)


def another_host(root: Path, folder: Path, recorded: Recorded) -> DvcDatasetStore:
    folder.mkdir(exist_ok=True)
    (folder / "maskloop.toml").write_text(f'[data]\nremote = "{root}/.maskloop/remote"\n')
    return DvcDatasetStore(Workspace(folder), lambda: recorded)


@pytest.mark.slow
def test_a_host_without_the_git_repository_opens_what_the_record_names(root: Path, tmp_path: Path) -> None:
    other = another_host(root, tmp_path / "other", record_of(root))
    before = DvcDatasetStore(Workspace(root)).open("data-v1")
    opened = other.current()
    assert opened is not None
    assert (opened.tag, opened.pictures, opened.git_commit) == ("data-v1", before.pictures, before.git_commit)
    assert all(opened.path(one).is_file() for one in opened.pictures)
    assert other.versions() == ("data-v1",)


def test_a_host_that_lacks_a_version_makes_none_and_is_told_how_to_get_it(root: Path, tmp_path: Path) -> None:
    other = another_host(root, tmp_path / "other", record_of(root))
    with (
        pytest.raises(RefusedError, match=r"data-v1 was made on another host.*git pull --tags"),
        other.staging(),
    ):
        pass
    shutil.copytree(root / ".git", tmp_path / "other" / ".git", dirs_exist_ok=True)
    shutil.copy(root / "data.dvc", tmp_path / "other" / "data.dvc")
    with other.staging() as folder:
        assert folder.is_dir()


def test_two_different_versions_of_one_tag_are_not_taken_for_each_other(root: Path) -> None:
    recorded = record_of(root)
    other = {"data-v1": Release("data-v1", "another fingerprint", "0" * 32 + ".dir", "made elsewhere")}
    assert DvcDatasetStore(Workspace(root), lambda: recorded).open("data-v1").tag == "data-v1"
    with pytest.raises(IntegrityError, match="two hosts have made different versions data-v1"):
        DvcDatasetStore(Workspace(root), lambda: Recorded(other, "data-v1")).open("data-v1")


def test_one_host_at_a_time_makes_a_version(root: Path) -> None:
    @contextmanager
    def taken():
        raise BusyError("ingest is already running")
        yield

    with pytest.raises(BusyError), DvcDatasetStore(Workspace(root), None, taken).staging():
        pass
    assert ingest(root, range(6)).version.tag == "data-v2"
