"""An open loop at half, once and twice the capacity, while champions change and a worker is killed.

Requests are sent at a fixed rate by a second process, so that waiting is counted. Every answer is compared
with what the version it names gives for that picture.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.serving.checking import Expected, compute_expected, count_wrong
from benchmarks.serving.contestants import Contestant, ours
from benchmarks.serving.plans import Plan, Seen, Sent, run_client
from benchmarks.serving.processes import MemoryWatch, Server
from benchmarks.serving.workspace import Prepared, command_of_maskloop
from maskloop.ledger.port import Entry

WORKERS = 2
_ATTEMPTS = 3
_OPERATOR_TIMEOUT_S = 120.0
_WORKER_TIMEOUT_S = 120.0
_LOADED = "is loaded as champion"


@dataclass(frozen=True)
class Length:
    """Seconds of the capacity's measurement, of each rate, and of the quiet time at the end."""

    capacity_s: float
    rate_s: float
    quiet_s: float


FULL = Length(15.0, 45.0, 90.0)
QUICK = Length(5.0, 12.0, 10.0)


@dataclass(frozen=True)
class Deed:
    """Something that is done while requests come.

    Attributes:
        what: In words.
        share: When: this part of the span at that rate has passed.
        do: Does it.
    """

    what: str
    share: float
    do: Callable[[], None]


def measure_rush(prepared: Prepared, log: Path, length: Length) -> dict[str, Any]:
    """Run everything and return what was counted."""
    expected = compute_expected(
        prepared.directories, prepared.pictures, max_batch=8, threads=max(1, (os.cpu_count() or 1) // WORKERS)
    )
    contestant: Contestant = ours(prepared.app.workspace.root, workers=WORKERS)
    log.unlink(missing_ok=True)
    back_after_s: list[float] = []
    with contestant.running(prepared.pictures, log) as (server, plan), MemoryWatch(server.tree) as watch:
        _wait_until_loaded(log, WORKERS)
        run_client(replace(plan, clients=16, seconds=length.capacity_s))  # makes them warm
        before = server.resources()
        capacity = run_client(replace(plan, clients=16, seconds=length.capacity_s)).per_second()
        open_loop = replace(plan, seconds=length.rate_s, attempts=_ATTEMPTS)
        deeds = _deeds(prepared, lambda: back_after_s.append(_kill_a_worker(server, log)))
        spans = [_run_span(replace(open_loop, rate=each * capacity), deeds[each]) for each in deeds]
        quiet = replace(open_loop, rate=0.5 * capacity, seconds=length.quiet_s)
        spans.append(_run_span(quiet, []))
        time.sleep(2.0)
        after = server.resources()
    names = ("0.5 x capacity", "1 x capacity", "2 x capacity", "0.5 x capacity, nothing happens")
    return {
        "capacity_per_second": round(capacity, 1),
        "workers": WORKERS,
        "killed_worker_is_replaced_after_s": back_after_s,
        "spans": {name: _describe(span, expected, watch) for name, span in zip(names, spans, strict=True)},
        "totals": _total(spans, expected),
        "changes": _describe_changes(prepared, spans, server_start=spans[0].start_s),
        "resources": {"before": before, "after": after},
        "left_after_stop": server.left_over,
        "stop_s": round(server.stop_s, 2),
        "pictures_that_versions_answer_alike": expected.num_ambiguous,
        "pictures_whose_answer_depends_on_the_batch": expected.num_batch_dependent,
    }


def _deeds(prepared: Prepared, kill: Callable[[], None]) -> dict[float, list[Deed]]:
    """Say what happens at which multiple of the capacity: a promotion, two rollbacks, a kill."""
    rollback = ("rollback", "--why", "load test", "--by", "benchmark")
    return {
        0.5: [Deed("promote", 0.3, lambda: _operate(prepared, "promote"))],
        1.0: [
            Deed("kill -9 of a worker", 0.15, kill),
            Deed("rollback", 0.7, lambda: _operate(prepared, *rollback)),
        ],
        2.0: [Deed("rollback", 0.3, lambda: _operate(prepared, *rollback, prepared.first))],
    }


def _operate(prepared: Prepared, *arguments: str) -> None:
    """Type a command, as an operator would."""
    command = [command_of_maskloop(), *arguments]
    subprocess.run(
        command,
        cwd=prepared.app.workspace.root,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=_OPERATOR_TIMEOUT_S,
    )


def _kill_a_worker(server: Server, log: Path) -> float:
    """Kill one, and return after how many seconds another has its model."""
    num_before = _count_loaded(log)
    started_s = time.monotonic()
    os.kill(server.children("spawn_main")[0].pid, signal.SIGKILL)
    _wait_until_loaded(log, num_before + 1)
    return round(time.monotonic() - started_s, 1)


def _wait_until_loaded(log: Path, count: int) -> None:
    deadline_s = time.monotonic() + _WORKER_TIMEOUT_S
    while _count_loaded(log) < count:
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"no worker has its model: {log.read_text()[-600:]}")
        time.sleep(0.2)


