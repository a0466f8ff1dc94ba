"""A workspace with one version in git and DVC, and ways to damage it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dataset.coco.document import read_coco
from dataset.ingestion.ingest import ingest_batch
from dataset.ingestion.plan import IngestOptions
from dataset.storage.looks import MOST_DUE
from dataset.versions.revision import DvcDatasetStore
from maskloop.settings.workspace_settings import Settings
from maskloop.workspace import Workspace
from tests.fakes.coco_batches import write_batch


def ingest(root: Path, numbers: range, *, most_due: int = MOST_DUE):
    annotations, images_dir = write_batch(root / ".maskloop" / "batch", numbers)
    return ingest_batch(
        DvcDatasetStore(Workspace(root), most_due=most_due),
        coco=read_coco(annotations),
        images_dir=images_dir,
        options=IngestOptions("here"),
        settings=Settings(),
    )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    (root / "maskloop.toml").write_text("")
    ingest(root, range(5))
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A workspace with data-v1."""
    shutil.copytree(template, tmp_path / "workspace", symlinks=True)
    return tmp_path / "workspace"


@pytest.fixture
def store(root) -> DvcDatasetStore:
    return DvcDatasetStore(Workspace(root))


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def remote_objects(root: Path) -> list[Path]:
    """Every stored file: pictures, which later versions share, before the catalogs."""
    folder = root / ".maskloop" / "remote" / "files" / "md5"
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".dir")
    return sorted(files, key=lambda path: (path.read_bytes().startswith(b"{"), path))


def alter(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def forget_local_copies(root: Path) -> None:
    shutil.rmtree(root / ".dvc" / "cache")
    shutil.rmtree(root / ".maskloop" / "datasets")


def contents(folder: Path) -> dict[str, bytes]:
    found = (Path(above) / name for above, _, names in os.walk(folder, followlinks=True) for name in names)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
