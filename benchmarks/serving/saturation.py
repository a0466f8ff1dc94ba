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
    """How long everything takes.

    Attributes:
        rounds: Of turns at full load.
        turn_s: Seconds of each.
        pairs: Of short turns without load: the bare model and the service.
        pair_s: Seconds of each of both.
    """

    rounds: int
    turn_s: float
    pairs: int
    pair_s: float


_PAUSE_S = 0.005
FULL = Length(6, 6.0, 40, 0.8)
QUICK = Length(2, 2.0, 4, 0.6)


def measure_saturation(
    contestant: Contestant,
    model: Path,
    pictures: Path,
    log: Path,
    length: Length,
    *,
    clients: Sequence[int] = (4, 8, 16),
    max_batch: int = 8,
    several_workers: Contestant | None = None,
) -> dict[str, Any]:
    """Take turns: the bare model alone and in full batches, the service with one client and with several.

    Args:
        contestant: The service.
        model: The folder of the weights that it serves.
        pictures: What is sent.
        log: Where the service's output goes.
        length: How long everything takes.
        clients: At full load.
        max_batch: Of the bare model's full batches.
        several_workers: The service with more processes, which is then measured too, at full load alone.
    """
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
        added = {pause_s: _measure_added(bare, plan, length, pause_s) for pause_s in (0.0, _PAUSE_S)}
        after, memory_mb = server.resources(), server.pss_mb()
    best = max(bare_turns, key=lambda batch: _median(bare_turns[batch], "per_second"))
    service = {
        f"{count} clients": _describe(turns, bare_turns[best]) for count, turns in service_turns.items()
    }
    if several_workers:
        name = f"{several_workers.name}, {2 * max(clients)} clients"
        with BareModel(model, pictures) as bare, several_workers.running(pictures, log) as (_, plan):
            _warm(plan)
            full = replace(plan, clients=2 * max(clients), seconds=length.turn_s)
            service[name] = _describe_pairs(bare, full, best, length.rounds)
    return {
        "bare": {f"batch {batch}": _describe_bare(turns) for batch, turns in bare_turns.items()},
        "service": service,
        "ratio_is_to_bare_batch": best,
        "added_without_a_pause_ms": added[0.0],
        f"added_after_pauses_of_{_PAUSE_S * 1000:g}_ms": added[_PAUSE_S],
        "resources": {"before": before, "after": after, "memory_mb": round(memory_mb)},
        "rounds": length.rounds,
        "turn_s": length.turn_s,
    }


def _warm(plan: Plan) -> None:
    run_client(replace(plan, clients=16, seconds=2.0))


def _describe_bare(turns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "per_second": _round(Spread.of([turn["per_second"] for turn in turns])),
        "p50_ms_of_a_pass": round(_median(turns, "p50_ms"), 2),
    }


def _describe_pairs(bare: BareModel, plan: Plan, batch: int, rounds: int) -> dict[str, Any]:
    pairs = [(bare.loop(batch=batch, seconds=plan.seconds), run_client(plan)) for _ in range(rounds)]
    return _describe([seen for _, seen in pairs], [alone for alone, _ in pairs])


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


def _measure_added(bare: BareModel, plan: Plan, length: Length, pause_s: float) -> dict[str, Any]:
    """Take short turns without load, either of both first in turn: the machine changes within seconds.

    Without a pause, what the service and the client do after an answer delays the next one; and the bare
    model, which has nothing else to do, finds all its data in the caches. With one, both are asked like a
    service that few use.
    """
    served: list[Seen] = []
    alone: list[dict[str, Any]] = []
    for pair in range(length.pairs):
        if pair % 2:
            alone.append(bare.loop(batch=1, seconds=length.pair_s, pause_s=pause_s))
        served.append(run_client(replace(plan, clients=1, seconds=length.pair_s, pause_s=pause_s)))
        if not pair % 2:
            alone.append(bare.loop(batch=1, seconds=length.pair_s, pause_s=pause_s))
    return describe_added(served, alone)


def describe_added(served: Sequence[Seen], bare: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare the same pictures, asked for one at a time; say in which stage the time goes.

    Args:
        served: Turns of the service.
        bare: For each the turn of the bare model beside it.

    Returns milliseconds: p50 of both; for each turn the median of what was added to the same picture's time,
    as median and quartiles over the turns; p50 by stage.
    """
    pairs = [
        [(one.ms, turn["ms_by_picture"].get(str(one.picture))) for one in seen.answered]
        for seen, turn in zip(served, bare, strict=True)
    ]
    added = [statistics.median(ms - alone for ms, alone in pair if alone is not None) for pair in pairs]
    stages: dict[str, list[float]] = defaultdict(list)
    for one in (one for turn in served for one in turn.answered):
        timings = one.answer()["timings_ms"]
        for stage, milliseconds in timings.items():
            stages[stage].append(milliseconds)
        stages["everything else"].append(one.ms - sum(timings.values()))
    served_p50_ms = statistics.median(seen.ms(50) for seen in served)
    bare_p50_ms = _median(bare, "p50_ms")
    return {
        "bare_p50_ms": round(bare_p50_ms, 2),
        "service_p50_ms": round(served_p50_ms, 2),
        "added_p50_ms": round(served_p50_ms - bare_p50_ms, 2),
        "added_by_turn_ms": _round(Spread.of(added), 2),
        "turns": len(served),
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
