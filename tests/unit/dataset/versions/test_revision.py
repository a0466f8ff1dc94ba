"""What only git and DVC can show: damage in cache and remote, interruptions, whose files are committed."""

import json
import os
import shutil
from pathlib import Path

import pytest

from dataset.storage import dvc_objects, dvc_remote, known_files
from dataset.storage.dvc import prepare_repository, run_dvc
from dataset.storage.dvc_objects import damaged_objects, md5_of, object_file, store_file
from dataset.versions import catalog, revision
from dataset.versions.catalog import read_picture_file
from dataset.versions.releases import Releases
from dataset.versions.repository import init_workspace_repository
from dataset.versions.revision import DvcDatasetStore
from maskloop.errors import (
    ConfigurationError,
    IntegrityError,
    StorageError,
    UnavailableError,
)
from maskloop.files import locked
from maskloop.workspace import Workspace
from tests.fakes.dvc_hash import directory_md5
from tests.unit.dataset.versions.conftest import (
    alter,
    contents,
    forget_local_copies,
    git,
    ingest,
    remote_objects,
)


def test_a_lost_or_altered_remote_object_is_found_by_name(store, root):
    lost, altered = remote_objects(root)[:2]
    lost.unlink()
    alter(altered)
    names = {path.parent.name + path.name for path in (lost, altered)}
    assert set(store.verify("data-v1")) == names


def test_a_lost_directory_object_is_found(store, root):
    (root / ".maskloop" / "remote" / "files" / "md5").rename(root / "gone")
    assert store.verify("data-v1") == (store.current().dvc_md5,)


def test_a_version_is_fetched_again_when_the_cache_is_gone(store, root):
    before = store.current().pictures
    forget_local_copies(root)
    fetched = DvcDatasetStore(Workspace(root)).open("data-v1")
    assert fetched.pictures == before
    assert damaged_objects(root / ".dvc" / "cache" / "files" / "md5", fetched.dvc_md5) == ()


def test_a_version_whose_content_is_lost_is_never_half_opened(root):
    forget_local_copies(root)
    shutil.rmtree(root / "data")
    remote_objects(root)[0].unlink()
    with pytest.raises(IntegrityError, match="missing or altered"):
        DvcDatasetStore(Workspace(root)).open("data-v1")
    assert not (root / ".maskloop" / "datasets" / "data-v1").exists()


def test_an_altered_catalog_is_noticed_when_a_version_is_opened(root):
    path = root / ".maskloop" / "datasets" / "data-v1" / "instances.json"
    text = path.read_text().replace('"test"', '"train"').replace('"val"', '"test"')
    path.unlink()
    path.write_text(text.replace('"category_id":1', '"category_id":2'))
    with pytest.raises(IntegrityError, match="fingerprint"):
        DvcDatasetStore(Workspace(root)).open("data-v1")


def test_the_tag_names_the_commit_and_records_fingerprint_and_md5(store, root):
    version = store.current()
    record = json.loads(git(root, "tag", "-l", "--format=%(contents:subject)", "data-v1"))
    assert record["fingerprint"] == version.fingerprint
    assert record["dvc_md5"] == version.dvc_md5 == directory_md5(root / "data")
    assert git(root, "rev-parse", "data-v1^{commit}") == version.git_commit


def test_a_version_committed_but_not_tagged_is_tagged_by_the_next_writer(store, root):
    version = store.current()
    git(root, "tag", "-d", "data-v1")
    assert store.versions() == ()
    with store.staging():
        assert store.current() == version


def test_only_our_own_files_are_committed(root):
    (root / "notes.txt").write_text("mine")
    git(root, "add", "notes.txt")
    committed = set(git(root, "show", "--name-only", "--format=", "data-v1^{commit}").splitlines())
    assert committed == {".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore", "data.dvc"}
    with DvcDatasetStore(Workspace(root)).staging():
        pass
    assert git(root, "diff", "--cached", "--name-only") == "notes.txt"


def test_preparing_a_workspace_twice_changes_nothing(root):
    before = git(root, "status", "--porcelain")
    init_workspace_repository(Workspace(root))
    assert git(root, "status", "--porcelain") == before


def test_another_writer_makes_us_wait_and_then_say_so(root, monkeypatch):
    monkeypatch.setattr(revision, "locked", lambda path, *, what: locked(path, what=what, timeout_s=0.05))
    lock = Workspace(root).locks_dir / "data.lock"
    with locked(lock, what="the data set"), pytest.raises(UnavailableError, match="data set is busy"):
        ingest(root, range(9))


