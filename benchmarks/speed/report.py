"""What was measured, as a table for people and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.timing import Rounds, Spread, peak_memory_bytes


@dataclass(frozen=True)
class Line:
    """One contestant in one case.

    Attributes:
        case: What was asked.
        name: Who did it.
        wall_s: Seconds by the clock.
        cpu_s: Median of the seconds of all threads.
        times_faster: Than the reference, by the clock; 1 for the reference.
        times_less_cpu: Than the reference.
        peak_bytes: Memory this took on top of what was there; None if not measured.
        rounds: How often it ran.
    """

    case: str
    name: str
    wall_s: Spread
    cpu_s: float
    times_faster: Spread
    times_less_cpu: Spread
    peak_bytes: int | None
    rounds: int


@dataclass(frozen=True)
class Report:
    """All cases of one subject.

    Attributes:
        subject: ``predict``, ``masks``, ``evaluate``, ``train``, ``judging`` or ``loading``.
        question: What was compared, in a sentence.
        machine: Versions and hardware.
        lines: Contestants, case by case, the reference first.
        remarks: What else was seen, by name: equality, sizes, counts.
    """

    subject: str
    question: str
    machine: Mapping[str, str]
    lines: tuple[Line, ...]
    remarks: Mapping[str, object] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write ``SUBJECT.json`` and ``SUBJECT.md`` and return the first."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.subject}.json"
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(self.to_markdown(), encoding="utf-8")
        return path

    def to_markdown(self) -> str:
        """Return the table, the quarters around each ratio in brackets."""
        memory = any(line.peak_bytes is not None for line in self.lines)
        head = ["case", "", "s", "CPU s", "times faster", "times less CPU", *(["MiB"] if memory else [])]
        rows = [head, ["---"] * len(head), *(_cells(line, memory) for line in self.lines)]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        remarks = "".join(f"\n- {name}: {value}" for name, value in self.remarks.items())
        return f"{self.question}\n\n{table}\n{remarks}\n- {machine}\n"


def lines_of(
    case: str, rounds: Rounds, *, reference: str, memory: Mapping[str, int | None] | None = None
) -> list[Line]:
    """Return one line for each contestant."""
    return [
        Line(
            case,
            name,
            Spread.of(rounds.wall_s[name]),
            Spread.of(rounds.cpu_s[name]).median,
            rounds.times_faster(name, reference),
            rounds.times_faster(name, reference, cpu=True),
            (memory or {}).get(name),
            len(rounds.wall_s[name]),
        )
        for name in rounds.wall_s
    ]


def memory_of(contestants: Mapping[str, Callable[[], object]]) -> dict[str, int | None]:
    """Run each once and return by how much the process grew."""
    return {name: peak_memory_bytes(run) for name, run in contestants.items()}


def _cells(line: Line, memory: bool) -> Sequence[str]:
    low, high = _short(line.times_faster.low), _short(line.times_faster.high)
    mebibytes = "" if line.peak_bytes is None else _short(line.peak_bytes / 2**20)
    return [
        line.case,
        line.name,
        _short(line.wall_s.median),
        _short(line.cpu_s),
        f"{_short(line.times_faster.median)} ({low}-{high})",
        _short(line.times_less_cpu.median),
        *([mebibytes] if memory else []),
    ]


def _short(number: float) -> str:
    return f"{number:.3g}" if number < 100 else f"{number:.0f}"
