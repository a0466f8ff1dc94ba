"""The labelling tools, each in an environment of its own below ``.venv-labels``.

    python -m tests.label_tools.environments install    # what `make test-labels` begins with
    python -m tests.label_tools.environments install label-studio-server    # `make test-studio`
    python -m tests.label_tools.environments install cvat-sdk    # `make test-cvat`
    python -m tests.label_tools.environments freeze     # write tests/records/labels anew with the tools
    python -m tests.label_tools.environments lock       # pin what locks/TOOL.in asks for (`make lock`)

Their packages contradict each other, so they cannot share one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.label_tools.scene import EMPTY, PHOTO, SCENE, draw_pictures

ROOT: Final = Path(__file__).resolve().parents[2]
RECORDS: Final = ROOT / "tests" / "records" / "labels"
_LOCKS: Final = Path(__file__).parent / "locks"
_UV: Final = Path(sys.executable).parent / "uv"
_PYTHON_SETTING: Final = "LABEL_TOOLS_PYTHON"


@dataclass(frozen=True)
class Tool:
    """One labelling tool.

    Attributes:
        name: Of its lock, its folders among the records, and its script, with ``_`` for ``-``.
        oldest_python: That its newest version runs on.
    """

    name: str
    oldest_python: tuple[int, int] = (3, 11)

    @property
    def python(self) -> Path:
        """The Python of its environment, which may not be there."""
        return ROOT / ".venv-labels" / self.name / "bin" / "python"

    @property
    def lock(self) -> Path:
        """What is installed."""
        return _LOCKS / f"{self.name}.lock"

    @property
    def records(self) -> list[Path]:
        """The folders with what it wrote, by name."""
        return sorted(RECORDS.glob(f"{self.name}-*"))

    def write_exports(self, folder: Path) -> None:
        """Let it write all its exports below a folder."""
        module = f"tests.label_tools.{self.name.replace('-', '_')}_exports"
        with tempfile.TemporaryDirectory() as home:  # some lay settings there
            told = {"HOME": home, "FIFTYONE_DO_NOT_TRACK": "true", "PYTHONHASHSEED": "0"}  # sets are written
            done = subprocess.run(
                [str(self.python), "-m", module, str(folder)],
                cwd=ROOT,
                env={**os.environ, **told},
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{self.name} failed:\n{done.stdout}{done.stderr}")


TOOLS: Final = (
    Tool("label-studio"),
    Tool("datumaro"),
    Tool("supervision"),
    Tool("sahi"),
    Tool("supervisely"),
    Tool("labelme", (3, 12)),
    Tool("fiftyone"),
)


LABEL_STUDIO: Final = Tool("label-studio-server")
"""The server that pictures are pushed to; it writes no records."""

CVAT_SDK: Final = Tool("cvat-sdk")
"""CVAT's own client, whose models are its published schema; it writes no records."""


def install(*names: str) -> None:
    """Make the environment of each tool, or of those named, or leave one that is as its lock says."""
    for tool in [one for one in (*TOOLS, LABEL_STUDIO, CVAT_SDK) if one.name in names] or TOOLS:
        stamp, made_from = tool.python.parent.parent / ".installed", _digest(tool.lock)
        if stamp.is_file() and stamp.read_text() == made_from:
            continue
        python = _python_for(tool)
        if python is None:
            needed = ".".join(map(str, tool.oldest_python))
            print(
                f"{tool.name} needs Python {needed}: its tests are skipped. Name one: {_PYTHON_SETTING}=..."
            )
            continue
        print(f"installing {tool.name} into {tool.python.parent.parent.relative_to(ROOT)}")
        _run(_UV, "venv", "--quiet", "--clear", "--python", python, tool.python.parent.parent)
        _run(_UV, "pip", "install", "--quiet", "--python", tool.python, "--require-hashes", "-r", tool.lock)
        stamp.write_text(made_from)


def freeze() -> None:
    """Replace the records of every tool that is installed by what it writes."""
    draw_pictures(RECORDS / "pictures", (SCENE, EMPTY, PHOTO))
    for tool in TOOLS:
        if tool.python.exists():
            for folder in tool.records:
                shutil.rmtree(folder)
            tool.write_exports(RECORDS)
            print(f"{tool.name}: {len(tool.records)} folders")


def lock(*options: str) -> None:
    """Pin what each tool needs, with hashes and without addresses."""
    for tool in (*TOOLS, LABEL_STUDIO, CVAT_SDK):
        wanted, oldest = tool.lock.with_suffix(".in"), ".".join(map(str, tool.oldest_python))
        told = (
            "--universal",
            "--generate-hashes",
            "--no-header",
            "--no-annotate",
            "--python-version",
            oldest,
        )
        _run(_UV, "pip", "compile", "--quiet", wanted, *told, *options, "--output-file", tool.lock)


def _python_for(tool: Tool) -> str | None:
    """Return a Python that the tool runs on: this one, the one that is named, or one on the PATH."""
    if sys.version_info[:2] >= tool.oldest_python:
        return sys.executable
    return next((each for each in _other_pythons() if _version_of(each) >= tool.oldest_python), None)


def _other_pythons() -> Iterator[str]:
    if named := os.environ.get(_PYTHON_SETTING):
        yield named
    yield from filter(None, map(shutil.which, ("python3.12", "python3.13")))


def _version_of(python: str) -> tuple[int, ...]:
    """Return the version of a Python, (major, minor); an empty one if it does not start."""
    command = [python, "-c", "import sys; print(*sys.version_info[:2])"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return tuple(map(int, said.split()))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(*command: str | Path) -> None:
    subprocess.run([str(each) for each in command], check=True)


if __name__ == "__main__":
    {"install": install, "freeze": freeze, "lock": lock}[sys.argv[1]](*sys.argv[2:])
