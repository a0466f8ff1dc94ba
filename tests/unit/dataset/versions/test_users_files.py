"""What a user keeps in the folder of the data stays."""

import shutil
from pathlib import Path

import pytest

from dataset.versions.repository import init_workspace_repository
from maskloop.errors import (
    RefusedError,
    UnavailableError,
)
from maskloop.workspace import Workspace
from tests.unit.dataset.versions.conftest import contents, git, ingest


def keep_own_file(root: Path) -> None:
    (root / "data" / "new_from_camera").mkdir()
    (root / "data" / "new_from_camera" / "0001.png").write_bytes(b"unlabelled")


def edit_catalog(root: Path) -> None:
    catalog = root / "data" / "instances.json"
    catalog.write_text(catalog.read_text().replace('"nut"', '"wing nut"'))


@pytest.mark.parametrize(
    ("touch", "named"),
    [(keep_own_file, "new_from_camera/0001.png"), (edit_catalog, "1 file edited .* instances.json")],
)
def test_what_a_user_keeps_in_data_is_named_and_stays(store, root, touch, named):
    touch(root)
    before, tags = contents(root / "data"), git(root, "tag")
    for attempt in (lambda: ingest(root, range(7)), lambda: store.restore("data-v1")):
        with pytest.raises(RefusedError, match=named) as caught:
            attempt()
        assert "Move them out of data/" in str(caught.value)
        assert contents(root / "data") == before
        assert git(root, "tag") == tags
        assert git(root, "status", "--porcelain", "data.dvc") == ""


def test_moved_out_of_data_they_hold_up_nothing_even_if_a_file_is_missing_then(store, root):
    edit_catalog(root)
    (root / "data" / "instances.json").rename(root / "mine.json")
    assert store.restore("data-v1").tag == "data-v1"
    assert contents(root / "data") == contents(store.current().root)


def test_data_without_a_version_are_the_users(tmp_path):
    (tmp_path / "maskloop.toml").write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.txt").write_text("which camera took what")
    with pytest.raises(RefusedError, match=r"notes\.txt"):
        ingest(tmp_path, range(3))
    assert contents(tmp_path / "data") == {"notes.txt": b"which camera took what"}


def test_data_that_git_tracks_are_refused_before_anything_is_written(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("tracked")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "data")
    with pytest.raises(RefusedError, match="git tracks 1 file"):
        init_workspace_repository(Workspace(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"data", ".git"}


def test_a_version_that_cannot_be_committed_leaves_data_as_they_were(store, root):
    before = contents(root / "data")
    (root / ".git" / "index.lock").write_text("")
    with pytest.raises(UnavailableError, match=r"index\.lock") as caught:
        ingest(root, range(7))
    assert "if none is, delete that file" in caught.value.hint
    assert contents(root / "data") == before
    assert git(root, "status", "--porcelain", "data.dvc") == ""
    (root / ".git" / "index.lock").unlink()
    assert ingest(root, range(7)).version.tag == "data-v2"


def test_a_lost_cache_does_not_make_the_data_look_foreign(store, root):
    shutil.rmtree(root / ".dvc" / "cache")
    assert store.restore("data-v1").tag == "data-v1"
