"""Several models in one service: steady load, what a switch costs, memory, and a busy neighbour.

``python -m benchmarks.serving.several [--workspace FOLDER] [--requests N] [--rounds N]``. The models are
copies of one workspace, so that what differs between the rows is the service alone. Processor seconds are
those of the whole service; contestants take turns, and the best of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from benchmarks.serving.processes import Server, server_running
from benchmarks.serving.workspace import command_of_maskloop, make_ready
from flows.workspace.servers import find_free_port

RUNS: Final = Path(__file__).resolve().parent / "runs"
NAMES: Final = ("first", "second", "third")
_CLIENTS: Final = 4


@dataclass(frozen=True)
class Turn:
    """What one turn of requests cost.

    Attributes:
        cpu_ms: Processor milliseconds of the service for each request.
        latency_ms: Of each request.
    """

    cpu_ms: float
    latency_ms: tuple[float, ...]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, default=RUNS / "several")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    wanted = parser.parse_args()
    root: Path = wanted.workspace.resolve()
    prepared = make_ready(root, quick=True)
    pictures = [file.read_bytes() for file in sorted(prepared.pictures.glob("*.png"))]
    size_mib = folder_mib(prepared.directories[prepared.champion])
    roots = copy_workspaces(root)
    log = root / "logs"
    with (
        serving(roots, 1, 0.0, log / "one.log") as (one, ask_one),
        serving(roots, 3, 0.0, log / "three.log") as (three, ask_three),
        serving(roots, 3, 2.5 * size_mib, log / "two.log") as (two, ask_two),
    ):
        services = {"one": (one, ask_one), "three": (three, ask_three), "two of three": (two, ask_two)}
        orders = {
            "one": NAMES[:1],
            "three": NAMES,
            "two of three": NAMES[:2],
        }
        measured: dict[str, list[Turn]] = {name: [] for name in services}
        switches: list[Turn] = []
        for _ in range(wanted.rounds):
            for name, (server, ask) in services.items():
                measured[name].append(take_turn(server, ask, orders[name], pictures, wanted.requests))
            switches.append(take_turn(two, ask_two, NAMES, pictures, 3 * 8, num_clients=1))
        waits = measure_neighbour(ask_three, pictures)
        memory = {name: round(server.pss_mb()) for name, (server, _) in services.items()}
    print(json.dumps(summarise(measured, switches, size_mib, memory, waits), indent=1))


def summarise(
    measured: Mapping[str, Sequence[Turn]],
    switches: Sequence[Turn],
    size_mib: float,
    memory: Mapping[str, int],
    waits: Mapping[str, float],
) -> dict[str, object]:
    """Return the figures of the table: the best of the rounds, and ratios to a service of one model."""
    best = {name: min(turn.cpu_ms for turn in turns) for name, turns in measured.items()}
    latency_ms = [ms for turn in switches for ms in turn.latency_ms]
    return {
        "files_mib": round(size_mib, 1),
        "cpu_ms_per_request": {name: round(value, 2) for name, value in best.items()},
        "throughput_ratio_to_one": {name: round(best["one"] / value, 3) for name, value in best.items()},
        "switch_cpu_ms": round(min(turn.cpu_ms for turn in switches) - best["two of three"], 1),
        "switch_ms_median": round(statistics.median(latency_ms), 1),
        "memory_mib": memory,
        "neighbour": waits,
    }


def copy_workspaces(root: Path) -> list[Path]:
    """Return three workspaces with the same champion."""
    roots = [root]
    for name in NAMES[1:]:
        copy = root.with_name(f"{root.name}-{name}")
        if not copy.exists():
            shutil.copytree(root, copy, symlinks=True)
        roots.append(copy)
    return roots


def folder_mib(folder: Path) -> float:
    """Return the size of a model's files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


class serving:  # noqa: N801 - used as a context manager
    """Serve so many of the workspaces; gives the server and what asks it."""

    def __init__(self, roots: Sequence[Path], num_models: int, memory_mib: float, log: Path) -> None:
        self._port = find_free_port()
        more = zip(NAMES[1:num_models], roots[1:num_models], strict=True)
        command = [command_of_maskloop(), "serve", "-w", str(roots[0]), "--port", str(self._port)]
        command += [part for name, root in more for part in ("--model", f"{name}={root}")]
        command += ["--memory-mib", f"{memory_mib:g}"]
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=120, trust_env=False)
        self._running = server_running(
            command, port=self._port, log=log, directory=roots[0], answers=self._is_ready
        )

    def __enter__(self) -> tuple[Server, Callable[[str, bytes], float]]:
        return self._running.__enter__(), self.ask

    def __exit__(self, *error: object) -> None:
        self._running.__exit__(None, None, None)
        self._http.close()

    def ask(self, name: str, picture: bytes) -> float:
        """Ask a model once, and return the milliseconds it took; a refusal for load is sent again."""
        path = "/v1/predict" if name == NAMES[0] else f"/v1/models/{name}/predict"
        started = time.perf_counter()
        while (answer := self._http.post(path, content=picture)).status_code == 503:
            time.sleep(0.05)
        answer.raise_for_status()
        return (time.perf_counter() - started) * 1000

    def _is_ready(self) -> bool:
        try:
            rows = self._http.get("/v1/models").json()["models"]
        except (httpx.HTTPError, ValueError, KeyError):
            return False
        return all(row["state"] in ("loaded", "not_loaded") for row in rows)


def take_turn(
    server: Server,
    ask: Callable[[str, bytes], float],
    names: Sequence[str],
    pictures: Sequence[bytes],
    num_requests: int,
    *,
    num_clients: int = _CLIENTS,
) -> Turn:
    """Ask the models in turn, so many requests at a time."""
    asked = [(names[at % len(names)], pictures[at % len(pictures)]) for at in range(num_requests)]
    before_s = server.cpu_s()
    with ThreadPoolExecutor(num_clients) as clients:
        latency_ms = tuple(clients.map(lambda one: ask(*one), asked))
    return Turn((server.cpu_s() - before_s) * 1000 / num_requests, latency_ms)


def measure_neighbour(ask: Callable[[str, bytes], float], pictures: Sequence[bytes]) -> dict[str, float]:
    """Return the median of a quiet model's answers alone, and while sixteen clients ask another one."""
    alone = [ask(NAMES[1], pictures[at]) for at in range(20)]
    over = threading.Event()

    def crowd(number: int) -> None:
        while not over.is_set():
            ask(NAMES[0], pictures[number % len(pictures)])

    with ThreadPoolExecutor(16) as clients:
        work = [clients.submit(crowd, number) for number in range(16)]
        time.sleep(1.0)
        beside = [ask(NAMES[1], pictures[at]) for at in range(20)]
        crowded = [ask(NAMES[0], pictures[at]) for at in range(20)]
        over.set()
        for one in work:
            one.result()
    return {
        "quiet_alone_ms": round(statistics.median(alone), 1),
        "quiet_beside_ms": round(statistics.median(beside), 1),
        "crowded_ms": round(statistics.median(crowded), 1),
    }


if __name__ == "__main__":
    main()
