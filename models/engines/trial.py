"""A trial of one engine, run in a process of its own: ``python -m models.engines.trial REQUEST``.

A library that crashes, hangs or takes all memory ends this process, not the service that wants to know. It
ends by itself when the process that asked is gone, and asks the system to take it first if memory runs out.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
import psutil
from numpy.typing import NDArray

from maskloop.errors import MaskloopError
from maskloop.files import write_text
from models.answering.predictor import TorchPredictor
from models.artifacts.model_folder import load_model
from models.devices import use_cores
from models.engines.choice import EngineName, Trial, TrialRequest
from models.engines.comparing import compare_answers, time_in_turns
from models.exports.formats import load_export, verify_export, write_export
from models.exports.manifest import ExportFormat

_FORMATS: Final[Mapping[EngineName, ExportFormat]] = {"openvino": "openvino", "onnx": "onnx"}
_NICENESS: Final = 10
_FIRST_TO_GO: Final = Path("/proc/self/oom_score_adj")


def run_trial(request: TrialRequest) -> Trial:
    """Make the export if need be, hold its answers against torch's, and time both in turns.

    Raises:
        MaskloopError: if the model or the export cannot be made, read or run.
    """
    start = time.perf_counter()
    use_cores(request.threads)
    pictures = _read_pictures(request.pictures)
    _make_export(request)
    torch_model = TorchPredictor.load(request.artifact, expected_digest=request.weights_digest, device="cpu")
    own = [torch_model.predict([picture])[0] for picture in pictures]
    before = _resident_mib()
    other = load_export(request.export, thread_counts=(request.threads,))
    their = [other.predict([picture])[0] for picture in pictures]
    memory_mib = max(0.0, _resident_mib() - before)
    compared = compare_answers(own, their, score_threshold=torch_model.score_threshold)
    times_faster, torch_ms, engine_ms = time_in_turns(torch_model, other, pictures, budget_s=request.budget_s)
    return Trial(
        engine=request.engine,
        obstacles=compared.find_obstacles(min_parity=request.min_parity),
        times_faster=times_faster,
        torch_ms=torch_ms,
        engine_ms=engine_ms,
        num_pictures=len(pictures),
        num_instances=compared.parity.num_either,
        mask_iou=compared.parity.mask_iou,
        memory_mib=memory_mib,
        seconds=time.perf_counter() - start,
    )


def _read_pictures(file: Path) -> list[NDArray[np.uint8]]:
    with np.load(file, allow_pickle=False) as stored:
        return [stored[name] for name in sorted(stored.files)]


def _make_export(request: TrialRequest) -> None:
    with suppress(MaskloopError):
        verify_export(request.export)
        return
    shutil.rmtree(request.export, ignore_errors=True)
    model, manifest = load_model(request.artifact, expected_digest=request.weights_digest)
    write_export(request.export, model, manifest, _FORMATS[request.engine])


def _resident_mib() -> float:
    return float(psutil.Process().memory_info().rss / 2**20)


def _end_with_the_one_who_asked() -> None:
    os.read(0, 1)  # returns when the other end of the pipe is closed
    os._exit(1)


def main() -> None:
    """Run the trial that a file describes."""
    request = TrialRequest.model_validate_json(Path(sys.argv[1]).read_bytes())
    threading.Thread(target=_end_with_the_one_who_asked, daemon=True).start()
    os.nice(_NICENESS)
    with suppress(OSError):
        _FIRST_TO_GO.write_text("1000", encoding="ascii")
    try:
        trial = run_trial(request)
    except MaskloopError as error:
        trial = Trial(engine=request.engine, obstacles=(str(error),))
    except Exception as error:  # noqa: BLE001 - whatever a library raises is what we want to know
        said = str(error).strip().splitlines() or [""]
        trial = Trial(engine=request.engine, obstacles=(f"{type(error).__name__}: {said[0]}",))
    write_text(request.outcome, trial.model_dump_json(indent=1) + "\n")


if __name__ == "__main__":
    main()
