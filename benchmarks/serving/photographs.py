"""The same at the size of real photographs: a small network on car parts, hardly trained.

Speed does not depend on what the weights know; the thresholds decide how many instances are found, so the
row says how many there were.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.real.__main__ import HERE, find_data, take
from benchmarks.serving.bare import BareModel
from benchmarks.serving.contestants import ours
from benchmarks.serving.saturation import Length, measure_saturation
from flows.deciding.decisions import decide_by_hand
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.workspace.creation import init_workspace
from flows.workspace.wiring import App, open_app
from maskloop.errors import MaskloopError
from maskloop.files import write_text

_STEPS = 200
_CHANGES: Mapping[str, str] = {
    "steps = 800": f"steps = {_STEPS}",
    "min_mean_iou = 0.2": "min_mean_iou = 0.0",
    "max_false_positives_per_true_positive = 3.0": "max_false_positives_per_true_positive = 0",
}
_SERVING = '\n[serving]\nrate_limit = "1000000/minute"\n\n[rollout]\nenabled = false\n'


def measure_photographs(root: Path, log: Path, length: Length) -> dict[str, Any]:
    """Train a few steps on car parts, promote, and serve photographs beside the bare model."""
    data = find_data() / "carparts"
    app = _make_champion(root, data)
    pictures = _copy_pictures(data, root / "pictures")
    model = app.copies.fetch_champion(app.state()).directory
    with BareModel(model, pictures) as bare:
        counts = [len(instances) for instances in bare.answers(batch=1)]
    measured = measure_saturation(ours(root), model, pictures, log, length, clients=(4, 8), max_batch=4)
    return {
        "photographs": len(counts),
        "training_steps": _STEPS,
        "mean_instances": round(sum(counts) / len(counts), 1),
        **measured,
    }


def _make_champion(root: Path, data: Path) -> App:
    if not (root / "maskloop.toml").exists():
        init = (HERE / "carparts.toml").read_text()
        for before, after in _CHANGES.items():
            init = init.replace(before, after)
        write_text(root / "maskloop.toml", init + _SERVING)
        init_workspace(root)
    app = open_app(root, actor="benchmark")
    if app.state().champion is None:
        take(app, data, "mini_coarse_train", "train", "adverts", prefix="")
        take(app, data, "mini_coarse_val", "test", "adverts", prefix="")
        cycle = run_turn(app, starts_from="first-weights")
        if cycle.candidate is None:
            raise MaskloopError("there is no candidate")
        decide_by_hand(app, cycle.candidate.version, "approved", by="benchmark", why="for its speed")
        reconcile(app, start_work=lambda _cycle: None)
    return app


def _copy_pictures(data: Path, folder: Path) -> Path:
    """Copy the test photographs, as they are."""
    folder.mkdir(exist_ok=True)
    content = json.loads((data / "annotations" / "mini_coarse_val.json").read_text())
    for image in content["images"]:
        shutil.copy(data / "images" / image["file_name"], folder / Path(image["file_name"]).name)
    return folder
