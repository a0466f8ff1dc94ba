"""What every model store promises; run on the fake and on MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskloop.errors import NotFoundError, StorageError
from registry.ports import ModelStore
from tests.fakes.model_store import FakeModelStore

pytestmark = pytest.mark.filterwarnings(
    "ignore:::mlflow", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["fake", "mlflow"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, request: pytest.FixtureRequest) -> ModelStore:
    if kind == "fake":
        return FakeModelStore()
    from registry.mlflow_adapter.model_store import MlflowModelStore

    return MlflowModelStore(request.getfixturevalue("mlflow_uri"), "mask-rcnn", ROOT)


@pytest.fixture
def run_id(kind: str, request: pytest.FixtureRequest) -> str:
    if kind == "fake":
        return "run-1"
    from registry.mlflow_adapter.tracker import MlflowRunTracker

    tracker = MlflowRunTracker(request.getfixturevalue("mlflow_uri"), "Default")
    return tracker.open_run("c1:1", name="training", tags={})


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "trained-model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "manifest.json").write_text("{}")
    return folder


def test_an_empty_store_has_nothing(store: ModelStore) -> None:
    with pytest.raises(NotFoundError):
        store.version("1")
    assert store.with_alias("champion") is None
    store.delete_alias("champion")


def test_a_registered_version_says_where_it_comes_from(
    store: ModelStore, run_id: str, artifact: Path
) -> None:
    made = store.register(artifact, run_id=run_id, weights_digest="d" * 64, tags={"approval": "pending"})
    assert (made.version, made.run_id, made.weights_digest) == ("1", run_id, "d" * 64)
    assert made.tags["approval"] == "pending"
    assert made.aliases == ()
    assert made.created_at.tzinfo is not None
    assert store.version("1") == made


def test_registering_again_gives_the_same_version(store: ModelStore, run_id: str, artifact: Path) -> None:
    first = store.register(artifact, run_id=run_id, weights_digest="d" * 64, tags={})
    assert store.register(artifact, run_id=run_id, weights_digest="d" * 64, tags={}) == first
    other = store.register(artifact, run_id=run_id, weights_digest="e" * 64, tags={})
    assert (first.version, other.version) == ("1", "2")


def test_an_alias_points_at_one_version_and_can_move(store: ModelStore, run_id: str, artifact: Path) -> None:
    for digest in ("d", "e"):
        store.register(artifact, run_id=run_id, weights_digest=digest * 64, tags={})
    store.set_alias("champion", "1")
    store.set_alias("champion", "2")
    found = store.with_alias("champion")
    assert found is not None
    assert (found.version, found.aliases) == ("2", ("champion",))
    assert store.version("1").aliases == ()
    store.delete_alias("champion")
    store.delete_alias("champion")
    assert store.with_alias("champion") is None


def test_tags_and_description_can_be_written(store: ModelStore, run_id: str, artifact: Path) -> None:
    store.register(artifact, run_id=run_id, weights_digest="d" * 64, tags={"approval": "pending"})
    store.set_tag("1", "approval", "approved")
    store.describe("1", "## judged")
    assert store.version("1").tags["approval"] == "approved"


@pytest.mark.parametrize("version", ["99", "latest"])
def test_what_is_not_there_is_not_found(store: ModelStore, tmp_path: Path, version: str) -> None:
    with pytest.raises(NotFoundError):
        store.version(version)
    with pytest.raises(NotFoundError):
        store.set_alias("champion", version)
    with pytest.raises(NotFoundError):
        store.set_tag(version, "a", "b")
    with pytest.raises(NotFoundError):
        store.describe(version, "")
    with pytest.raises(NotFoundError):
        store.fetch(version, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_fetched_version_holds_exactly_the_artifacts_files(
    store: ModelStore, run_id: str, artifact: Path, tmp_path: Path
) -> None:
    store.register(artifact, run_id=run_id, weights_digest="d" * 64, tags={})
    for name in ("missing", "empty"):
        target = tmp_path / "copies" / name
        if name == "empty":
            target.mkdir(parents=True)
        assert store.fetch("1", target) == target
        assert {file.name: file.read_bytes() for file in target.iterdir()} == {
            file.name: file.read_bytes() for file in artifact.iterdir()
        }
    assert sorted(path.name for path in (tmp_path / "copies").iterdir()) == ["empty", "missing"]


def test_a_folder_with_something_in_it_is_not_overwritten(
    store: ModelStore, run_id: str, artifact: Path, tmp_path: Path
) -> None:
    store.register(artifact, run_id=run_id, weights_digest="d" * 64, tags={})
    target = tmp_path / "mine"
    target.mkdir()
    (target / "notes.txt").write_text("keep me")
    with pytest.raises(StorageError):
        store.fetch("1", target)
    assert (target / "notes.txt").read_text() == "keep me"
