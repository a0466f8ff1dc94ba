"""The model store in MLflow: an artifact folder becomes a pyfunc model anybody can load."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from maskloop.errors import NotFoundError, StorageError
from maskloop.files import directory_written_atomically
from registry.mlflow_adapter.connection import connect, plain_errors, without_password
from registry.ports import DIGEST_TAG, RegisteredVersion

if TYPE_CHECKING:
    from mlflow import MlflowClient

_CODE: Final = ("maskloop", "dataset", "evaluation", "models")
"""Packages a loaded model imports; they travel with it."""
_REQUIREMENTS: Final = (
    "filelock",
    "msgspec",
    "numpy",
    "pandas",
    "pillow",
    "pycocotools",
    "pydantic",
    "safetensors",
    "torch",
    "torchvision",
)
"""What those packages import when a model is loaded, pinned to what it was made with."""
_ARTIFACT_FOLDER: Final = "model"
_DATA_FOLDER: Final = "data/artifact"
_NO_WAY_BACK: Final = (
    "a version deleted in MLflow cannot be brought back there: `maskloop abandon CYCLE` gives up the cycle "
    "that waits for it, `maskloop train` makes another; what serves goes on from its own copy"
)


class MlflowModelStore:
    """`registry.ports.ModelStore` over a tracking server (http) or a database with local artifacts.

    Args:
        tracking_uri: Where MLflow is.
        model_name: Of the registered model.
        code_root: The folder of the packages that travel with a model.
        check: Called before the first connection; raises what keeps it from being made.
    """

    def __init__(
        self, tracking_uri: str, model_name: str, code_root: Path, *, check: Callable[[], None] = lambda: None
    ) -> None:
        self._uri, self._name, self._code_root, self._check = tracking_uri, model_name, code_root, check

    @cached_property
    def _client(self) -> MlflowClient:
        self._check()
        return connect(self._uri)

    def register(
        self,
        artifact_dir: Path,
        *,
        run_id: str,
        weights_digest: str,
        tags: Mapping[str, str],
        description: str = "",
    ) -> RegisteredVersion:
        """Upload an artifact folder as a new version; the same run and weights give the same version back."""
        with plain_errors(self._uri, missing=f"there is no run {run_id} in MLflow"):
            self._make_model()
            if found := self._find(run_id, weights_digest):
                return found
            source = self._upload(artifact_dir, run_id)
            made = self._client.create_model_version(
                self._name,
                source,
                run_id=run_id,
                tags={**tags, DIGEST_TAG: weights_digest},
                description=description,
            )
            return self.version(str(made.version))

    def version(self, version: str) -> RegisteredVersion:
        """Return one version. Raises NotFoundError."""
        with self._about(version):
            return _registered(self._client.get_model_version(self._name, version))

    def with_alias(self, alias: str) -> RegisteredVersion | None:
        """Return the version an alias points at, or None."""
        from mlflow.exceptions import MlflowException

        with plain_errors(self._uri):
            try:
                return _registered(self._client.get_model_version_by_alias(self._name, alias))
            except MlflowException as error:
                # An alias that is not there is an invalid value to MLflow, not an absent resource.
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias at a version, wherever it was before. Raises NotFoundError."""
        with self._about(version):
            self._client.set_registered_model_alias(self._name, alias, version)

    def delete_alias(self, alias: str) -> None:
        """Remove an alias; removing one that is not there is fine."""
        with suppress(NotFoundError), plain_errors(self._uri):
            self._client.delete_registered_model_alias(self._name, alias)

    def set_tag(self, version: str, key: str, value: str) -> None:
        """Write one tag of a version. Raises NotFoundError."""
        with self._about(version):
            self._client.set_model_version_tag(self._name, version, key, value)

    def describe(self, version: str, markdown: str) -> None:
        """Replace a version's description. Raises NotFoundError."""
        with self._about(version):
            self._client.update_model_version(self._name, version, description=markdown)

    def fetch(self, version: str, directory: Path) -> Path:
        """Copy a version's artifact files into a new or empty folder, completely or not at all."""
        from mlflow.artifacts import download_artifacts

        with directory_written_atomically(directory) as beside, self._about(version):
            source = self._client.get_model_version(self._name, version).source
            with tempfile.TemporaryDirectory(dir=directory.parent) as downloaded:
                found = download_artifacts(
                    artifact_uri=f"{source}/{_DATA_FOLDER}", dst_path=downloaded, tracking_uri=self._uri
                )
                for file in sorted(Path(found).iterdir()):
                    shutil.move(file, beside / file.name)
            if not any(beside.iterdir()):
                raise NotFoundError(
                    f"the files of version {version} are gone from MLflow", where=without_password(source)
                )
        return directory

    @contextmanager
    def _about(self, version: str) -> Iterator[None]:
        missing = f"{self._name} has no version {version} in MLflow"
        if not version.isdigit():
            raise NotFoundError(missing, where=without_password(self._uri))
        with plain_errors(self._uri, missing=missing, hint=_NO_WAY_BACK):
            yield

    def _make_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self._name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _find(self, run_id: str, weights_digest: str) -> RegisteredVersion | None:
        same = self._search(f"name = '{self._name}' and run_id = '{run_id}'")
        return next((one for one in same if one.weights_digest == weights_digest), None)

    def _search(self, query: str) -> list[RegisteredVersion]:
        found: list[RegisteredVersion] = []
        token: str | None = None
        while True:
            page = self._client.search_model_versions(query, max_results=200, page_token=token)
            found += [_registered(one) for one in page]
            token = page.token
            if not token:
                return found

    def _upload(self, artifact_dir: Path, run_id: str) -> str:
        """Lay the model's files beside its run and return their address, checked to be complete."""
        run = self._client.get_run(run_id)
        with tempfile.TemporaryDirectory() as scratch:
            model = Path(scratch) / _ARTIFACT_FOLDER
            save_pyfunc(artifact_dir, model, self._code_root)
            self._client.log_artifacts(run_id, str(model), _ARTIFACT_FOLDER)
        self._check_uploaded(run_id, artifact_dir)
        return f"{run.info.artifact_uri}/{_ARTIFACT_FOLDER}"

    def _check_uploaded(self, run_id: str, artifact_dir: Path) -> None:
        listed = self._client.list_artifacts(run_id, f"{_ARTIFACT_FOLDER}/{_DATA_FOLDER}")
        sizes = {Path(item.path).name: item.file_size for item in listed}
        for file in artifact_dir.iterdir():
            if sizes.get(file.name) != file.stat().st_size:
                raise StorageError(
                    f"MLflow did not keep {file.name} completely", where=without_password(self._uri)
                )


