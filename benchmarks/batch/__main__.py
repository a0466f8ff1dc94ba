"""Figures of `maskloop batch`: ``python -m benchmarks.batch kills``, ``tiles`` or ``throughput``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.batch.kills import answer_while_workers_are_killed
from benchmarks.batch.throughput import compare_with_bare_model
from benchmarks.batch.tiles import compare_with_whole_pictures


def main() -> None:
    """Run one measurement and print its figures as JSON; ends with 1 if a tile was lost or repeated."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kills = kinds.add_parser("kills")
    kills.add_argument("--side-tiles", type=int, default=100, help="tiles along each side of the scene")
    kills.add_argument("--every-s", type=float, default=5.0, help="seconds between kills")
    tiles = kinds.add_parser("tiles")
    tiles.add_argument("workspace", type=Path)
    tiles.add_argument("pictures", type=Path)
    tiles.add_argument("--tile", type=int, default=256, help="px; the network must not resize it")
    tiles.add_argument("--strip", type=int, default=640, help="px, nor this")
    tiles.add_argument("--overlap", type=int, default=64, help="px")
    throughput = kinds.add_parser("throughput")
    throughput.add_argument("workspace", type=Path)
    throughput.add_argument("pictures", type=Path)
    throughput.add_argument("--num", type=int, default=400, help="pictures of the smaller batch")
    throughput.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    if asked.kind == "kills":
        figures = answer_while_workers_are_killed(asked.side_tiles, every_s=asked.every_s)
    elif asked.kind == "throughput":
        figures = compare_with_bare_model(
            asked.workspace, asked.pictures, num=asked.num, workers=asked.workers
        )
    else:
        figures = compare_with_whole_pictures(
            asked.workspace,
            asked.pictures,
            tile_px=asked.tile,
            strip_px=asked.strip,
            overlap_px=asked.overlap,
        )
    print(json.dumps(figures, indent=1))
    sys.exit(0 if figures.get("every_tile_once", True) else 1)


if __name__ == "__main__":
    main()
