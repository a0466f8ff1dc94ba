"""`maskloop upgrade`: a workspace moves to where hosts share its files."""

from __future__ import annotations

from pathlib import Path

from flows.workspace.databases import send_own_files
from flows.workspace.served import ModelCopies
from flows.workspace.wiring import open_app
from maskloop.blobs.folder import FolderBlobs
from maskloop.blobs.shared_files import SharedFiles
from maskloop.errors import IntegrityError
from tests.fakes.model_store import FakeModelStore


def test_a_workspace_sends_what_it_kept_once_and_another_host_has_it(tmp_path: Path) -> None:
    kept = {"samples/pictures/ab/abc.png": b"picture", "slices/cycle-1/slice.json": b"{}"}
    root, other = tmp_path / "first", tmp_path / "second"
    for folder in (root, other):
        folder.mkdir()
        (folder / "maskloop.toml").write_text(f'[servers]\nblob_url = "{tmp_path}/shared"\n')
    for name, content in {**kept, "training/cycle-1/checkpoint": b"own"}.items():
        (root / ".maskloop" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / ".maskloop" / name).write_bytes(content)
    assert send_own_files(open_app(root)) == 2
    assert send_own_files(open_app(root)) == 0
    assert {name: open_app(other).blobs.get(name) for name in kept} == kept
    assert open_app(other).blobs.get("training/cycle-1/checkpoint") is None


def test_a_workspace_without_a_shared_store_sends_nothing(tmp_path: Path) -> None:
    (tmp_path / "maskloop.toml").write_text("")
    (tmp_path / ".maskloop" / "slices").mkdir(parents=True)
    (tmp_path / ".maskloop" / "slices" / "a").write_bytes(b"x")
    assert send_own_files(open_app(tmp_path)) == 0


def test_one_host_fetches_a_model_from_the_registry_and_the_others_without_it(tmp_path: Path) -> None:
    registry, trained = FakeModelStore(), tmp_path / "artifact"
    trained.mkdir()
    (trained / "weights").write_bytes(b"weights")
    version = registry.register(trained, weights_digest="digest", run_id="r", tags={}).version
    store = FolderBlobs(tmp_path / "shared")
    for name in ("first", "second"):
        directory = copies_of(tmp_path / name, store, registry).fetch_version(version, "digest")
        assert (directory / "weights").read_bytes() == b"weights"
        registry.is_offline = True
    store.put("models/digest/weights", b"bent")
    registry.is_offline = False
    directory = copies_of(tmp_path / "third", store, registry).fetch_version(version, "digest")
    assert (directory / "weights").read_bytes() == b"weights"
    assert store.get("models/digest/weights") == b"weights"


def copies_of(state_dir: Path, store: FolderBlobs, registry: FakeModelStore) -> ModelCopies:
    class OnlyVerifies:
        def verify(self, directory: Path, *, expected_digest: str = "") -> None:
            if (directory / "weights").read_bytes() != b"weights":
                raise IntegrityError("bent")

    return ModelCopies(
        state_dir / "models",
        SharedFiles(state_dir, store),
        lambda: registry,
        lambda: OnlyVerifies(),  # type: ignore[arg-type,return-value]
        "cpu",
    )
