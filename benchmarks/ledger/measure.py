"""Measure one workspace with the build that comes first on the path, and print CPU seconds as JSON.

Run by `benchmarks.ledger` as a program of its own, so that an earlier build, whose modules lie elsewhere, can
be measured beside this one. The registry is in memory; its versions are as an earlier reconcile left them.
"""

from __future__ import annotations

import gc
import importlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from click.testing import CliRunner

_ABOUT_WEIGHTS = ("champion.changing", "champion.changed", "slice.recorded")


def _import(*places: str) -> Any:
    """Import the first module that the checkout in the working directory has."""
    found = next(place for place in places if Path(f"{place.replace('.', '/')}.py").exists())
    return importlib.import_module(found)


wiring = _import("flows.workspace.wiring", "flows.wiring")
reconciling = _import("flows.loop.reconcile", "flows.reconcile")
cli = _import("flows.command.main", "flows.cli").cli
store = _import("registry.ports", "registry.store")
fakes = _import("tests.fakes.model_store")


def main() -> None:
    """Measure the workspace named on the command line, after a small one that warms up the imports."""
    warm, root, questions = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(",")
    _leave_as_a_turn_does(warm, is_whole=False)
    for name in questions:
        QUESTIONS[name](warm)
    _leave_as_a_turn_does(root, is_whole="reconcile" in questions)
    print(json.dumps({name: min(QUESTIONS[name](root) for _ in range(_rounds())) for name in questions}))


def _rounds() -> int:
    return int(sys.argv[4])


def _first_state(root: Path) -> float:
    return _cpu_s(lambda: wiring.open_app(root).state())


def _command_in_process(*arguments: str) -> Callable[[Path], float]:
    def ask(root: Path) -> float:
        def run() -> None:
            done = CliRunner().invoke(cli, [*arguments, "-w", str(root)])
            if done.exit_code:
                raise RuntimeError(done.output)

        return _cpu_s(run)

    return ask


def _status_command(root: Path) -> float:
    """Return the seconds of ``maskloop status``, its imports included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = "import sys; from flows.cli import main; sys.exit(main())"
    subprocess.run(
        [sys.executable, "-c", program, "status", "-w", str(root)], check=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _idle_reconcile(root: Path) -> float:
    app = _app(root)

    def turn() -> None:
        done = reconciling.reconcile(app).done
        if done:
            raise RuntimeError(f"it was not idle: {done}")

    return _cpu_s(turn)


QUESTIONS: dict[str, Callable[[Path], float]] = {
    "state": _first_state,
    "status": _command_in_process("status"),
    "status command": _status_command,
    "history": _command_in_process("history"),
    "reconcile": _idle_reconcile,
}


def _cpu_s(run: Callable[[], object]) -> float:
    gc.collect()
    began = time.process_time()
    run()
    return time.process_time() - began


def _app(root: Path) -> Any:
    """Open the workspace with a registry and a data store in memory, as they are after an earlier turn."""
    app = wiring.open_app(root)
    entries = app.ledger.entries()
    tags = tuple(entry.payload["tag"] for entry in entries if entry.kind == "data.ingested")
    parts = {"models": _registry(entries), "data": SimpleNamespace(versions=lambda: tags)}
    return type("App", (wiring.App,), parts)(app.workspace)


def _cycle_of(entry: Any) -> str:
    """Return an entry's cycle id, by the name that this build or an earlier one gives it."""
    return str(entry.cycle_id if hasattr(entry, "cycle_id") else entry.cycle)


def _registry(entries: Any) -> Any:
    """Fill a registry with what the ledger tells of: versions, the champion's alias, pages up to date."""
    registry, cycles = fakes.FakeModelStore(), {}
    candidates = [entry for entry in entries if entry.kind == "candidate.registered"]
    for entry in candidates:
        cycles[entry.payload["weights_digest"]] = _cycle_of(entry)
    newest = {}
    for entry in entries:
        newest[_cycle_of(entry)] = entry.sequence
        if entry.kind in _ABOUT_WEIGHTS:
            for name in ("weights_digest", "previous_digest"):
                newest[cycles.get(entry.payload.get(name), "")] = entry.sequence
    for entry in candidates:
        digest, version = entry.payload["weights_digest"], entry.payload["version"]
        tags = {store.DIGEST_TAG: digest, store.EVIDENCE_TAG: f"up to entry {newest[_cycle_of(entry)]}"}
        registry._versions[version] = store.RegisteredVersion(
            registry.name, version, entry.payload["run_id"], digest, tags, (), entry.at
        )
    changes = [entry for entry in entries if entry.kind == "champion.changed"]
    registry.set_alias(store.CHAMPION, changes[-1].payload["version"])
    return registry


def _leave_as_a_turn_does(root: Path, *, is_whole: bool) -> None:
    """Write the loop's page and, in builds that have them, the snapshot and the note about the pages."""
    app = wiring.open_app(root)
    (last,) = app.ledger.entries()[-1:]
    page = app.workspace.reports_dir / "loop.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(f'<meta name="ledger-entries" content="{last.sequence}">', encoding="utf-8")
    if hasattr(wiring.App, "state_reader"):
        if is_whole:
            _idle_reconcile(root)
        else:
            app.state_reader.keep_snapshot()


if __name__ == "__main__":
    main()
