"""What a search over settings finds, beside random search: ``python -m benchmarks.tuning``.

A workspace with the demo's pictures and network, and a learning rate that nobody has tuned. Both searches may
train for equally many steps in all, one trial at a time, from the same settings over the same space. Then the
best of each is trained anew from other first weights, and meets the test pictures, which no search has seen.
Finished searches are kept and not repeated.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.provenance import describe_run
from dataset.ingestion.plan import IngestOptions
from dataset.labelled_pictures import DatasetVersion
from dataset.pictures.decoding import decode_picture
from dataset.synthetic.generation import generate
from dataset.versions.catalog import read_picture_file
from flows.intake.batch_intake import ingest
from flows.learning.request import score_threshold
from flows.tuning.budget import evaluation_interval
from flows.workspace.creation import init_workspace
from flows.workspace.wiring import open_app
from maskloop.settings.workspace_settings import Settings
from models.cluster.ray_search import RayTuneSearcher
from models.loading.request import TrainingRequest
from models.search.space import default_space, present_values, with_values
from models.search.trials import SearchPlan, SearchTrial, best_trial, result_of
from models.training.training_loop import train
from models.validation.class_iou import measure_class_iou

RESULTS: Final = Path(__file__).resolve().parent / "runs"
TPE, RANDOM = "TPE and ASHA", "random, all to the end"
FILES: Final = {TPE: "tpe", RANDOM: "random"}
OTHER_SEED: Final = 1000
UNTUNED: Final = {
    "learning_rate": "1e-3",
    "warmup_steps": "30",
    "steps": "90",
    "checkpoint_every_steps": "90",
}


@dataclass(frozen=True)
class Line:
    """One search, or the settings that all begin with.

    Attributes:
        name: Which one.
        trials: How many it began, for each seed.
        finished: How many reached their last step.
        steps: That it trained in all.
        validation: The best trial's mean mask IoU on the validation pictures, for each seed.
        test: Of its settings, trained anew, on the test pictures.
    """

    name: str
    trials: tuple[int, ...]
    finished: tuple[int, ...]
    steps: tuple[int, ...]
    validation: tuple[float, ...]
    test: tuple[float, ...]


def main() -> None:
    """Search, train anew, print the table and write it below ``runs/``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="searches of each kind (default: 2)")
    parser.add_argument("--full", type=int, default=8, help="trainings' worth of steps each (default: 8)")
    parser.add_argument("--pictures", type=int, default=240, help="labelled ones (default: 240)")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    version, settings = prepare(RESULTS / f"workspace-{wanted.pictures}", wanted.pictures)
    kept = RESULTS / f"searches-{wanted.pictures}-{wanted.full}"
    for seed in range(wanted.seeds):
        for name in (RANDOM, TPE):
            file = kept / f"{FILES[name]}-{seed}.json"
            if not file.exists():
                row = search(name, version, settings, seed=seed, full=wanted.full, folder=kept / "trials")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps({**row, "run": describe_run()}, indent=1) + "\n")
            print(f"{name}, seed {seed}: done", flush=True)
    print(to_markdown(read_lines(kept, range(wanted.seeds))))


def prepare(root: Path, num_pictures: int) -> tuple[DatasetVersion, Settings]:
    """Make a workspace with the demo's pictures and untuned settings, or open the one that is there."""
    if not (root / "maskloop.toml").exists():
        made = init_workspace(root, preset="demo").workspace
        lines = made.settings_file.read_text().splitlines()
        names = [line.partition(" =")[0] for line in lines]
        text = "\n".join(
            f"{name} = {UNTUNED[name]}" if name in UNTUNED else line
            for name, line in zip(names, lines, strict=True)
        )
        made.settings_file.write_text(f"{text}\n")
    app = open_app(root)
    if app.data.current() is None:
        annotations = generate(root / "incoming", num_pictures=num_pictures, first_index=0, shift=None)
        ingest(
            app,
            annotations=annotations,
            images_dir=annotations.parent / "images",
            options=IngestOptions("belt camera 1"),
        )
    version = app.data.current()
    assert version is not None
    return version, app.settings