def _count_loaded(log: Path) -> int:
    return log.read_text().count(_LOADED)


def _run_span(plan: Plan, deeds: Sequence[Deed]) -> Seen:
    """Send at one rate; do the deeds at their times, and end when all of them are done."""
    troubles: list[str] = []

    def work() -> None:
        start_s = time.monotonic()
        for deed in deeds:
            time.sleep(max(0.0, start_s + deed.share * plan.seconds - time.monotonic()))
            try:
                deed.do()
            except Exception as error:  # noqa: BLE001 - it is told when the client has ended
                troubles.append(f"{deed.what}: {error}")

    thread = threading.Thread(target=work)
    seen = run_client(plan, meanwhile=thread.start)
    thread.join()
    if troubles:
        raise RuntimeError("; ".join(troubles))
    return seen


def _describe(span: Seen, expected: Expected, watch: MemoryWatch) -> dict[str, Any]:
    wrong, versions = count_wrong(span.answered, expected)
    refused = [one for one in span.requests if one.status in (429, 503)]
    return {
        "rate_per_second": round(span.plan.rate, 1),
        "seconds": span.plan.seconds,
        "sent": len(span.requests),
        "answered": len(span.answered),
        "refused": len(refused),
        "refused_percent": round(100 * len(refused) / max(1, len(span.requests)), 2),
        "refused_without_retry_after": sum(not one.retry_after for one in refused),
        "refused_p50_ms": _p50(refused),
        "statuses": dict(sorted(Counter(one.status for one in span.requests).items())),
        "p50_ms": round(span.ms(50), 1),
        "p95_ms": round(span.ms(95), 1),
        "p99_ms": round(span.ms(99), 1),
        "largest_ms": round(span.ms(100), 1),
        "wrong": wrong,
        "by_version": dict(versions),
        "sent_again": sum(one.attempts > 1 for one in span.requests),
        "lost": sum(one.status == 0 for one in span.requests),
        "memory": watch.describe(span.start_s, span.start_s + span.plan.seconds),
    }


def _p50(requests: Sequence[Sent]) -> float | None:
    return round(sorted(one.ms for one in requests)[len(requests) // 2], 1) if requests else None


def _total(spans: Sequence[Seen], expected: Expected) -> dict[str, Any]:
    requests = [one for span in spans for one in span.requests]
    answered = [one for span in spans for one in span.answered]
    wrong, versions = count_wrong(answered, expected)
    return {
        "sent": len(requests),
        "answered": len(answered),
        "refused": sum(one.status in (429, 503) for one in requests),
        "other_statuses": sum(one.status not in (0, 200, 429, 503) for one in requests),
        "wrong": wrong,
        "lost": sum(one.status == 0 for one in requests),
        "sent_again": sum(one.attempts > 1 for one in requests),
        "sent_again_then_refused": sum(one.attempts > 1 and one.status in (429, 503) for one in requests),
        "by_version": dict(versions),
    }


def _describe_changes(
    prepared: Prepared, spans: Sequence[Seen], *, server_start: float
) -> list[dict[str, Any]]:
    """Say for each change of champion how long after it the new one answered first, and the old one last."""
    offset_s = time.time() - time.monotonic()
    answers = sorted((one for span in spans for one in span.answered), key=lambda one: one.done_s)
    told = [(one.done_s, one.due_s, str(one.answer()["model"]["version"])) for one in answers]
    changes = [entry for entry in prepared.app.ledger.entries() if entry.kind == "champion.changed"]
    recent = [entry for entry in changes if entry.at.timestamp() - offset_s > server_start]
    times_s = [entry.at.timestamp() - offset_s for entry in recent]
    ends_s = [*times_s[1:], float("inf")]
    return [
        _describe_change(entry, at_s, [one for one in told if at_s < one[0] < end_s])
        for entry, at_s, end_s in zip(recent, times_s, ends_s, strict=True)
    ]


def _describe_change(entry: Entry, at_s: float, told: Sequence[tuple[float, float, str]]) -> dict[str, Any]:
    payload: Mapping[str, Any] = entry.payload
    new = [done_s for done_s, _, version in told if version == payload["version"]]
    old = [(done_s, due_s) for done_s, due_s, version in told if version == payload["previous_version"]]
    return {
        "cause": payload["cause"],
        "from": payload["previous_version"],
        "to": payload["version"],
        "first_answer_by_new_s": round(min(new) - at_s, 2) if new else None,
        "last_answer_by_old_s": round(max(old)[0] - at_s, 2) if old else None,
        "last_request_answered_by_old_s": round(max(due for _, due in old) - at_s, 2) if old else None,
    }
