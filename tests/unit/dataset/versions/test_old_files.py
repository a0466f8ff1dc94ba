"""Old files of a version: always there, looked at in turn, and read whole when somebody asks or uses them."""

import pytest

from dataset.storage.dvc_objects import object_file
from dataset.storage.known_files import KnownFiles
from dataset.versions import revision
from dataset.versions.catalog import read_picture_file
from dataset.versions.revision import DvcDatasetStore
from maskloop.errors import IntegrityError, RefusedError
from maskloop.workspace import Workspace
from tests.unit.dataset.versions.conftest import alter, ingest, remote_objects

MOST = 4
"""Looked at in one place by one ingest, where five pictures and a catalog lie there at first."""


def remote_file(root, md5):
    return object_file(root / ".maskloop" / "remote" / "files" / "md5", md5)


def turns_until(root, is_found, *, first):
    """Ingest one picture after the other; return how many that took until something is found."""
    for number in range(20):
        ingest(root, range(first + number, first + number + 1), most_due=MOST)
        if is_found():
            return number + 1
    raise AssertionError("it is never found")


@pytest.mark.slow
def test_an_ingest_asks_as_often_about_old_files_however_many_lie_there(root, monkeypatch):
    asked: list[str] = []

    class Counting(KnownFiles):
        def md5(self, path):
            asked.append(str(path))
            return super().md5(path)

    monkeypatch.setattr(revision, "KnownFiles", Counting)
    numbers = []
    for new in (range(6, 8), range(8, 48), range(48, 50)):
        asked.clear()
        ingest(root, new, most_due=MOST)
        numbers.append(len(asked))
    few, _, many = numbers
    assert many <= few + 4 * MOST  # which hashes are due varies by some: 42 more files are there


@pytest.mark.slow
def test_an_old_object_that_the_remote_has_lost_is_there_again_after_the_next_ingest(root, store):
    for file in remote_objects(root)[:5]:
        file.unlink()
    ingest(root, range(7), most_due=1)
    assert DvcDatasetStore(Workspace(root)).verify("data-v1") == ()


@pytest.mark.slow
def test_an_old_object_that_is_cut_short_in_the_remote_is_found_by_verify_at_once_and_by_ingests_in_turn(
    root, store
):
    (lost, *_) = remote_objects(root)
    whole = lost.read_bytes()
    lost.chmod(0o644)
    lost.write_bytes(whole[:-1])
    assert store.verify("data-v1") == (lost.parent.name + lost.name,)
    assert turns_until(root, lambda: lost.read_bytes() == whole, first=10) <= 8
    assert DvcDatasetStore(Workspace(root)).verify("data-v1") == ()


@pytest.mark.slow
def test_a_picture_that_is_missing_where_versions_lie_ready_is_there_in_the_next_version(root, store):
    version = store.open("data-v1")
    gone = [version.path(picture) for picture in version.pictures]
    for file in gone:
        file.unlink()
    newer = ingest(root, range(7), most_due=1).version
    assert all(newer.path(picture).is_file() for picture in newer.pictures)


@pytest.mark.slow
def test_a_picture_edited_where_versions_lie_ready_is_never_read_and_whole_again_in_turn(root, store):
    version = store.open("data-v1")
    file = version.path(version.pictures[0])
    whole = file.read_bytes()
    alter(file)

    def is_whole() -> bool:
        try:
            return bool(read_picture_file(file) == whole)
        except IntegrityError:
            return False

    assert not is_whole()
    assert turns_until(root, is_whole, first=10) <= 8


@pytest.mark.slow
def test_an_old_object_that_the_cache_has_lost_holds_up_no_ingest_and_comes_back_when_needed(root, store):
    version = store.open("data-v1")
    lost = store.files_of("data-v1")
    cache = root / ".dvc" / "cache" / "files" / "md5"
    for md5 in lost:
        object_file(cache, md5).unlink()
    assert ingest(root, range(7), most_due=1).version.tag == "data-v2"
    version.path(version.pictures[0]).unlink()
    newer = ingest(root, range(8), most_due=1).version
    assert read_picture_file(newer.path(version.pictures[0]))
    assert DvcDatasetStore(Workspace(root)).verify("data-v3") == ()


@pytest.mark.slow
def test_of_the_users_files_in_data_a_new_one_and_an_edited_catalog_are_always_named_and_a_picture_in_turn(
    root, store
):
    foreign, labels = root / "data" / "notes.txt", root / "data" / "instances.json"
    foreign.write_text("mine")
    with pytest.raises(RefusedError, match=r"notes\.txt"):
        ingest(root, range(7), most_due=1)
    foreign.unlink()
    kept = labels.read_bytes()
    labels.write_bytes(kept + b" ")
    with pytest.raises(RefusedError, match=r"edited .* instances\.json"):
        ingest(root, range(7), most_due=1)
    labels.write_bytes(kept)
    picture = store.open("data-v1").pictures[0]
    edited = root / "data" / picture.file
    edited.write_bytes(b"retouched")
    with pytest.raises(RefusedError, match=picture.digest[:8]):
        turns_until(root, lambda: False, first=10)
    assert edited.read_bytes() == b"retouched"


@pytest.mark.slow
def test_an_edited_picture_is_never_taken_away_however_few_files_are_due(root, store):
    ingest(root, range(9))
    newer = store.open("data-v2")
    picture = next(one for one in newer.pictures if one.added_in == "data-v2")
    (root / "data" / picture.file).write_bytes(b"retouched")
    with pytest.raises(RefusedError, match=picture.digest[:8]):
        DvcDatasetStore(Workspace(root), most_due=1).restore("data-v1")
    assert (root / "data" / picture.file).read_bytes() == b"retouched"