def search(
    name: str, version: DatasetVersion, settings: Settings, *, seed: int, full: int, folder: Path
) -> dict[str, Any]:
    """Search until the steps are used; train the best and the first settings anew, and measure both."""
    shutil.rmtree(folder, ignore_errors=True)
    training = settings.training.model_copy(update={"seed": seed})
    settings = settings.model_copy(update={"training": training})
    space, steps = default_space(settings), training.steps
    trials: dict[int, SearchTrial] = {}
    request = TrainingRequest(version, settings, folder, steps, training.learning_rate, device="cpu")
    plan = SearchPlan(
        request=request,
        space=space,
        critical_classes=(),
        known=(),
        waiting=(SearchTrial(1, present_values(settings, space)),),
        next_number=2,
        evaluate_every_steps=evaluation_interval(steps, 3),
        reduction_factor=3 if name == TPE else 0,
        sampler="tpe" if name == TPE else "random",
        concurrent_trials=1,
    )

    def count_steps() -> int:
        return sum(one.last_step for one in trials.values())

    def hear(trial: SearchTrial) -> None:
        trials[trial.number] = trial
        if trial.outcome != "running":
            print(f"{trial.number} {trial.outcome} {trial.last_step} {result_of(trial, ())}", flush=True)

    RayTuneSearcher().search(
        plan,
        on_trial=hear,
        may_start=lambda: count_steps() + plan.evaluate_every_steps <= full * steps,
        should_stop=lambda: False,
    )
    best = best_trial(list(trials.values()), ())
    assert best is not None
    return {
        "trials": [asdict(one) for one in trials.values()],
        "steps": count_steps(),
        "first": {"validation": result_of(trials[1], ()), "test": measure_anew(plan, trials[1], seed)},
        "best": {"validation": result_of(best, ()), "test": measure_anew(plan, best, seed)},
    }


def measure_anew(plan: SearchPlan, trial: SearchTrial, seed: int) -> float:
    """Return the mean mask IoU on the test pictures, 0..1, of a trial's settings with other first weights."""
    settings = with_values(plan.request.settings, {**trial.values, "training.seed": OTHER_SEED + seed})
    folder = plan.request.checkpoint_dir / "anew"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    every = {"evaluate_every_steps": plan.evaluate_every_steps}
    settings = settings.model_copy(update={"training": settings.training.model_copy(update=every)})
    version = plan.request.dataset
    model = train(
        replace(
            plan.request,
            settings=settings,
            checkpoint_dir=folder,
            learning_rate=settings.training.learning_rate,
        )
    ).model
    measured = measure_class_iou(
        model,
        version.by_split["test"],
        lambda picture: decode_picture(read_picture_file(version.path(picture)), max_mpx=25.0),
        class_names=version.class_names,
        score_threshold=score_threshold(settings),
        device=torch.device("cpu"),
    )
    return statistics.mean(measured.values())


def read_lines(folder: Path, seeds: Sequence[int]) -> list[Line]:
    """Read what was found."""
    lines = []
    for name in (RANDOM, TPE):
        rows = [json.loads((folder / f"{FILES[name]}-{seed}.json").read_text()) for seed in seeds]
        if name == RANDOM:
            first = [row["first"] for row in rows]
            tested = tuple(one["test"] for one in first)
            lines.append(
                Line("settings at the start", (), (), (), tuple(one["validation"] for one in first), tested)
            )
        lines.append(
            Line(
                name,
                tuple(len(row["trials"]) for row in rows),
                tuple(sum(one["outcome"] == "finished" for one in row["trials"]) for row in rows),
                tuple(row["steps"] for row in rows),
                tuple(row["best"]["validation"] for row in rows),
                tuple(row["best"]["test"] for row in rows),
            )
        )
    return lines


def to_markdown(lines: Sequence[Line]) -> str:
    """Return the table, with one figure for each seed."""
    head = ["", "trials", "to the end", "steps", "best on validation", "trained anew, on test"]
    rows = [head, ["---"] * len(head)]
    for line in lines:
        counts = [", ".join(map(str, each)) for each in (line.trials, line.finished, line.steps)]
        figures = [", ".join(f"{one:.3f}" for one in each) for each in (line.validation, line.test)]
        rows.append([line.name, *counts, *figures])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
