"""How many labels a drift costs, by how they are chosen: ``python -m benchmarks.labelling``.

A champion knows one source, and production brings pictures of another: `benchmarks.labelling.scenarios`. Some
of production are labelled and the champion is taught them as `maskloop retrain` does it; held-out pictures of
both sources, the same for all, say how good it has become. A curve is one seed: of choice and training, and
of the production where pictures are drawn.

Every row is written as soon as it is measured, and an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch

from benchmarks.labelling.choosing import WAYS, look_at_production
from benchmarks.labelling.pictures import NEW, OLD
from benchmarks.labelling.scenarios import RUNS, SCENARIOS
from benchmarks.labelling.training import measure_iou, teach
from benchmarks.provenance import describe_run
from models.artifacts.model_folder import load_model

NUMBERS: Final = (10, 25, 50)
MANY: Final = 100
"""What the others are compared with: the result of this many labels at random."""

Row = Mapping[str, Any]


def main() -> None:
    """Measure what is not measured yet, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labelling", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="curves of each kind (default: 3)")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), action="append", help="default: all")
    parser.add_argument("--labels", type=int, action="append", help=f"beside {MANY} (default: {NUMBERS})")
    parser.add_argument("--way", choices=[*WAYS], action="append", help="of choosing (default: all)")
    parser.add_argument("--steps", type=int, help="of each training (default: the preset's)")
    parser.add_argument("--tables", action="store_true", help="print what is measured already")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    for name in wanted.scenario or list(SCENARIOS):
        file = RUNS / SCENARIOS[name].champion / f"curves-{name}.json"
        rows = json.loads(file.read_text())["rows"] if file.exists() else []
        seeds = range(0 if wanted.tables else wanted.seeds)
        numbers = wanted.labels or NUMBERS
        ways = wanted.way or list(WAYS)
        for row in measure_curves(
            rows, seeds=seeds, numbers=numbers, ways=ways, name=name, steps=wanted.steps
        ):
            rows.append(row)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"made": describe_run(), "rows": rows}, indent=1) + "\n")
            print(json.dumps(row), flush=True)
        for steps in sorted({row["steps"] for row in rows}):
            own = [row for row in rows if row["steps"] == steps]
            print(f"\n{name}, {steps} steps\n\n{to_markdown(own)}")


def measure_curves(
    rows: Sequence[Row],
    *,
    seeds: Sequence[int],
    numbers: Sequence[int],
    ways: Sequence[str],
    name: str,
    steps: int | None,
) -> Iterator[Row]:
    """Yield a row for each training in a scenario that ``rows`` does not hold yet.

    The way ``none`` measures the champion itself. Without ``steps``, trainings have the preset's number.
    """
    known = {(row["steps"], row["seed"], row["way"], row["labels"]) for row in rows}
    wanted = [(way, num) for num in (*numbers, MANY) for way in ways if num < MANY or way == "random"]
    scenario = SCENARIOS[name]
    for seed in seeds:
        settings = scenario.settings(seed, **({"retrain_steps": steps} if steps else {}))
        num_steps = settings.training.retrain_steps
        missing = [one for one in [("none", 0), *wanted] if (num_steps, seed, *one) not in known]
        if not missing:
            continue
        pictures = scenario.pictures(seed)
        champion = scenario.train_champion(pictures)
        production = look_at_production(champion, pictures, settings, seed=seed)
        for way, num in missing:
            chosen = WAYS[way](production, num, seed) if num else []
            model = teach(champion, pictures, chosen, settings) if chosen else load_model(champion)[0]
            of_new, of_old = (measure_iou(model, pictures, pictures.held_out(one)) for one in (NEW, OLD))
            yield {
                "steps": num_steps,
                "seed": seed,
                "way": way,
                "labels": num,
                "iou_new": round(statistics.mean(of_new.values()), 4),
                "iou_old": round(statistics.mean(of_old.values()), 4),
                "from_new": len(set(pictures.from_source(NEW)) & set(chosen)),
                "verdict": production.verdict,
            }


def to_markdown(rows: Sequence[Row]) -> str:
    """Return a table: mean IoU on the new source and its range over the seeds, and the old source's mean."""
    lines = [["labels", "chosen by", "seeds", "new source", "old source", "of the new source"], ["---"] * 6]
    ways = ["none", *WAYS]
    keys = sorted({(row["labels"], ways.index(row["way"])) for row in rows})
    for num, way in keys:
        own = [row for row in rows if row["labels"] == num and row["way"] == ways[way]]
        new = [row["iou_new"] for row in own]
        lines.append(
            [
                str(num),
                ways[way],
                str(len(own)),
                f"{statistics.mean(new):.3f} ({min(new):.3f}-{max(new):.3f})",
                f"{statistics.mean(row['iou_old'] for row in own):.3f}",
                f"{statistics.mean(row['from_new'] for row in own):.1f}",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
