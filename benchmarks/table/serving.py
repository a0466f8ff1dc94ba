"""Row 10: what a service takes until it is ready, and the memory of each worker."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

import httpx
import psutil

from benchmarks.serving.processes import Server, server_running
from benchmarks.table.lines import Line, Row
from flows.workspace.servers import find_free_port

WORKSPACE_SETTING: Final = "TABLE_WORKSPACE"
_TITLE: Final = "a service"
_REMARK: Final = "each page once (PSS): library pages that other programs have open too count in part"


def measure_service(_quick: bool) -> Row:
    """Start the service of a workspace that has a champion, with one worker and with two."""
    told = os.environ.get(WORKSPACE_SETTING, "")
    if not told or not (Path(told) / "maskloop.toml").exists():
        cure = f"`make demo`, then `{WORKSPACE_SETTING}=FOLDER make bench`"
        return Row(_TITLE, (), f"needs a workspace with a champion: {cure}")
    lines = []
    for workers in (1, 2):
        start_s, cpu_s, mib = _start(Path(told), workers)
        said = f"{workers} worker{'s' if workers > 1 else ''}"
        lines.append(
            Line(f"{said}: ready after", cpu_s, "CPU s", goal=4.0, figures={"s by the clock": start_s})
        )
        lines.append(Line(f"{said}: memory of each", mib / workers, "MiB", goal=450.0))
    return Row(_TITLE, tuple(lines), _REMARK)


def _start(workspace: Path, workers: int) -> tuple[float, float, float]:
    """Return seconds until ready, CPU seconds until then, and the memory of all processes in MiB."""
    port = find_free_port()
    program = str(Path(sys.executable).with_name("maskloop"))
    command = [program, "serve", "-w", str(workspace), "--port", str(port), "--workers", str(workers)]

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2.0).status_code == 200
        except httpx.HTTPError:
            return False

    with tempfile.TemporaryDirectory(prefix="table-service-") as folder:
        log = Path(folder) / "log.txt"
        with server_running(command, port=port, log=log, directory=workspace, answers=answers) as server:
            return server.start_s, server.cpu_s(), _memory_mib(server)


def _memory_mib(server: Server) -> float:
    """Return what all processes take; each page that several share counts once (PSS)."""
    processes: list[psutil.Process] = server.tree()
    return sum(float(process.memory_full_info().pss) for process in processes) / 2**20
