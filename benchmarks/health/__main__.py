"""Put errors into the labels of generated pictures and look for them: ``python -m benchmarks.health``.

5 % of the instances get an error of each of the six kinds. Two models look for them with the demo's recipe:
one trained on other pictures with right labels, and one trained on the very labels with the errors. The
figures are printed as JSON and kept in ``benchmarks/health/runs/``. ``--quick`` is a first look.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks.health.injection import Corrupted, corrupt
from benchmarks.health.ranking import measure
from benchmarks.provenance import describe_run
from dataset.labelled_pictures import DatasetVersion, LabelledInstance, LabelledPicture, Split
from dataset.synthetic.generation import stored_png
from dataset.synthetic.parts import CLASS_NAMES
from dataset.synthetic.scene import photograph_scene
from dataset.versions.catalog import fingerprint
from evaluation.instances import Detections
from flows.evidence.evaluate import predict_pictures
from maskloop.digest import digest_bytes
from maskloop.masks import boxes_xyxy, encode_masks
from maskloop.settings.workspace_settings import Settings, load_settings
from models.answering.predictors import TorchPredictors
from models.artifacts.manifest import ArtifactFacts
from models.loading.request import TrainingRequest
from models.ports import Predictor
from models.training.trainer import TorchTrainer

RUNS: Final = Path(__file__).resolve().parent / "runs"
SETTINGS_FILE: Final = Path(__file__).resolve().parents[2] / "configs" / "demo.toml"
SIDE_PX: Final = 128
SHARE: Final = 0.05
SEED: Final = 0
_VAL_EVERY: Final = 10


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.health", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer pictures and steps")
    wanted = parser.parse_args()
    shutil.rmtree(RUNS, ignore_errors=True)
    num_pictures, steps = (60, 40) if wanted.quick else (600, 400)
    settings = load_settings(SETTINGS_FILE)
    other = draw_version(RUNS / "other", range(num_pictures))
    checked = draw_version(RUNS / "checked", range(num_pictures, 2 * num_pictures))
    corrupted = corrupt(checked.pictures, len(CLASS_NAMES), share=SHARE, seed=SEED)
    figures: dict[str, Any] = {
        **describe_run(),
        "pictures": num_pictures,
        "instances": sum(len(picture.instances) for picture in checked.pictures),
        "steps": steps,
    }
    with_errors = replace(checked, pictures=corrupted.pictures)
    for name, taught in (("trained on other pictures", other), ("trained on these labels", with_errors)):
        start = time.process_time()
        predictor = train(taught, settings, RUNS / name.replace(" ", "-"), steps)
        found = look(predictor, checked, settings)
        figures[name] = {
            "CPU s": round(time.process_time() - start),
            "kinds": measure(corrupted, found, len(CLASS_NAMES)),
        }
        keep_boxes(RUNS / f"boxes-{name.replace(' ', '-')}.json", corrupted, found)
    (RUNS / "figures.json").write_text(json.dumps(figures, indent=1))
    print(json.dumps(figures, indent=1))


def draw_version(root: Path, numbers: Sequence[int]) -> DatasetVersion:
    """Draw pictures with their labels; every tenth is for validation."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    pictures = []
    for number in numbers:
        scene = photograph_scene(SEED, number, side_px=SIDE_PX, shift=None)
        data = stored_png(scene.pixels)
        digest, file = digest_bytes(data), f"images/{number:06d}.png"
        (root / file).write_bytes(data)
        split: Split = "train" if number % _VAL_EVERY else "val"
        instances = tuple(map(LabelledInstance, scene.class_indices, encode_masks(scene.masks)))
        where = (SIDE_PX, SIDE_PX, "line-1", digest, split, "data-v1")
        pictures.append(LabelledPicture(digest, file, f"{number:06d}.png", *where, "human", instances))
    pictures.sort(key=lambda picture: picture.digest)
    return DatasetVersion(
        "data-v1", fingerprint(CLASS_NAMES, pictures), "", "", CLASS_NAMES, tuple(pictures), root
    )


def train(version: DatasetVersion, settings: Settings, folder: Path, steps: int) -> Predictor:
    """Train a model on a version with the demo's recipe."""
    request = TrainingRequest(
        version, settings, folder / f"checkpoints-{steps}", steps, settings.training.learning_rate, "cpu"
    )
    trained = TorchTrainer().train(
        request,
        on_step=lambda *_: None,
        on_evaluation=lambda *_: None,
        progress=lambda *_: None,
        on_checkpoint=lambda *_: None,
        should_stop=lambda: False,
    )
    trained.save(folder / f"model-{steps}", ArtifactFacts(version.class_names, settings.model, 0.5))
    return TorchPredictors().load(folder / f"model-{steps}", device="cpu")


def look(predictor: Predictor, version: DatasetVersion, settings: Settings) -> dict[str, Detections]:
    """Return what a model finds in every picture of a version."""
    answers = predict_pictures(
        predictor,
        version,
        version.pictures,
        progress=lambda *_: None,
        max_mpx=settings.data.max_picture_mpx,
    )
    return {digest: answer.detections for digest, answer in answers.items()}


def keep_boxes(file: Path, corrupted: Corrupted, found: dict[str, Detections]) -> None:
    """Write labels and detections as boxes, for comparison with methods that know no masks."""
    rows = [
        {
            "boxes": boxes_xyxy([one.mask for one in picture.instances]).tolist(),
            "classes": [one.class_index for one in picture.instances],
            "kinds": corrupted.kinds[row],
            "removed": boxes_xyxy(corrupted.removed[row]).tolist(),
            "found boxes": found[picture.digest].boxes_xyxy.tolist(),
            "found classes": found[picture.digest].class_indices.tolist(),
            "found scores": found[picture.digest].scores.tolist(),
        }
        for row, picture in enumerate(corrupted.pictures)
    ]
    file.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
