"""What `maskloop batch` costs beside the model: processor time a picture, all processes together."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from flows.workspace.wiring import open_app

_AT_ONCE: Final = 8


def compare_with_bare_model(workspace: Path, pictures: Path, *, num: int, workers: int) -> dict[str, Any]:
    """Return CPU ms a picture of the model alone, on decoded pictures, and of a whole batch, in turns.

    A batch of ``num`` pictures and one of twice as many differ by what ``num`` pictures cost: both start
    processes and load the model.

    Args:
        workspace: Whose champion answers.
        pictures: A folder of pictures; each is used as often as needed, under names of its own.
        num: Pictures of the smaller batch.
        workers: Processes that answer.
    """
    bare_s, batch_s = [], []
    with tempfile.TemporaryDirectory(prefix="batch-throughput-") as made:
        folder = Path(made)
        once, twice = (_copy(pictures, folder / f"{count}", count) for count in (num, 2 * num))
        for number in range(3):
            bare_s.append(_ask_model(workspace, once))
            spent = [
                _run_batch(workspace, files, folder / f"out-{number}-{files.name}", workers)
                for files in (once, twice)
            ]
            batch_s.append(spent[1] - spent[0])
    bare_ms, batch_ms = (1000 * min(each) / num for each in (bare_s, batch_s))
    return {
        "pictures": num,
        "workers": workers,
        "model_cpu_ms": round(bare_ms, 2),
        "batch_cpu_ms": round(batch_ms, 2),
        "share_of_the_models_throughput": round(bare_ms / batch_ms, 3),
    }


def _copy(pictures: Path, folder: Path, count: int) -> Path:
    files = sorted(file for file in pictures.rglob("*") if file.is_file())
    folder.mkdir()
    for number in range(count):
        file = files[number % len(files)]
        shutil.copyfile(file, folder / f"{number:06d}{file.suffix}")
    return folder


def _ask_model(workspace: Path, pictures: Path) -> float:
    app = open_app(workspace)
    app.machine.use_cores(1)
    served = app.copies.fetch_champion(app.state())
    model = app.copies.load(served.directory, served.weights_digest)
    pixels = [np.asarray(Image.open(file).convert("RGB")) for file in sorted(pictures.iterdir())]
    model.predict(pixels[:_AT_ONCE])  # warms up
    begun = time.process_time()
    for first in range(0, len(pixels), _AT_ONCE):
        model.predict(pixels[first : first + _AT_ONCE])
    return time.process_time() - begun


def _run_batch(workspace: Path, pictures: Path, out: Path, workers: int) -> float:
    program = Path(sys.executable).with_name("maskloop")
    where = [str(pictures), str(out), "-w", str(workspace)]
    command = [str(program), "batch", *where, "--workers", str(workers), "--json"]
    before = _spent_by_children_s()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return _spent_by_children_s() - before


def _spent_by_children_s() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