def save_pyfunc(artifact_dir: Path, target: Path, code_root: Path) -> None:
    """Write an MLflow pyfunc model: our loader and its code, the artifact, pinned requirements, a signature.

    Args:
        artifact_dir: safetensors and manifest; copied as it is.
        target: The folder to make.
        code_root: Where the packages of the loader lie.
    """
    import mlflow.pyfunc
    import pandas as pd

    with tempfile.TemporaryDirectory() as scratch:
        named = Path(scratch) / Path(_DATA_FOLDER).name  # MLflow keeps the last part of the path
        named.symlink_to(artifact_dir.resolve(), target_is_directory=True)
        mlflow.pyfunc.save_model(
            str(target),
            loader_module="models.pyfunc",
            data_path=str(named),
            code_paths=[str(code_root / package) for package in _CODE],
            pip_requirements=[f"{name}=={installed_version(name)}" for name in _REQUIREMENTS],
            signature=_signature(),
            input_example=pd.DataFrame({"image": [_example_picture()]}),
        )


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    return ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, "image")]),
        outputs=Schema([ColSpec(DataType.string, "instances"), ColSpec(DataType.string, "error")]),
        params=ParamSchema([ParamSpec("min_score", DataType.double, None)]),
    )


def _example_picture() -> bytes:
    """Return a small grey PNG."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(file, "PNG")
    return file.getvalue()


def _registered(found: Any) -> RegisteredVersion:
    return RegisteredVersion(
        name=found.name,
        version=str(found.version),
        run_id=found.run_id or "",
        weights_digest=found.tags.get(DIGEST_TAG, ""),
        tags=dict(found.tags),
        aliases=tuple(sorted(found.aliases)),
        created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
    )
