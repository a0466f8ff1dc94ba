"""In CI a test that is skipped fails the run, or stands in the table with its reason."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MAY_SKIP

ROOT = Path(__file__).parents[2]
LISTED = next(iter(MAY_SKIP))


def run_a_skipped_test(root: Path, name: str, rule: str) -> subprocess.CompletedProcess[str]:
    (root / "tests").mkdir()
    shutil.copy(ROOT / "tests/conftest.py", root / "tests/conftest.py")
    (root / "pytest.ini").write_text("[pytest]\n")
    (root / "tests/test_one.py").write_text(
        f"import pytest\n\n@pytest.mark.parametrize('n', [1])\ndef {name}(n):\n    pytest.skip('no tool')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    told = {**os.environ, "MASKLOOP_SKIPS": rule}
    return subprocess.run(command, cwd=root, env=told, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("name", "rule"), [("test_new", "listed"), (LISTED, "none")], ids=["listed", "none"])
def test_a_skip_that_must_not_be_fails_the_run_and_says_which_and_why(
    name: str, rule: str, tmp_path: Path
) -> None:
    done = run_a_skipped_test(tmp_path, name, rule)
    assert done.returncode == 1
    assert (
        f"tests/test_one.py::{name}[1] must not be skipped (MASKLOOP_SKIPS={rule}). Skipped: no tool"
        in done.stdout
    )


def test_a_skip_of_the_table_passes_and_its_reason_ends_the_run(tmp_path: Path) -> None:
    done = run_a_skipped_test(tmp_path, LISTED, "listed")
    assert done.returncode == 0
    assert MAY_SKIP[LISTED] in done.stdout.partition("not proven by this run")[2]


def test_without_a_rule_a_skip_is_a_skip(tmp_path: Path) -> None:
    done = run_a_skipped_test(tmp_path, "test_new", "")
    assert done.returncode == 0
    assert "1 skipped" in done.stdout


def test_every_test_of_the_table_exists_once() -> None:
    defined = [
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (\w+)\(", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    ]
    assert {name: defined.count(name) for name in MAY_SKIP} == dict.fromkeys(MAY_SKIP, 1)
