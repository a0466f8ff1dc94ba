"""Whether the hosts of a training have the same programs and see the same files."""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from maskloop.digest import digest_file, digest_value
from maskloop.errors import ConfigurationError
from models.loading.request import TrainingRequest

_ROOT: Final = Path(__file__).resolve().parents[2]
_LEARNING_CODE: Final = ("dataset", "evaluation", "maskloop", "models")


def refuse_without_ray() -> None:
    """Raise ConfigurationError if Ray, which several workers need, is not installed."""
    _refuse_without(
        {"Ray": "ray"},
        "training with several workers",
        where="[training.cluster] workers",
        otherwise=", or set workers to 1",
    )


def refuse_without_search() -> None:
    """Raise ConfigurationError if Ray or Optuna, which a search needs, is not installed."""
    _refuse_without({"Ray": "ray", "Optuna": "optuna"}, "a search over settings", where="maskloop tune")


def _refuse_without(packages: Mapping[str, str], what: str, *, where: str, otherwise: str = "") -> None:
    missing = [name for name, module in packages.items() if find_spec(module) is None]
    if missing:
        raise ConfigurationError(
            f"{what} needs {' and '.join(missing)}, not installed here",
            where=where,
            hint=f"run `pip install 'maskloop[cluster]'` in the environment of maskloop{otherwise}",
        )


def describe_programs() -> dict[str, str]:
    """Return the versions that a training depends on, by name; maskloop's is a digest of its code."""
    files = sorted(path for root in _LEARNING_CODE for path in (_ROOT / root).rglob("*.py"))
    digests = {path.relative_to(_ROOT).as_posix(): digest_file(path) for path in files}
    packages = {name: version(name) for name in ("numpy", "ray", "torch", "torchvision")}
    return {"maskloop": digest_value(digests)[:12], "python": platform.python_version(), **packages}


def refuse_other_programs(asked: Mapping[str, str], by_host: Sequence[tuple[str, Mapping[str, str]]]) -> None:
    """Refuse a host whose programs differ from those of the process that asked for the training. Pure.

    Raises:
        ConfigurationError: naming the first such host, and what differs.
    """
    for host, own in by_host:
        differing = [
            f"{name} {own.get(name, 'missing')} instead of {wanted}"
            for name, wanted in asked.items()
            if own.get(name) != wanted
        ]
        if differing:
            raise ConfigurationError(
                f"a worker has other programs than the process that asked for the training: "
                f"{', '.join(differing)}",
                where=host,
                hint="install the same revision of maskloop from the same lock on every host",
            )


def refuse_unseen_files(request: TrainingRequest) -> None:
    """Refuse to train where the workspace cannot be seen.

    Raises:
        ConfigurationError: if the folder of checkpoints, or of pictures, is not on this host.
    """
    for path in (request.checkpoint_dir, request.dataset.root):
        if not path.is_dir():
            raise ConfigurationError(
                f"{socket.gethostname()} does not see the workspace's files",
                where=str(path),
                hint="mount the workspace on every host of the cluster, under the same path",
            )
