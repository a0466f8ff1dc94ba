"""The set-up behind `make`: which Python fits, what is installed without a GPU, and what is said to whom."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from types import ModuleType

import pytest

from flows.workspace.wiring import REPOSITORY

LOCK = (REPOSITORY / "requirements.lock").read_text()


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", REPOSITORY / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


environment = load()


def names(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)[\[=]", lock, re.MULTILINE))


def test_the_oldest_and_newest_python_are_those_of_the_project() -> None:
    wanted = re.search(r'requires-python = ">=(.+),<(.+)"', (REPOSITORY / "pyproject.toml").read_text())
    assert wanted is not None
    major, minor = environment.NEWEST
    assert wanted.groups() == (environment.dotted(environment.OLDEST), f"{major}.{minor + 1}")
    readme = (REPOSITORY / "README.md").read_text()
    assert f"Python {wanted.group(1)} to {major}.{minor}" in readme


def test_a_python_that_does_not_fit_is_refused_with_the_command_that_helps() -> None:
    said = environment.refusal((3, 10), "/usr/bin/python3")
    assert said == (
        "maskloop needs Python 3.11 to 3.13, and /usr/bin/python3 is 3.10. "
        "Name another one: make demo PYTHON=python3.13"
    )


def test_without_a_gpu_only_what_torch_starts_without_is_left_out() -> None:
    left = environment.without(LOCK, environment.leave_out("default", has_gpu=False))
    assert names(LOCK) - names(left) == {"triton"}
    assert names(environment.without(LOCK, environment.leave_out("default", has_gpu=True))) == names(LOCK)


def test_another_build_of_torch_brings_none_of_the_lock_s_cuda_packages() -> None:
    left = environment.without(LOCK, environment.leave_out("cpu", has_gpu=True))
    gone = names(LOCK) - names(left)
    assert {"torch", "torchvision", "triton", "nvidia-cublas", "cuda-bindings"} <= gone
    assert all(re.fullmatch(r"torch(vision)?|triton|nvidia-.+|cuda-.+", name) for name in gone)
    assert "nvidia-ml-py" in names(left), "reads a GPU's load, and is plain Python"


def test_a_package_that_is_left_out_takes_its_hashes_with_it() -> None:
    left = environment.without(LOCK, ("torch",))
    assert LOCK.count("--hash=") - left.count("--hash=") == LOCK.split("\ntorch==")[1].split(
        "\ntorchvision=="
    )[0].count("--hash=")
    assert not re.search(r"\\\n\S", left), "no block ends in the middle"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A virtual environment of this Python, without pip."""
    venv.create(tmp_path / "env", with_pip=False)
    return tmp_path / "env" / "bin" / "python"


def test_an_environment_that_fits_is_kept(made: Path) -> None:
    (made.parent / "mark").touch()
    environment.rebuild_unless_it_fits(made, this_python=True)
    assert (made.parent / "mark").exists()


def test_an_environment_whose_python_is_gone_or_too_old_is_made_again(made: Path) -> None:
    """A first try with Python 3.10 spoils no later one."""
    (made.parent / "mark").touch()
    made.unlink()
    made.write_text("#!/bin/sh\necho 3 10\n")
    made.chmod(0o755)
    environment.rebuild_unless_it_fits(made, this_python=False)
    assert environment.version_of(made) == sys.version_info[:2]
    assert not (made.parent / "mark").exists()


def test_an_environment_with_another_build_of_torch_is_removed(tmp_path: Path) -> None:
    stamp = tmp_path / "env" / ".installed"
    stamp.parent.mkdir()
    for text, wanted, stays in (("", "cpu", True), ("cpu 12ab", "cpu", True), ("default 12ab", "cpu", False)):
        stamp.write_text(text)
        environment.remove_another_build(stamp, wanted)
        assert stamp.exists() is stays


def test_make_asks_for_the_python_that_was_named_and_for_no_other(tmp_path: Path) -> None:
    clean = {
        name: value for name, value in os.environ.items() if name not in ("PYTHON", "MAKEFLAGS", "MAKELEVEL")
    }

    def recipe(*given: str) -> str:
        command = ["make", "--no-print-directory", "--dry-run", "environment", *given]
        return subprocess.run(
            command, cwd=REPOSITORY, env=clean, capture_output=True, text=True, check=True
        ).stdout

    assert recipe().split() == ["python3", "environment.py", "--torch", "default"]
    named = recipe("PYTHON=python3.12", "TORCH=cpu").split()
    assert named == ["python3.12", "environment.py", "--torch", "cpu", "--this-python"]
