"""What every dataset store guarantees, on plain folders and on git with DVC."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataset.coco.document import read_coco
from dataset.ingestion.ingest import ingest_batch
from dataset.ingestion.plan import IngestOptions
from dataset.labelled_pictures import DatasetVersion
from dataset.versions.catalog import fingerprint, read_catalog
from dataset.versions.revision import DatasetStore, DvcDatasetStore
from maskloop.errors import NotFoundError, RefusedError
from maskloop.settings.workspace_settings import Settings
from maskloop.workspace import Workspace
from tests.fakes.coco_batches import write_batch
from tests.fakes.dataset_store import FakeDatasetStore

SETTINGS = Settings()


def ingest(store: DatasetStore, folder: Path, numbers: range) -> None:
    annotations, images_dir = write_batch(folder, numbers)
    ingest_batch(
        store,
        coco=read_coco(annotations),
        images_dir=images_dir,
        options=IngestOptions("here"),
        settings=SETTINGS,
    )


@pytest.fixture(scope="module")
def workspace_with_one_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    (folder / "maskloop.toml").write_text("")
    ingest(DvcDatasetStore(Workspace(folder)), folder / ".maskloop" / "batch", range(12))
    return folder


@pytest.fixture(params=["folders", "git and dvc"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatasetStore]:
    """A store that holds one version of 12 pictures."""
    if request.param == "folders":
        fake = FakeDatasetStore(tmp_path / "fake")
        ingest(fake, tmp_path / "batch", range(12))
        yield fake
        return
    template = request.getfixturevalue("workspace_with_one_version")
    shutil.copytree(template, tmp_path / "workspace", symlinks=True)
    yield DvcDatasetStore(Workspace(tmp_path / "workspace"))


@pytest.fixture(params=["folders", "git and dvc"])
def make_empty_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], DatasetStore]:
    if request.param == "folders":
        return lambda: FakeDatasetStore(tmp_path / "fake")
    (tmp_path / "maskloop.toml").write_text("")
    return lambda: DvcDatasetStore(Workspace(tmp_path))


def bytes_of(version: DatasetVersion) -> dict[str, bytes]:
    names = ["instances.json", *(picture.file for picture in version.pictures)]
    return {name: (version.root / name).read_bytes() for name in names}


def test_there_is_no_version_before_the_first(make_empty_store):
    store = make_empty_store()
    assert store.current() is None
    assert store.versions() == ()
    with pytest.raises(NotFoundError):
        store.open("data-v1")


def test_the_first_version_is_data_v1_and_its_files_are_what_their_digests_say(store):
    version = store.current()
    catalog = read_catalog(version.root)
    assert store.versions() == ("data-v1",) == (version.tag,)
    assert version.fingerprint == fingerprint(catalog.class_names, catalog.pictures)
    assert version.pictures == catalog.pictures
    assert all(version.path(picture).is_file() for picture in version.pictures)
    assert len(version.git_commit) == 40
    assert version.dvc_md5.endswith(".dir")


def test_an_unknown_version_is_not_found(store):
    for ask in (store.open, store.restore, store.verify):
        with pytest.raises(NotFoundError):
            ask("data-v9")


def test_an_intact_version_has_nothing_to_complain_about(store):
    assert store.verify("data-v1") == ()


def test_the_same_content_again_is_the_same_version(store):
    current = store.current()
    with store.staging() as folder:
        again = store.commit(folder, current.catalog, "the same")
    assert again.tag == "data-v1"
    assert store.versions() == ("data-v1",)


def test_what_a_user_keeps_in_data_is_refused_before_anything_is_written(store, tmp_path):
    if isinstance(store, FakeDatasetStore):
        store.kept_by_user = ("notes.txt",)
    else:
        (tmp_path / "workspace" / "data" / "notes.txt").write_text("mine")

    def stage() -> None:
        with store.staging():
            raise AssertionError("not reached")

    for attempt in (store.refuse_to_lose, stage, lambda: store.restore("data-v1")):
        with pytest.raises(RefusedError, match=r"notes\.txt"):
            attempt()


def test_what_an_interrupted_writer_left_is_cleared_away(store):
    with pytest.raises(KeyboardInterrupt), store.staging() as folder:  # noqa: PT012
        (folder / "half").write_text("a picture")
        raise KeyboardInterrupt
    with store.staging() as folder:
        assert list(folder.iterdir()) == []
    assert store.current().tag == "data-v1"


@pytest.mark.slow
def test_versions_stay_as_they_are_and_can_be_brought_back_to_build_on(store, tmp_path):
    first = store.current()
    before = bytes_of(first)
    ingest(store, tmp_path / "more", range(12, 16))
    assert store.current().tag == "data-v2"
    assert len(store.current().pictures) == 16
    assert bytes_of(store.open("data-v1")) == before

    assert store.restore("data-v1").fingerprint == first.fingerprint
    assert store.current().tag == "data-v1"

    with store.staging() as folder:
        kept = dataclasses.replace(first.catalog, pictures=first.pictures[:5])
        third = store.commit(folder, kept, "fewer")
    assert third.tag == "data-v3"
    assert len(store.current().pictures) == 5
    assert store.versions() == ("data-v1", "data-v2", "data-v3")
