"""What was measured, as JSON for machines and as tables for people."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.provenance import describe_run

_PACKAGES = ("fastapi", "uvicorn", "pydantic", "pillow")


def describe_machine() -> dict[str, Any]:
    """Return what the figures depend on; the load average says who else was busy before the run."""
    return {
        **describe_run(),
        **{name: version(name) for name in _PACKAGES},
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write_report(folder: Path, parts: Mapping[str, Any]) -> Path:
    """Write ``serving.json`` and ``serving.md``; parts that were not measured this time stay as they were."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "serving.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    everything = {**before, **parts}
    path.write_text(json.dumps(everything, indent=1) + "\n")
    path.with_suffix(".md").write_text(to_markdown(everything))
    return path


def to_markdown(parts: Mapping[str, Any]) -> str:
    """Return the tables of all parts that were measured."""
    writers = {
        "saturation": _write_saturation,
        "servers": _write_servers,
        "rush": _write_rush,
        "photographs": _write_saturation,
    }
    written = [
        f"## {name}\n\n{write(parts[name])}\n{_write_machine(parts[name]['machine'])}\n"
        for name, write in writers.items()
        if name in parts
    ]
    return "\n".join(written)


def _write_saturation(part: Mapping[str, Any]) -> str:
    rows = [
        {"": f"bare, {name}", "pictures/s": row["per_second"]["median"], "p50 ms": row["p50_ms_of_a_pass"]}
        for name, row in part["bare"].items()
    ]
    rows += [
        {
            "": f"service, {name}",
            "pictures/s": row["per_second"]["median"],
            "times bare": _spread(row["times_bare"]),
            "p50 ms": row["p50_ms"],
            "p99 ms": row["p99_ms"],
            "mean batch": row["mean_batch"],
            "not 200": row["not_200"],
        }
        for name, row in part["service"].items()
    ]
    rest = {name: value for name, value in part.items() if name not in ("bare", "service", "machine")}
    return f"{_table(rows)}\n{_list(rest)}"


def _write_servers(part: Mapping[str, Any]) -> str:
    rows = [
        {**row, "left_after_stop": len(row["left_after_stop"])} if "left_after_stop" in row else row
        for row in part["rows"]
    ]
    return _table(rows)


def _write_rush(part: Mapping[str, Any]) -> str:
    rows = [
        {"": name, **{key: _flat(value) for key, value in span.items()}}
        for name, span in part["spans"].items()
    ]
    rest = {name: value for name, value in part.items() if name not in ("spans", "changes", "machine")}
    return f"{_table(rows)}\n{_table(part['changes'])}\n{_list(rest)}"


def _write_machine(machine: Mapping[str, Any]) -> str:
    return "\n" + ", ".join(f"{name} {value}" for name, value in machine.items())


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names)]
    lines += [[_flat(row.get(name, "")) for name in names] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _list(values: Mapping[str, Any]) -> str:
    return "".join(f"- {name}: {_flat(value)}\n" for name, value in values.items())


def _spread(row: Mapping[str, float]) -> str:
    return f"{row['median']} ({row['low']}-{row['high']})"


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_flat(each)}" for name, each in value.items())
    return str(value).replace("\n", " ").replace("|", "/")
