"""A workspace's own MLflow, after the workspace was copied or moved."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flows.workspace.telling import SilentTeller
from flows.workspace.wiring import App, open_app
from maskloop.errors import StorageError
from registry.mlflow_adapter.files import bring_files_along

pytestmark = pytest.mark.filterwarnings(
    "ignore:::mlflow", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


@dataclass
class Listener(SilentTeller):
    """Remembers what is said."""

    sentences: list[str] = field(default_factory=list)

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


def database_of(root: Path) -> Path:
    return root / ".maskloop" / "mlflow" / "mlflow.db"


def artifacts_of(root: Path) -> Path:
    return root / ".maskloop" / "mlflow" / "artifacts"


def bring(root: Path) -> Sequence[str]:
    return bring_files_along(root, database_of(root), artifacts_of(root))


def files_below(root: Path) -> dict[str, bytes]:
    return {str(f.relative_to(root)): f.read_bytes() for f in artifacts_of(root).rglob("*") if f.is_file()}


@pytest.fixture
def original(mlflow_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[App, str]:
    """A workspace with one run and one registered version, and the run's id."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "an original"
    database_of(root).parent.mkdir(parents=True)
    shutil.copy(mlflow_template, database_of(root))
    (root / "maskloop.toml").write_text("[gates]\n")
    app = open_app(root)
    run_id = app.tracker.open_run("k", name="n", tags={})
    app.tracker.log_text(run_id, "the original", "told.txt")
    app.tracker.close_run(run_id, "finished")
    (weights := tmp_path / "weights").mkdir()
    (weights / "weights.safetensors").write_bytes(b"tensors")
    app.models.register(weights, run_id=run_id, weights_digest="w" * 64, tags={})
    forget_runs()
    return app, run_id


def forget_runs() -> None:
    """Be a new process: MLflow remembers by a run's id alone where its files are."""
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()


def test_a_copied_workspace_reads_and_writes_its_own_files_and_leaves_the_original_alone(
    original: tuple[App, str], tmp_path: Path
) -> None:
    app, run_id = original
    before = files_below(app.workspace.root)
    shutil.copytree(app.workspace.root, tmp_path / "copy")
    listener = Listener()
    copy = open_app(tmp_path / "copy", teller=listener)
    copy.tracker.log_text(run_id, "the copy", "told.txt")
    weights = "artifacts/model/data/artifact/weights.safetensors"
    (artifacts_of(tmp_path / "copy") / run_id / weights).write_bytes(b"other tensors")
    fetched = copy.models.fetch("1", tmp_path / "fetched")
    assert (fetched / "weights.safetensors").read_bytes() == b"other tensors"
    assert copy.tracker.read_text(run_id, "told.txt") == "the copy"
    assert files_below(app.workspace.root) == before
    forget_runs()
    assert app.tracker.read_text(run_id, "told.txt") == "the original"
    (said,) = listener.sentences
    assert said.startswith("this workspace was copied or moved")
    assert str(artifacts_of(app.workspace.root)) in said
    assert bring(tmp_path / "copy") == bring(app.workspace.root) == ()


def test_a_moved_workspace_keeps_its_files(original: tuple[App, str], tmp_path: Path) -> None:
    app, run_id = original
    shutil.move(app.workspace.root, tmp_path / "moved")
    assert open_app(tmp_path / "moved").tracker.read_text(run_id, "told.txt") == "the original"


@pytest.fixture
def small(tmp_path: Path, mlflow_template: Path) -> Path:
    """A workspace that was copied from ``elsewhere``, with MLflow's files as a URI."""
    root = tmp_path / "work space"
    artifacts_of(root).mkdir(parents=True)
    shutil.copy(mlflow_template, database_of(root))
    point_at(root, artifacts_of(tmp_path / "else where").as_uri())
    return root


def point_at(root: Path, location: str) -> None:
    with closing(sqlite3.connect(database_of(root))) as database, database:
        database.execute("update experiments set artifact_location = ?", (f"{location}/0",))


def location_in(root: Path) -> str:
    with closing(sqlite3.connect(database_of(root))) as database:
        return str(database.execute("select artifact_location from experiments").fetchone()[0])


def test_paths_written_as_uris_stay_uris(small: Path) -> None:
    assert len(bring(small)) == 1
    assert location_in(small) == f"{artifacts_of(small).as_uri()}/0"


def test_files_that_were_left_behind_are_asked_for(small: Path, tmp_path: Path) -> None:
    artifacts_of(tmp_path / "else where").mkdir(parents=True)
    artifacts_of(small).rmdir()
    with pytest.raises(StorageError, match="copied without MLflow's files") as refused:
        bring(small)
    assert str(artifacts_of(tmp_path / "else where")) in refused.value.hint
    assert location_in(small) == f"{artifacts_of(tmp_path / 'else where').as_uri()}/0"


def test_another_path_to_the_same_workspace_is_no_copy(small: Path, tmp_path: Path) -> None:
    (tmp_path / "else where").symlink_to(small)
    assert bring(small) == ()


@pytest.mark.parametrize("location", ["s3://bucket/mlflow", "mlflow-artifacts:/0", "mlruns"])
def test_files_that_were_put_elsewhere_on_purpose_stay_there(small: Path, location: str) -> None:
    point_at(small, location)
    assert bring(small) == ()
    assert location_in(small) == f"{location}/0"


def test_a_database_with_nothing_in_it_yet_names_no_files(small: Path) -> None:
    database_of(small).write_bytes(b"")
    assert bring(small) == ()


def test_a_file_that_is_no_database_is_said(small: Path) -> None:
    database_of(small).write_bytes(b"not a database, and long enough to be read as the header of one" * 20)
    with pytest.raises(StorageError, match="cannot be read"):
        bring(small)
