"""What a row of the table says: claims, each a figure beside what was asked of it. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from benchmarks.speed.report import Line as TimedLine
from benchmarks.speed.report import Report

Bound = Literal["at most", "at least"]


@dataclass(frozen=True)
class Line:
    """One claim.

    Attributes:
        name: What was measured, beside what.
        value: The figure, usually a ratio.
        unit: ``x`` for a ratio.
        bound: Whether ``goal`` is the largest or the smallest value asked for.
        goal: What was asked for; None if nothing was.
        figures: What the value was computed from: name with unit to number.
    """

    name: str
    value: float
    unit: str = "x"
    bound: Bound = "at most"
    goal: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_reached(self) -> bool | None:
        """Whether the value is what was asked for; None if nothing was."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.bound == "at most" else self.value >= self.goal


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        title: What it is about.
        lines: What was found; empty if nothing was measured.
        remark: Why nothing was measured, or what has to be known about the figures.
    """

    title: str
    lines: tuple[Line, ...] = ()
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Row:
        """Return what `to_json` gave."""
        return cls(told["title"], tuple(Line(**line) for line in told["lines"]), told["remark"])


def find_line(report: Report, case: str, name: str) -> TimedLine:
    """Return a contestant's line in the first case that begins like this."""
    return next(line for line in report.lines if line.case.startswith(case) and line.name == name)
