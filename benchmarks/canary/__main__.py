"""Simulate rollouts: ``python -m benchmarks.canary`` (some minutes; ``--quick`` for a first look)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.canary import simulation as sim

PICTURES: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures"
DROPS: Final = (0.02, 0.05, 0.1, 0.2, 0.4)
HONEST: Final = (0.72, 0.75, 0.78, 0.82, 0.88)
SEED: Final = 20_260


def main() -> None:
    """Run every simulation, print the figures as JSON and draw the plots."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.canary", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, no plots")
    wanted = parser.parse_args()
    runs, num_pictures = (40, 500) if wanted.quick else (200, 1000)
    found = simulate(runs=runs, num_pictures=num_pictures)
    if not wanted.quick:
        draw_plots(found)
    print(json.dumps(summarise(found, num_pictures), indent=1))


def simulate(*, runs: int, num_pictures: int) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return the times of every simulated rollout, by what was asked and of which challenger."""
    size: dict[str, int] = {"runs": runs, "num_pictures": num_pictures}
    alpha = sim.SETTINGS.error_rate
    at_limit = sim.AT_ITS_LIMITS
    return {
        "stopped": {
            "good": sim.stop_times(sim.GOOD, seed=SEED, **size),
            "exactly at its limits": sim.stop_times(at_limit, seed=SEED + 1, **size),
            "exactly at its limits, t test": sim.peeking_stop_times(
                at_limit, seed=SEED + 1, error_rate=alpha, **size
            ),
        },
        "worse": {
            f"{drop:g}": sim.stop_times(sim.worse_by(drop), seed=SEED + 2 + index, **size)
            for index, drop in enumerate(DROPS)
        },
        "goes on": {
            f"{agreement:g}": sim.go_on_times(
                sim.Challenger(agreement=agreement), seed=SEED + 20 + index, **size
            )
            for index, agreement in enumerate(HONEST)
        },
    }


def summarise(found: dict[str, dict[str, NDArray[np.float64]]], num_pictures: int) -> dict[str, Any]:
    """Return rates and quantiles; a time beyond the simulated pictures is null."""

    def times(values: NDArray[np.float64]) -> dict[str, Any]:
        middle, late = (float(np.quantile(values, q, method="higher")) for q in (0.5, 0.95))
        return {
            "happened": float(np.isfinite(values).mean()),
            "median_pictures": middle if np.isfinite(middle) else None,
            "p95_pictures": late if np.isfinite(late) else None,
        }

    return {
        "error_rate": sim.SETTINGS.error_rate,
        "runs": len(next(iter(found["stopped"].values()))),
        "pictures_per_run": num_pictures,
        **{what: {name: times(values) for name, values in rows.items()} for what, rows in found.items()},
    }


def draw_plots(found: dict[str, dict[str, NDArray[np.float64]]]) -> None:
    """Draw the false stops over time and the delays."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "maskloop", "font.size": 9, "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for name, values in found["stopped"].items():
        finite = np.sort(values[np.isfinite(values)])
        shares = np.arange(1, len(finite) + 1) / len(values)
        left.step(
            [20, *finite, 1000], [0, *shares, shares[-1] if finite.size else 0], where="post", label=name
        )
    left.axhline(sim.SETTINGS.error_rate, color="black", linestyle=":", label="promised at most")
    left.set(
        xscale="log", xlabel="pictures compared", ylabel="share stopped so far", title="Honest challengers"
    )
    left.legend(frameon=False)
    rows = list(found["worse"].values())
    right.plot(DROPS, [np.median(values) for values in rows], "o-", label="median")
    right.plot(
        DROPS, [np.quantile(values, 0.95, method="higher") for values in rows], "s--", label="95 of 100"
    )
    right.set(
        xscale="log", yscale="log", xlabel="agreement below what is asked", ylabel="pictures until stopped"
    )
    right.set(title="Worse challengers")
    right.set_xticks(DROPS, [f"{drop:g}" for drop in DROPS])
    right.set_yticks([20, 50, 100, 200, 500], ["20", "50", "100", "200", "500"])
    right.minorticks_off()
    right.legend(frameon=False)
    figure.savefig(PICTURES / "rollout.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
