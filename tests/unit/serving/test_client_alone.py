"""The client is installed by itself, without torch and the rest, and the README's lines work with it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.live_service import live
from tests.fakes.service_world import PNG, ServiceWorld

ROOT = Path(__file__).resolve().parents[3]
WITHOUT_THE_REST = """
import importlib.abc, importlib.metadata, sys
known = importlib.metadata.packages_distributions()
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        owners = {one.lower().replace("_", "-") for one in known.get(name.partition(".")[0], [])}
        if owners and not owners & {"maskloop", *sys.argv[1:]}:
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)
sys.meta_path.insert(0, Refuse())
import serving.client
for name in ("torch", "numpy", "fastapi", "filelock"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} was not kept away")
print(serving.client.Client.__name__)
"""


def closure(*names: str) -> set[str]:
    """Return distributions and everything they need, without extras."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = _canonical(waiting.pop())
        if name in found:
            continue
        found.add(name)
        needed = importlib.metadata.requires(name) or []
        waiting += [re.split(r"[ <>=!~;\[(]", one)[0] for one in needed if "extra ==" not in one]
    return found


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_client_imports_nothing_but_httpx_pydantic_and_what_these_need() -> None:
    needed = sorted(closure("httpx", "pydantic"))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_REST, *needed],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "Client\n"), done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the client from a copy of the checkout into a folder of its own, without its dependencies."""
    copy, target = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("installed")
    for name in ("client", "maskloop", "serving"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "build"))
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", target, copy / "client"],
        check=True,
        capture_output=True,
        text=True,
    )
    return target


def test_the_clients_distribution_holds_the_client_and_its_types_alone(installed: Path) -> None:
    files = {file.relative_to(installed).as_posix() for file in installed.rglob("*") if file.is_file()}
    assert {file for file in files if "__pycache__" not in file and ".dist-info" not in file} == {
        "maskloop/__init__.py",
        "maskloop/errors.py",
        "maskloop/py.typed",
        "serving/__init__.py",
        "serving/client.py",
        "serving/py.typed",
        "serving/schemas.py",
    }
    needed = (next(installed.glob("*.dist-info")) / "METADATA").read_text()
    assert set(re.findall(r"^Requires-Dist: (\w+)", needed, flags=re.MULTILINE)) == {"httpx", "pydantic"}


def test_the_lines_of_the_readme_work_with_the_client_alone(installed: Path, tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL)
    pictures, here = tmp_path / "later" / "images", tmp_path / "parts"
    pictures.mkdir(parents=True)
    here.mkdir()
    for name in ("a.png", "b.png"):
        (pictures / name).write_bytes(PNG)
    world = ServiceWorld(tmp_path)
    which = "\nimport serving, sys\nprint(serving.__file__, 'torch' in sys.modules)\n"
    with live(world) as url:
        done = subprocess.run(
            [sys.executable, "-c", script.replace("http://127.0.0.1:8080", url) + which],
            cwd=here,
            env={**os.environ, "PYTHONPATH": str(installed), "no_proxy": "*"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    first, second, of = done.stdout.splitlines()
    assert (first, second) == ("a.png: version 1 found bolt 0.90", "b.png: version 1 found bolt 0.90")
    assert of == f"{installed / 'serving' / '__init__.py'} False"
    assert [(said.verdict, said.instances) for said, _ in world.said] == [("right", None)]
