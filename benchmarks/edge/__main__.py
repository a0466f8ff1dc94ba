"""Start a bundle and the full service in turns and let both answer the same pictures, one at a time.

    python -m benchmarks.edge BUNDLE_HOME WORKSPACE --python ENVIRONMENT/bin/python

CPU seconds of the whole process tree, since wall time says little on a shared machine.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from serving.client import Client

_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass(frozen=True)
class Measured:
    """One start, and what followed.

    Attributes:
        start_cpu_s: Until the model answers on /readyz.
        start_wall_s: The same by the clock.
        memory_mib: Resident, after the pictures.
        cpu_s_per_picture: Of the process tree.
    """

    start_cpu_s: float
    start_wall_s: float
    memory_mib: float
    cpu_s_per_picture: float


def measure(command: Sequence[str], pictures: Sequence[bytes], rounds: int) -> Measured:
    """Start a server, wait until it is ready, send pictures, stop it."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL)
        watched = psutil.Process(process.pid)
        try:
            with Client(_find_address(process, said)) as client:
                _wait_until_ready(client)
                wall_s, cpu_s = time.perf_counter() - began, _cpu_s(watched)
                client.predict(pictures[0])
                before = _cpu_s(watched)
                for _ in range(rounds):
                    for picture in pictures:
                        client.predict(picture)
                spent = (_cpu_s(watched) - before) / (rounds * len(pictures))
                memory = sum(one.memory_info().rss for one in (watched, *watched.children(recursive=True)))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    return Measured(cpu_s, wall_s, memory / 2**20, spent)


def _find_address(process: subprocess.Popen[bytes], said: IO[str]) -> str:
    while process.poll() is None:
        said.seek(0)
        if found := _ADDRESS.search(said.read()):
            return found.group()
        time.sleep(0.05)
    raise SystemExit("the server has ended")


def _wait_until_ready(client: Client) -> None:
    while client._http.get("/readyz").status_code != 200:
        time.sleep(0.02)


def _cpu_s(process: psutil.Process) -> float:
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        times = one.cpu_times()
        total += times.user + times.system
    return total


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--python", default=sys.executable, help="of the bundle's own environment")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    checks = sorted((asked.home / "current" / "checks").iterdir())
    pictures = [file.read_bytes() for file in checks]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    state = tempfile.mkdtemp(prefix="edge-")
    bundle = (asked.python, str(asked.home / "current"), "serve", "--state", state, "--port", "0")
    full = (sys.executable, "-m", "flows.cli", "serve", "--port", "0", "-w", str(asked.workspace))
    commands = {"bundle": (*bundle, "--threads", "1"), "service": full}
    found: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(asked.starts):
        for name, command in commands.items():
            found[name].append(measure(command, pictures, asked.rounds))
            print(name, found[name][-1], flush=True)
    for name, rows in found.items():
        best = min(row.start_cpu_s for row in rows), min(row.start_wall_s for row in rows)
        memory = statistics.median(row.memory_mib for row in rows)
        per_picture = min(row.cpu_s_per_picture for row in rows)
        print(
            f"{name}: ready after {best[0]:.2f} CPU s ({best[1]:.1f} s), {memory:.0f} MiB, "
            f"{1000 * per_picture:.1f} CPU ms a picture"
        )


if __name__ == "__main__":
    main()
