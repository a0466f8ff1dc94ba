"""The same model and pictures behind other servers, asked by the same client."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.serving.bare import BareModel
from benchmarks.serving.checking import Expected, canonical
from benchmarks.serving.contestants import Contestant
from benchmarks.serving.plans import Seen, Sent, run_client
from benchmarks.serving.processes import memory_of

REQUIREMENTS = Path(__file__).resolve().parent / "alternatives" / "requirements.txt"
_CLIENTS = 8


def make_environment(folder: Path) -> Path:
    """Install the other servers into a folder, once; returns the interpreter.

    Raises:
        RuntimeError: with what the installer said, if it fails.
    """
    python = folder / "bin" / "python"
    is_complete = folder / "complete"
    if not is_complete.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        _install(uv, "venv", "--clear", "--python", sys.executable, str(folder))
        _install(uv, "pip", "install", "--python", str(python), "--requirement", str(REQUIREMENTS))
        is_complete.touch()
    return python


def default_environment() -> Path:
    """Return where the other servers are installed unless somebody says otherwise: outside the repository."""
    return Path(tempfile.gettempdir()) / "maskloop-other-servers"


def measure_servers(
    contestants: Iterable[Contestant], pictures: Path, logs: Path, expected: Expected, *, seconds: float
) -> list[dict[str, Any]]:
    """Run one after the other; one that cannot be run is told with what it said."""
    return [_measure_or_tell(one, pictures, logs, expected, seconds) for one in contestants]


def measure_bare(model: Path, pictures: Path, *, seconds: float, max_batch: int = 8) -> dict[str, Any]:
    """Return the bare model's row: no server, no client."""
    started_s = time.monotonic()
    with BareModel(model, pictures) as bare:
        start_s = time.monotonic() - started_s
        turns = {batch: bare.loop(batch=batch, seconds=seconds) for batch in (1, max_batch)}
        memory_mb = memory_of([bare.process.pid])
    best = max(turns, key=lambda batch: turns[batch]["per_second"])
    return {
        "name": f"bare model, batch {best}",
        "start_s": round(start_s, 1),
        "memory_mb": round(memory_mb),
        "per_second": round(turns[best]["per_second"], 1),
        "alone_p50_ms": round(turns[1]["p50_ms"], 1),
    }


def _measure_or_tell(
    contestant: Contestant, pictures: Path, logs: Path, expected: Expected, seconds: float
) -> dict[str, Any]:
    log = logs / f"{contestant.name.replace(' ', '-')}.log"
    log.unlink(missing_ok=True)
    try:
        return _measure(contestant, pictures, log, expected, seconds)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        return {"name": contestant.name, "problem": str(error)}


def _measure(
    contestant: Contestant, pictures: Path, log: Path, expected: Expected, seconds: float
) -> dict[str, Any]:
    with contestant.running(pictures, log) as (server, plan):
        run_client(replace(plan, clients=_CLIENTS, seconds=min(3.0, seconds)))
        idle_from = server.cpu_s()
        time.sleep(3.0)
        idle_percent = (server.cpu_s() - idle_from) / 3.0 * 100
        alone = run_client(replace(plan, clients=1, seconds=seconds / 2))
        busy = run_client(replace(plan, clients=_CLIENTS, seconds=seconds))
        crowd = run_client(replace(plan, clients=4 * _CLIENTS, seconds=seconds / 2))
        memory_mb, resources = server.pss_mb(), server.resources()
    requests = [*alone.requests, *busy.requests]
    return {
        "name": contestant.name,
        "start_s": round(server.start_s, 1),
        "memory_mb": round(memory_mb),
        "processes": resources["processes"],
        "idle_cpu_percent": round(idle_percent, 1),
        "alone_p50_ms": round(alone.ms(50), 1),
        "per_second": round(busy.per_second(), 1),
        "p50_ms": round(busy.ms(50), 1),
        "p99_ms": round(busy.ms(99), 1),
        "errors_percent": _percent_not_200(busy),
        "crowd_per_second": round(crowd.per_second(), 1),
        "crowd_p99_ms": round(crowd.ms(99), 1),
        "crowd_errors_percent": _percent_not_200(crowd),
        "wrong": sum(not _is_right(one, expected) for one in requests if one.status == 200),
        "stop_s": round(server.stop_s, 1),
        "left_after_stop": server.left_over,
    }


def _is_right(sent: Sent, expected: Expected) -> bool:
    told = sent.answer()
    instances = told["instances"] if isinstance(told, dict) else told[0]
    return any(canonical(instances) in right[sent.picture] for right in expected.by_version.values())


def _percent_not_200(seen: Seen) -> float:
    return round(100 * (1 - len(seen.answered) / max(1, len(seen.requests))), 2)


def _install(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:4])} failed: {done.stderr.strip()[-600:]}")
