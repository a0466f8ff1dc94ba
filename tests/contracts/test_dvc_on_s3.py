"""Data versions whose remote is in S3: what an ingest asks of it, and how it is verified."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset.coco.document import read_coco
from dataset.ingestion.ingest import ingest_batch
from dataset.ingestion.plan import IngestOptions
from dataset.versions.revision import DvcDatasetStore
from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.settings.workspace_settings import Settings
from maskloop.workspace import Workspace
from tests.fakes.coco_batches import write_batch
from tests.fakes.s3_server import Asked, S3Server, s3_server

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server, pytest.MonkeyPatch.context() as environment:
        for name, value in server.environment.items():  # DVC reads them in a process of its own
            environment.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def template(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    (root / "maskloop.toml").write_text(f'[data]\nremote = "s3://{s3.new_bucket()}/parts"\n')
    ingest(root, range(30))
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A workspace with data-v1 of 30 pictures; the bucket is shared."""
    shutil.copytree(template, tmp_path / "workspace", symlinks=True)
    return tmp_path / "workspace"


def ingest(root: Path, numbers: range) -> str:
    annotations, images_dir = write_batch(root / ".maskloop" / "batch", numbers)
    store = DvcDatasetStore(Workspace(root))
    options = IngestOptions("here")
    coco = read_coco(annotations)
    done = ingest_batch(store, coco=coco, images_dir=images_dir, options=options, settings=Settings())
    assert done.version is not None
    return done.version.tag


def of_objects(asked: list[Asked], method: str) -> list[Asked]:
    return [one for one in asked if one.method == method and "/files/md5/" in one.path]


def test_an_ingest_of_few_into_many_asks_for_what_is_new_and_downloads_nothing(
    s3: S3Server, root: Path
) -> None:
    s3.asked.clear()
    assert ingest(root, range(32)) == "data-v2"
    asked = list(s3.asked)
    num_new = 2 + 2  # two pictures, the catalog and the list of files
    assert len(of_objects(asked, "PUT")) == num_new
    assert len(of_objects(asked, "HEAD")) <= 2 * num_new
    assert of_objects(asked, "GET") == []
    assert len(asked) < 30, [f"{one.method} {one.path}" for one in asked]
    pictures_bytes = sum(file.stat().st_size for file in (root / "data" / "images").iterdir())
    assert sum(one.answered_bytes for one in asked) < pictures_bytes
    assert DvcDatasetStore(Workspace(root)).verify("data-v2", sample=0) == ()


def test_another_host_opens_a_version_from_the_remote(s3: S3Server, root: Path, tmp_path: Path) -> None:
    before = DvcDatasetStore(Workspace(root)).open("data-v1")
    other = tmp_path / "other"
    shutil.copytree(root, other, symlinks=True, ignore=shutil.ignore_patterns("cache", "data", ".maskloop"))
    assert DvcDatasetStore(Workspace(other)).open("data-v1").pictures == before.pictures


def test_a_sample_finds_what_is_lost_or_replaced_without_reading_everything(s3: S3Server, root: Path) -> None:
    store, workspace = DvcDatasetStore(Workspace(root)), Workspace(root)
    bucket = workspace.settings.data.remote.removeprefix("s3://")
    names = sorted(name for name in store.files_of("data-v1") if not name.endswith(".dir"))
    files = s3.open_files()
    paths = {name: f"{bucket}/files/md5/{name[:2]}/{name[2:]}" for name in names}
    s3.asked.clear()
    assert store.verify("data-v1", sample=3) == ()
    assert len(of_objects(s3.asked, "GET")) == 3 + 1  # and the list of files
    kept = {name: files.cat_file(paths[name]) for name in names[:2]}
    try:
        files.rm_file(paths[names[0]])
        files.pipe_file(paths[names[1]], bytes(reversed(kept[names[1]])))  # of the same size
        assert store.verify("data-v1", sample=0) == tuple(names[:2])
        store.mend("data-v1")
        assert store.verify("data-v1", sample=0) == ()
        assert {name: files.cat_file(paths[name]) for name in kept} == kept
    finally:
        for name, content in kept.items():
            files.pipe_file(paths[name], content)


def test_an_ingest_without_valid_credentials_says_so_and_completes_later(s3: S3Server, root: Path) -> None:
    s3.refusal = (400, "ExpiredToken")
    try:
        with pytest.raises(ConfigurationError, match="credentials for S3 have expired"):
            ingest(root, range(33))
    finally:
        s3.refusal = None
    assert DvcDatasetStore(Workspace(root)).versions() == ("data-v1",)
    assert ingest(root, range(33)) == "data-v2"


def test_a_remote_that_is_away_is_named_so(s3: S3Server, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match="S3 does not answer"):
        ingest(root, range(31))
    assert DvcDatasetStore(Workspace(root)).versions() == ("data-v1",)