@pytest.mark.slow
def test_a_hole_in_the_remote_is_mended_before_the_tag_and_nobody_needs_a_git_name(root, monkeypatch):
    """DVC itself says the remote is in sync once it sees the directory object there."""
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(root.parent / "none"))
    sent: list[str] = []

    def store_with_a_hole(objects, source, md5):
        store_file(objects, source, md5)
        sent.append(md5)
        if len(sent) == 1:
            object_file(objects, md5).unlink()

    monkeypatch.setattr(dvc_remote, "store_file", store_with_a_hole)
    version = ingest(root, range(7)).version
    assert sent.count(sent[0]) == 2
    assert len(set(sent)) == len(sent) - 1 == 4, "two pictures, the catalog and the list of files"
    assert version.tag == "data-v2"
    assert DvcDatasetStore(Workspace(root)).verify("data-v2") == ()


@pytest.mark.slow
def test_killed_between_push_and_commit_the_old_version_stays_and_the_next_try_completes(root, monkeypatch):
    def pull_the_plug(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Releases, "commit", pull_the_plug)
        with pytest.raises(KeyboardInterrupt):
            ingest(root, range(7))
    store = DvcDatasetStore(Workspace(root))
    before = store.current()
    assert before is not None
    assert before.tag == "data-v1"
    assert ingest(root, range(7)).version.tag == "data-v2"
    after = store.current()
    assert after is not None
    assert len(after.pictures) == 7


def test_objects_missing_from_the_cache_are_an_error_and_no_version(root, monkeypatch):
    def store_on_a_full_disk(objects, source, md5, **how):
        store_file(objects, source, md5, **how)
        seen.append(md5)
        object_file(objects, seen[0]).unlink(missing_ok=True)

    seen: list[str] = []
    monkeypatch.setattr(revision, "store_file", store_on_a_full_disk)
    with pytest.raises(StorageError, match="1 file did not arrive in DVC's cache"):
        ingest(root, range(6))
    assert len(seen) == 2
    assert DvcDatasetStore(Workspace(root)).versions() == ("data-v1",)


@pytest.mark.slow
def test_dvc_itself_would_have_written_the_same_and_finds_nothing_to_do(root):
    ingest(root, range(7))
    workspace = Workspace(root)
    pin = (root / "data.dvc").read_text()
    for question in (["status", "--quiet"], ["status", "--quiet", "--cloud"]):
        run_dvc(workspace, root, *question)  # fails if anything differs
    run_dvc(workspace, root, "add", "data")
    assert (root / "data.dvc").read_text() == pin
    clone = root.parent / "clone"
    git(root, "clone", "--quiet", str(root), str(clone))
    (clone / "maskloop.toml").write_text(f'[data]\nremote = "{root / ".maskloop" / "remote"}"\n')
    prepare_repository(Workspace(clone))
    run_dvc(Workspace(clone), clone, "pull")
    assert contents(clone / "data") == contents(root / "data")


def count_files_read(root: Path, numbers: range, monkeypatch: pytest.MonkeyPatch) -> int:
    """Ingest in a process that has read nothing yet; return how many times a file was hashed."""
    read: list[str] = []

    def hash_and_count(path):
        read.append(str(path))
        return md5_of(path)

    with monkeypatch.context() as patched:
        for module in (dvc_objects, known_files, revision):
            patched.setattr(module, "md5_of", hash_and_count)
        patched.setattr(dvc_objects.is_intact, "__defaults__", (hash_and_count,))
        ingest(root, numbers)
    return len(read)


@pytest.mark.slow
def test_an_ingest_reads_as_many_files_for_the_same_new_pictures_whatever_lies_there(root, monkeypatch):
    ingest(root, range(5, 6))
    few = count_files_read(root, range(6, 10), monkeypatch)
    ingest(root, range(10, 50))
    many = count_files_read(root, range(50, 54), monkeypatch)
    assert many == few


@pytest.mark.slow
def test_of_a_catalog_of_several_files_those_that_changed_are_stored(root, monkeypatch):
    monkeypatch.setattr(catalog, "PICTURES_PER_FILE", 4)
    second, third = ingest(root, range(7)).version, ingest(root, range(7, 9)).version
    assert [len(digests) for digests in third.catalog_files] == [5, 4]
    names = ("instances.json", "instances-002.json")
    old, new = ([(version.root / name).stat() for name in names] for version in (second, third))
    assert old[0].st_ino == new[0].st_ino
    assert old[1].st_ino != new[1].st_ino
    store = DvcDatasetStore(Workspace(root))
    for version in (second, third):
        assert store.verify(version.tag) == ()
        assert store.open(version.tag).pictures == version.pictures
    store.restore("data-v1")
    assert not (root / "data" / "instances-002.json").exists()


