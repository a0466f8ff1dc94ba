"""Run the rollout stories: ``python -m benchmarks.rollout`` (or ``--quick``)."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

from benchmarks.rollout.story import FULL, QUICK, tell_all


def main() -> None:
    """Tell all stories in a fresh workspace and print what became of each challenger, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller, for a first look")
    wanted = parser.parse_args()
    root = Path(__file__).resolve().parent / "runs" / "demo"
    shutil.rmtree(root, ignore_errors=True)
    start = time.monotonic()
    stories = tell_all(root, QUICK if wanted.quick else FULL)
    print(json.dumps({"stories": stories, "seconds": round(time.monotonic() - start)}, indent=1))


if __name__ == "__main__":
    main()
