"""Run the rollout stories: ``python -m benchmarks.rollout`` (or ``--quick``)."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from benchmarks.rollout.story import FULL, QUICK, STORIES, tell_all


def main() -> None:
    """Tell the stories in a fresh workspace and print what became of each challenger, one JSON line each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout", description=__doc__)
    parser.add_argument("stories", nargs="*", help=f"some of {', '.join(STORIES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="smaller, for a first look")
    parser.add_argument("--again", action="store_true", help="in the workspace of the last time")
    wanted = parser.parse_args()
    root = Path(__file__).resolve().parent / "runs" / "demo"
    if not wanted.again:
        shutil.rmtree(root, ignore_errors=True)
    for told in tell_all(root, QUICK if wanted.quick else FULL, wanted.stories or list(STORIES)):
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
