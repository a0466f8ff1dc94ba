"""A measurement names the commit and the command that repeat it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_a_measurement_names_versions_commit_and_command() -> None:
    code = "import json; from benchmarks.provenance import describe_run; print(json.dumps(describe_run()))"
    done = subprocess.run(
        [sys.executable, "-c", code, "--threads", "1"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", told["commit"])
    assert told["command"].startswith("python -c ")
    assert told["command"].endswith("--threads 1")
    assert {"python", "torch", "cpu", "threads"} <= told.keys()