@pytest.mark.slow
def test_an_old_object_that_was_altered_in_the_remote_is_found_and_mended_by_the_next_ingest(store, root):
    lost, altered = remote_objects(root)[:2]
    lost.unlink()
    alter(altered)
    assert len(store.verify("data-v1")) == 2
    assert ingest(root, range(7)).version.tag == "data-v2"
    assert DvcDatasetStore(Workspace(root)).verify("data-v1") == ()


@pytest.mark.slow
def test_an_old_picture_that_was_altered_in_its_folder_is_whole_in_the_next_version(root):
    first = DvcDatasetStore(Workspace(root)).open("data-v1")
    whole = first.path(first.pictures[0]).read_bytes()
    alter(first.path(first.pictures[0]))
    version = ingest(root, range(7)).version
    assert version.path(first.pictures[0]).read_bytes() == whole


@pytest.mark.slow
def test_bytes_that_a_disk_altered_by_itself_are_not_learnt_from_and_can_be_mended(root):
    """Size and time of change stay as they were: nothing short of reading finds that."""
    store = DvcDatasetStore(Workspace(root))
    version = store.open("data-v1")
    file = version.path(version.pictures[0])
    before, whole = file.stat(), file.read_bytes()
    alter(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(IntegrityError, match="altered"):
        read_picture_file(file)
    store.mend("data-v1")
    assert read_picture_file(version.path(version.pictures[0])) == whole
    assert DvcDatasetStore(Workspace(root)).verify("data-v1") == ()


@pytest.mark.slow
def test_a_workspace_whose_versions_have_folders_of_their_own_goes_on(root):
    """As maskloop laid them out before versions shared their pictures."""
    shelf = root / ".maskloop" / "datasets"
    (shelf / "data-v1" / "images").unlink()
    (shelf / "images").rename(shelf / "data-v1" / "images")
    (root / ".maskloop" / "known-files.json").unlink()
    first = DvcDatasetStore(Workspace(root)).open("data-v1")
    assert ingest(root, range(7)).version.tag == "data-v2"
    both = DvcDatasetStore(Workspace(root))
    assert both.open("data-v1").pictures == first.pictures
    newer = both.open("data-v2")
    assert all(newer.path(picture).is_file() for picture in newer.pictures)


def test_versions_share_the_files_of_their_pictures(root):
    version = DvcDatasetStore(Workspace(root)).open("data-v1")
    assert (version.root / "images").is_symlink()
    ingest(root, range(6))
    newer = DvcDatasetStore(Workspace(root)).open("data-v2")
    assert newer.path(version.pictures[0]).samefile(version.path(version.pictures[0]))


def test_a_folder_of_another_user_names_the_cure(root, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(ConfigurationError, match="belongs to another user") as caught:
        DvcDatasetStore(Workspace(root)).versions()
    assert f"safe.directory '{root}'" in caught.value.hint


@pytest.mark.parametrize("name", ["line #2", "halls 1, 2", "Anna's", 'the "new" one', "100%"])
def test_a_workspace_and_a_remote_may_have_any_name(tmp_path, name):
    root, remote = tmp_path / name, tmp_path / f"remote of {name}"
    root.mkdir()
    (root / "maskloop.toml").write_text(f"[data]\nremote = {json.dumps(str(remote))}\n")
    assert ingest(root, range(2)).version.tag == "data-v1"
    assert DvcDatasetStore(Workspace(root)).verify("data-v1") == ()
    assert {path.name for path in tmp_path.iterdir()} == {root.name, remote.name}


def test_all_that_dvc_says_is_passed_on(root):
    (root / "data.dvc").write_text("outs: nonsense")
    with pytest.raises(StorageError, match="dvc status failed") as caught:
        run_dvc(Workspace(root), root, "status")
    assert len(str(caught.value).splitlines()) > 1


def test_nobody_else_can_write_into_the_workspaces_own_folder(root):
    """DVC makes the folders above its site cache writable for everybody."""
    own = root / ".maskloop"
    assert own.stat().st_mode & 0o002 == 0
    assert (own / "dvc").stat().st_mode & 0o077 == 0
