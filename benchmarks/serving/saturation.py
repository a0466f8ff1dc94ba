"""The service beside the bare model, in turns: how much of its throughput is left, and what is added to a
picture's time."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.serving.bare import BareModel
from benchmarks.serving.contestants import Contestant
from benchmarks.serving.plans import Plan, Seen, percentile, run_client
from benchmarks.timing import Spread


@dataclass(frozen=True)
class Length:
    """How long everything takes: rounds of turns, each of so many seconds."""

    rounds: int
    turn_s: float


FULL = Length(6, 8.0)
QUICK = Length(2, 2.0)


def measure_saturation(
    contestant: Contestant,
    model: Path,
    pictures: Path,
    log: Path,
    length: Length,
    *,
    clients: Sequence[int] = (4, 8, 16),
    max_batch: int = 8,
) -> dict[str, Any]:
    """Take turns: the bare model alone and in full batches, the service with one client and with several."""
    bare_turns: dict[int, list[dict[str, Any]]] = defaultdict(list)
    service_turns: dict[int, list[Seen]] = defaultdict(list)
    with BareModel(model, pictures) as bare, contestant.running(pictures, log) as (server, plan):
        _warm(plan)
        before = server.resources()
        for turn in range(length.rounds):
            batches = (1, max_batch) if turn % 2 else (max_batch, 1)
            for batch in batches:
                bare_turns[batch].append(bare.loop(batch=batch, seconds=length.turn_s))
            for count in (1, *clients):
                seen = run_client(replace(plan, clients=count, seconds=length.turn_s))
                service_turns[count].append(seen)
        after, memory_mb = server.resources(), server.pss_mb()
    best = max(bare_turns, key=lambda batch: _median(bare_turns[batch], "per_second"))
    return {
        "bare": {
            f"batch {batch}": {
                "per_second": _round(Spread.of([turn["per_second"] for turn in turns])),
                "p50_ms_of_a_pass": round(_median(turns, "p50_ms"), 2),
            }
            for batch, turns in bare_turns.items()
        },
        "service": {
            f"{count} clients": _describe(turns, bare_turns[best]) for count, turns in service_turns.items()
        },
        "ratio_is_to_bare_batch": best,
        "added_ms": _describe_added(service_turns[1], bare_turns[1]),
        "resources": {"before": before, "after": after, "memory_mb": round(memory_mb)},
        "rounds": length.rounds,
        "turn_s": length.turn_s,
    }


def _warm(plan: Plan) -> None:
    run_client(replace(plan, clients=16, seconds=2.0))


def _describe(turns: Sequence[Seen], bare: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ratios = [seen.per_second() / alone["per_second"] for seen, alone in zip(turns, bare, strict=True)]
    sizes = [one.answer()["batch_size"] for seen in turns for one in seen.answered]
    return {
        "per_second": _round(Spread.of([seen.per_second() for seen in turns])),
        "times_bare": _round(Spread.of(ratios), 3),
        "p50_ms": round(statistics.median(seen.ms(50) for seen in turns), 2),
        "p99_ms": round(statistics.median(seen.ms(99) for seen in turns), 2),
        "mean_batch": round(statistics.fmean(sizes), 2),
        "not_200": sum(len(seen.requests) - len(seen.answered) for seen in turns),
    }


def _describe_added(turns: Sequence[Seen], bare: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare the same pictures, asked for one at a time; say in which stage the time goes."""
    alone: dict[int, list[float]] = defaultdict(list)
    for turn in bare:
        for picture, milliseconds in turn["ms_by_picture"].items():
            alone[int(picture)].append(milliseconds)
    served: dict[int, list[float]] = defaultdict(list)
    stages: dict[str, list[float]] = defaultdict(list)
    for one in (one for seen in turns for one in seen.answered):
        served[one.picture].append(one.ms)
        timings = one.answer()["timings_ms"]
        for stage, milliseconds in timings.items():
            stages[stage].append(milliseconds)
        stages["everything else"].append(one.ms - sum(timings.values()))
    both = [picture for picture in served if picture in alone]
    differences = [statistics.median(served[picture]) - statistics.median(alone[picture]) for picture in both]
    bare_ms = [ms for picture in both for ms in alone[picture]]
    served_ms = [ms for picture in both for ms in served[picture]]
    return {
        "bare_p50_ms": round(percentile(bare_ms, 50), 2),
        "service_p50_ms": round(percentile(served_ms, 50), 2),
        "added_p50_ms": round(percentile(served_ms, 50) - percentile(bare_ms, 50), 2),
        "median_of_differences_by_picture_ms": round(statistics.median(differences), 2),
        "stages_p50_ms": {stage: round(percentile(each, 50), 2) for stage, each in stages.items()},
    }


def _median(turns: Sequence[Mapping[str, Any]], name: str) -> float:
    return statistics.median(float(turn[name]) for turn in turns)


def _round(spread: Spread, digits: int = 1) -> dict[str, float]:
    return {
        "median": round(spread.median, digits),
        "low": round(spread.low, digits),
        "high": round(spread.high, digits),
    }
