"""Put errors into the labels of pictures and look for them: ``python -m benchmarks.health [DATA]``.

DATA is ``drawn`` (generated pictures, the demo's recipe), ``carparts`` or ``nuclei`` (photographs, recipes
of ``benchmarks/real``). 5 % of the instances get an error of each kind; where there is one class alone, none
is swapped. Two models look for them: one trained on other pictures with the labels as they are, and one
trained on the very labels with the errors. The figures are printed as JSON and kept in
``benchmarks/health/runs/DATA/``. A second run goes on where the first one ended; ``--anew`` begins again, and
``--quick`` is a first look.
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
from benchmarks.health.photographs import PUBLISHED, VAL_EVERY, find_published_merges, open_photographs
from benchmarks.health.ranking import FIRST, measure
from benchmarks.provenance import describe_run
from dataset.labelled_pictures import DatasetVersion, LabelledInstance, LabelledPicture, Split
from dataset.synthetic.generation import stored_png
from dataset.synthetic.parts import CLASS_NAMES
from dataset.synthetic.scene import photograph_scene
from dataset.versions.catalog import fingerprint
from evaluation.instances import Detections
from evaluation.label_errors import rank_label_errors
from flows.evidence.evaluate import predict_pictures
from maskloop.digest import digest_bytes
from maskloop.masks import boxes_xyxy, encode_masks
from maskloop.settings.workspace_settings import Settings, load_settings
from models.answering.predictors import TorchPredictors
from models.artifacts.manifest import ArtifactFacts
from models.loading.ground_truth import ground_truth
from models.loading.request import TrainingRequest
from models.ports import Predictor
from models.training.trainer import TorchTrainer

RUNS: Final = Path(__file__).resolve().parent / "runs"
SETTINGS_FILE: Final = Path(__file__).resolve().parents[2] / "configs" / "demo.toml"
SIDE_PX: Final = 128
SHARE: Final = 0.05
SEED: Final = 0
_PICTURES: Final = 600
_DRAWN_STEPS: Final = 400
_QUICK_PICTURES: Final = 60
_QUICK_STEPS: Final = 40


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.health", description=__doc__)
    parser.add_argument("data", nargs="?", default="drawn", choices=("drawn", *PUBLISHED))
    parser.add_argument("--quick", action="store_true", help="fewer pictures and steps")
    parser.add_argument("--anew", action="store_true", help="forget the models of an earlier run")
    wanted = parser.parse_args()
    folder = RUNS / (f"{wanted.data}-quick" if wanted.quick else wanted.data)
    if wanted.anew:
        shutil.rmtree(folder, ignore_errors=True)
    source = open_drawn(folder, is_quick=wanted.quick) if wanted.data == "drawn" else open_real(wanted.data)
    figures = describe_run() | find_errors(*source, folder, _QUICK_STEPS if wanted.quick else 0)
    (folder / "figures.json").write_text(json.dumps(figures, indent=1))
    print(json.dumps(figures, indent=1))


def open_drawn(folder: Path, *, is_quick: bool) -> tuple[DatasetVersion, DatasetVersion, Settings]:
    """Draw the pictures to learn from and those to check."""
    number = _QUICK_PICTURES if is_quick else _PICTURES
    settings = load_settings(SETTINGS_FILE)
    training = settings.training.model_copy(update={"steps": _DRAWN_STEPS})
    return (
        draw_version(folder / "other", range(number)),
        draw_version(folder / "checked", range(number, 2 * number)),
        settings.model_copy(update={"training": training}),
    )


def open_real(name: str) -> tuple[DatasetVersion, DatasetVersion, Settings]:
    """Open published photographs."""
    return open_photographs(name, RUNS / name / "workspace")


def find_errors(
    other: DatasetVersion, checked: DatasetVersion, settings: Settings, folder: Path, quick_steps: int
) -> dict[str, Any]:
    """Put errors in, look for them with both models, and return the figures."""
    num_classes, steps = len(checked.class_names), quick_steps or settings.training.steps
    corrupted = corrupt(checked.pictures, num_classes, share=SHARE, seed=SEED)
    with_errors = replace(
        checked,
        pictures=corrupted.pictures,
        fingerprint=fingerprint(checked.class_names, corrupted.pictures),
    )
    figures: dict[str, Any] = {
        "pictures": len(checked.pictures),
        "instances": sum(len(picture.instances) for picture in checked.pictures),
        "steps": steps,
    }
    truths = [ground_truth(picture) for picture in checked.pictures]
    for name, taught in (("trained on other pictures", other), ("trained on these labels", with_errors)):
        start, key = time.process_time(), name.replace(" ", "-")
        predictor = train(taught, settings, folder / key, steps)
        found = look(predictor, checked, settings)
        as_published = rank_label_errors(found, truths, num_classes=num_classes, min_score=0.05)
        figures[name] = {
            "CPU s": round(time.process_time() - start),
            "kinds": measure(corrupted, found, num_classes),
            "merged as published": find_published_merges(checked, as_published, num_first=FIRST),
        }
        keep_boxes(folder / f"boxes-{key}.json", corrupted, found, num_classes)
    return figures


def draw_version(root: Path, numbers: Sequence[int]) -> DatasetVersion:
    """Draw pictures with their labels; every tenth is for validation."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    pictures = []
    for number in numbers:
        scene = photograph_scene(SEED, number, side_px=SIDE_PX, shift=None)
        data = stored_png(scene.pixels)
        digest, file = digest_bytes(data), f"images/{number:06d}.png"
        (root / file).write_bytes(data)
        split: Split = "train" if number % VAL_EVERY else "val"
        instances = tuple(map(LabelledInstance, scene.class_indices, encode_masks(scene.masks)))
        where = (SIDE_PX, SIDE_PX, "line-1", digest, split, "data-v1")
        pictures.append(LabelledPicture(digest, file, f"{number:06d}.png", *where, "human", instances))
    pictures.sort(key=lambda picture: picture.digest)
    return DatasetVersion(
        "data-v1", fingerprint(CLASS_NAMES, pictures), "", "", CLASS_NAMES, tuple(pictures), root
    )


def train(version: DatasetVersion, settings: Settings, folder: Path, steps: int) -> Predictor:
    """Train a model on a version, or take that of an earlier run."""
    model = folder / f"model-{steps}"
    if model.exists():
        return TorchPredictors().load(model, device="cpu")
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
    trained.save(model, ArtifactFacts(version.class_names, settings.model, 0.5))
    return TorchPredictors().load(model, device="cpu")


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


def keep_boxes(file: Path, corrupted: Corrupted, found: dict[str, Detections], num_classes: int) -> None:
    """Write labels and detections as boxes, for comparison with methods that know no masks."""
    rows: list[dict[str, Any]] = [
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
    file.write_text(json.dumps({"classes": num_classes, "pictures": rows}))


if __name__ == "__main__":
    main()
