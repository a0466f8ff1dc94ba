"""The README's walkthrough, run line by line as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.workspace.servers import find_free_port

ROOT = Path(__file__).resolve().parents[2]
WALKTHROUGH = ("## Five minutes with your own data", "## Serve it")
PORT = "8080"


def read_walkthrough() -> str:
    """Return the shell lines of the README's walkthrough."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    sections = [readme.split(title)[1].split("\n## ")[0] for title in WALKTHROUGH]
    return "\n".join(re.findall(r"```sh\n(.*?)```", "\n".join(sections), flags=re.DOTALL))


@pytest.mark.slow
def test_the_walkthrough_goes_round_the_loop_and_ends_with_a_retrained_champion_that_serves(
    tmp_path: Path,
) -> None:
    outside = {
        name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "MLFLOW"))
    }
    bin_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    lines = read_walkthrough().replace(PORT, str(find_free_port()))
    script = f"set -euo pipefail\n{lines}\nwait\nmaskloop status --json > status.json\n"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**outside, "PATH": bin_first, "USER": "reader"},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    parts = tmp_path / "workspaces" / "parts"
    status = json.loads((parts / "status.json").read_text())
    assert status["champion"]["version"] == "2"
    assert (status["last_drift"]["outcome"], status["open_cycles"], status["due"]) == ("drift", [], [])
    for drawn in ("answers", "better", "served"):
        assert len(list((parts.parent / drawn).glob("*.png"))) == 60
    assert (parts.parent / "seen.png").read_bytes().startswith(b"\x89PNG")
    assert '"version":"2"' in done.stdout.replace(" ", "")
    assert (parts / ".maskloop" / "reports" / "loop.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["workspaces"]
    untracked = subprocess.run(
        ["git", "status", "--porcelain"], cwd=parts, capture_output=True, text=True, check=True
    ).stdout
    assert untracked == "?? status.json\n", "what the workspace's repository does not know"
    assert "reader approved version 1 (cli): looks right" in done.stdout


def test_every_block_of_the_readme_names_commands_that_exist() -> None:
    from flows.command.main import cli

    used = set(re.findall(r"^maskloop (\w+)", read_walkthrough(), flags=re.MULTILINE))
    assert {"init", "ingest", "train", "predict", "monitor", "serve"} <= used
    assert used <= set(cli.commands)
