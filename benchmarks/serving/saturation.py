"""The service beside the bare model, in turns: how much of its throughput is left, and what is added to a
picture's time."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.serving.bare import BareModel
from benchmarks.serving.contestants import Contestant
from benchmarks.serving.plans import Plan, Seen, Sent, percentile, run_client
from benchmarks.timing import Spread


@dataclass(frozen=True)
class Length:
    """How long everything takes.

    Attributes:
        rounds: Of turns at full load.
        turn_s: Seconds of each.
        pairs: Of short turns without load: the bare model, then the service.
        pair_s: Seconds of each of both.
    """

    rounds: int
    turn_s: float
    pairs: int
    pair_s: float


FULL = Length(6, 6.0, 40, 1.0)
QUICK = Length(2, 2.0, 4, 1.0)


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
        added_ms = _measure_added(bare, plan, length)
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
        "added_ms": added_ms,
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


def _measure_added(bare: BareModel, plan: Plan, length: Length) -> dict[str, Any]:
    """Take many short turns without load, so that what else the machine does comes to both alike."""
    alone, served = [bare.loop(batch=1, seconds=length.pair_s)], []
    for _ in range(length.pairs):
        served.append(run_client(replace(plan, clients=1, seconds=length.pair_s)))
        alone.append(bare.loop(batch=1, seconds=length.pair_s))
    return describe_added(served, alone)


def describe_added(served: Sequence[Seen], bare: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare the same pictures, asked for one at a time; say in which stage the time goes.

    Args:
        served: Turns of the service.
        bare: Turns of the bare model around them, one more.

    Returns milliseconds: p50 of both; for each turn the median of what was added to the same picture's time in
    the bare turns around it, as median and quartiles over the turns; p50 by stage.
    """
    added = [
        statistics.median(one.ms - (before + after) / 2 for one, before, after in _match(turn, *around))
        for turn, around in zip(served, pairwise(bare), strict=True)
    ]
    stages: dict[str, list[float]] = defaultdict(list)
    for one in (one for turn in served for one in turn.answered):
        timings = one.answer()["timings_ms"]
        for stage, milliseconds in timings.items():
            stages[stage].append(milliseconds)
        stages["everything else"].append(one.ms - sum(timings.values()))
    served_p50_ms = percentile([one.ms for turn in served for one in turn.answered], 50)
    bare_p50_ms = percentile([ms for turn in bare for ms in turn["ms_by_picture"].values()], 50)
    return {
        "bare_p50_ms": round(bare_p50_ms, 2),
        "service_p50_ms": round(served_p50_ms, 2),
        "added_p50_ms": round(served_p50_ms - bare_p50_ms, 2),
        "added_by_turn_ms": _round(Spread.of(added), 2),
        "turns": len(served),
        "stages_p50_ms": {stage: round(percentile(each, 50), 2) for stage, each in stages.items()},
    }


def _match(
    turn: Seen, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[Sent, float, float]]:
    """Yield each answer with what the bare model took for its picture before and after."""
    for one in turn.answered:
        number = str(one.picture)
        if number in before["ms_by_picture"] and number in after["ms_by_picture"]:
            yield one, before["ms_by_picture"][number], after["ms_by_picture"][number]


def _median(turns: Sequence[Mapping[str, Any]], name: str) -> float:
    return statistics.median(float(turn[name]) for turn in turns)


def _round(spread: Spread, digits: int = 1) -> dict[str, float]:
    return {
        "median": round(spread.median, digits),
        "low": round(spread.low, digits),
        "high": round(spread.high, digits),
    }
