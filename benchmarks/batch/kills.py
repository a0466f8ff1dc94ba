"""A scene of very many tiles, answered by a model that costs nothing, while workers are killed at random."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from flows.batch.batch_folder import BatchFolder
from flows.batch.story import BatchRequest, batch
from flows.workers.local_workers import LocalWorkers
from flows.workers.port import Work
from tests.fakes.batch_world import make_batch_world, read_instances
from tests.fakes.field_pictures import tiff

_TILE_PX, _OVERLAP_PX = 32, 8


def answer_while_workers_are_killed(side_tiles: int, *, every_s: float) -> dict[str, Any]:
    """Return how often each tile was answered, and whether every object came out whole.

    Args:
        side_tiles: Tiles along each side of the scene.
        every_s: Seconds between two kills.
    """
    side_px = side_tiles * (_TILE_PX - _OVERLAP_PX) + _OVERLAP_PX
    scene = np.zeros((side_px, side_px), np.uint8)
    squares = [(top, left) for top in range(6, side_px - 40, 60) for left in range(6, side_px - 40, 60)]
    for number, (top, left) in enumerate(squares):
        scene[top : top + 34, left : left + 34] = number % 200 + 1
    with tempfile.TemporaryDirectory() as folder:
        world = make_batch_world(Path(folder) / "workspace")
        file = Path(folder) / "scene.tif"
        file.write_bytes(tiff(np.repeat(scene[..., None], 3, axis=2), photometric="rgb", tile=(64, 64)))
        killer = _Killer(every_s)
        request = BatchRequest(
            str(file), Path(folder) / "out", tile_px=_TILE_PX, overlap_px=_OVERLAP_PX, workers=2
        )
        started = time.monotonic()
        report = batch(world.app(), request, open_workers=killer.open_workers)
        killer.stop.set()
        run = BatchFolder(request.output)
        answered = Counter(
            unit.tile for number in run.finished() for unit in run.result(number).units if not unit.error
        )
        areas = [area for _, area in read_instances(Path(report.file))["scene.tif"]]
        is_once = answered == Counter(range(side_tiles**2))
        return {
            "tiles": side_tiles**2,
            "workers_killed": killer.num_killed,
            "seconds": round(time.monotonic() - started),
            "set_aside": report.num_set_aside,
            "objects_drawn": len(squares),
            "objects_found_whole": sum(area == 34 * 34 for area in areas),
            "objects_found": len(areas),
            "every_tile_once": is_once and len(areas) == len(squares) and {*areas} == {34 * 34},
        }


class _Killer:
    """Kills a random worker again and again."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self.num_killed = 0
        self.stop = threading.Event()

    def open_workers(self, work: Work, count: int) -> LocalWorkers:
        workers = LocalWorkers(work, count)
        threading.Thread(target=self._kill, args=(workers,), daemon=True).start()
        return workers

    def _kill(self, workers: LocalWorkers) -> None:
        chance = random.Random(0)
        while not self.stop.wait(self._every_s):
            if ready := workers.ready_process_ids:
                os.kill(chance.choice(ready), signal.SIGKILL)
                self.num_killed += 1
