"""What 50 labels of a new source give back, by how they are taught: ``python -m benchmarks.recovery``.

Champions, pictures and trainings are those of `benchmarks.labelling`; here the pictures are always drawn at
random from the new source, and what differs is the [training] section of the settings. The same held-out
pictures of both sources judge all; what counts is the share of the champion's mean IoU on its own source.

Every row is written as soon as it is measured, and an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.labelling.pictures import NEW, OLD, Pictures
from benchmarks.labelling.scenarios import SCENARIOS, Scenario
from benchmarks.labelling.training import measure_iou, teach
from benchmarks.provenance import describe_run
from maskloop.settings.workspace_settings import Settings
from models.artifacts.model_folder import load_model

FILE: Final = Path(__file__).resolve().parent / "runs" / "recovery.json"
NUM_LABELS: Final = 50
SCENARIO_NAMES: Final = ("replaced", "nuclei", "carparts")
CHAMPION: Final = "champion"
"""The recipe of no training at all: what the others are compared with."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """What differs from a scenario's settings in the [training] section.

    Attributes:
        steps: Of a retraining, as a multiple.
        rate: The peak learning rate of a retraining, as a multiple.
        training: Other settings.
    """

    steps: float = 1.0
    rate: float = 1.0
    training: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, scenario: Scenario, seed: int) -> Settings:
        """Return a scenario's settings with the differences."""
        usual = scenario.settings(seed).training
        return scenario.settings(
            seed,
            retrain_steps=round(self.steps * usual.retrain_steps),
            retrain_learning_rate=self.rate * usual.retrain_learning_rate,
            **self.training,
        )


SHORT: Final = 1 / 3
RECIPES: Final[Mapping[str, Recipe]] = {
    "presets": Recipe(),
    "1/3 of the steps": Recipe(SHORT),
    "1/3, twice the rate": Recipe(SHORT, 2.0),
    "1/3, replay 25 %": Recipe(SHORT, training={"replay_percent": 25}),
    "1/3, copy-paste": Recipe(SHORT, training={"augmentation": {"copy_paste": 0.5}}),
    "1/3, colour jitter 0.4": Recipe(SHORT, training={"colour_jitter": 0.4}),
}


def main() -> None:
    """Measure what is not measured yet, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind (default: 3)")
    parser.add_argument("--scenario", choices=SCENARIO_NAMES, action="append", help="default: all")
    parser.add_argument("--recipe", choices=list(RECIPES), action="append", help="default: all")
    parser.add_argument("--table", action="store_true", help="print what is measured already")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(FILE.read_text())["rows"] if FILE.exists() else []
    if not wanted.table:
        recipes = {CHAMPION, *(wanted.recipe or RECIPES)}
        for row in measure_recipes(rows, wanted.scenario or SCENARIO_NAMES, recipes, range(wanted.seeds)):
            rows.append(row)
            FILE.parent.mkdir(parents=True, exist_ok=True)
            FILE.write_text(json.dumps({"made": describe_run(), "rows": rows}, indent=1) + "\n")
            print(json.dumps(row), flush=True)
    print(to_markdown(rows))


def measure_recipes(
    rows: Sequence[Row], scenarios: Sequence[str], recipes: Collection[str], seeds: Sequence[int]
) -> Iterator[Row]:
    """Yield a row for each training that ``rows`` does not hold yet; the champion is measured once."""
    known = {(row["scenario"], row["recipe"], row["seed"]) for row in rows}
    for seed in seeds:
        for recipe in (each for each in (CHAMPION, *RECIPES) if each in recipes):
            for name in scenarios:
                if (name, recipe, seed) not in known and not (recipe == CHAMPION and seed):
                    iou = _measure(SCENARIOS[name], recipe, seed)
                    yield {"scenario": name, "recipe": recipe, "seed": seed, **iou}


def choose_labels(pictures: Pictures, seed: int) -> list[str]:
    """Return the digests of `NUM_LABELS` pictures of the new source, drawn at random."""
    pool = pictures.from_source(NEW)
    return [pool[index] for index in np.random.default_rng(seed).permutation(len(pool))[:NUM_LABELS]]


def to_markdown(rows: Sequence[Row]) -> str:
    """Return a table: a line for each scenario and recipe, with means over its seeds.

    The share is that of the champion's mean IoU on its own source; the last column is the class that lost
    most on the old source against the champion, and how much.
    """
    head = ["scenario", "recipe", "seeds", "new source", "of before", "old source", "worst class, old source"]
    lines = [head, ["---"] * len(head)]
    for name in SCENARIO_NAMES:
        own = [row for row in rows if row["scenario"] == name]
        champion = next((row for row in own if row["recipe"] == CHAMPION), None)
        if champion is None:
            continue
        before = _mean(champion, "old")
        for recipe in (CHAMPION, *RECIPES):
            measured = [row for row in own if row["recipe"] == recipe]
            if not measured:
                continue
            new = [_mean(row, "new") for row in measured]
            losses = {
                label: statistics.mean(row["old"][label] for row in measured) - iou
                for label, iou in champion["old"].items()
            }
            worst = min(losses, key=lambda label: losses[label])
            lines.append(
                [
                    name,
                    recipe,
                    str(len(measured)),
                    f"{statistics.mean(new):.3f} ({min(new):.3f}-{max(new):.3f})",
                    f"{statistics.mean(new) / before:.0%}",
                    f"{statistics.mean(_mean(row, 'old') for row in measured):.3f}",
                    f"{worst} {losses[worst]:+.3f}",
                ]
            )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _measure(scenario: Scenario, recipe: str, seed: int) -> dict[str, dict[str, float]]:
    pictures = scenario.pictures(seed)
    champion = scenario.train_champion(pictures)
    if recipe == CHAMPION:
        model = load_model(champion)[0]
    else:
        settings = RECIPES[recipe].settings(scenario, seed)
        model = teach(champion, pictures, choose_labels(pictures, seed), settings)
    return {
        "new": measure_iou(model, pictures, pictures.held_out(NEW)),
        "old": measure_iou(model, pictures, pictures.held_out(OLD)),
    }


def _mean(row: Row, source: str) -> float:
    iou: Mapping[str, float] = row[source]
    return statistics.mean(iou.values())


if __name__ == "__main__":
    main()
