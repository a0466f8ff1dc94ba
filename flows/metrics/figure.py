"""What a figure is, and everything that the ten are made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from maskloop.records.kinds import DriftJudged, QualityMeasured, VerdictReached
from maskloop.settings.workspace_settings import Settings
from monitoring.samples.corrections import Judged
from registry.evidence.judged_evidence import JudgedEvidence
from serving.telemetry.reading import Gpu, ServiceFigures


@dataclass(frozen=True)
class Gathered:
    """Everything the ten figures are made of.

    Attributes:
        now: UTC.
        settings: Of the workspace.
        service: What the service counts; None if none was asked.
        why_no_service: Why not, and how to name it.
        gpus: Of this machine, or of the service's.
        memory_limit_bytes: Of the machine, or of the container that this process runs in.
        champion: The version that serves; empty for none.
        verdict: On the champion; None if it is unknown.
        judged_at: When, UTC.
        evidence: What judging kept; None if it is not on this machine.
        drift: Verdicts on windows of this champion, the newest first.
        feedback: What people said about answers, by version.
        quality: What labels of production said about this champion, the newest last.
    """

    now: datetime
    settings: Settings
    service: ServiceFigures | None = None
    why_no_service: str = ""
    gpus: tuple[Gpu, ...] = ()
    memory_limit_bytes: float = 0.0
    champion: str = ""
    verdict: VerdictReached | None = None
    judged_at: datetime | None = None
    evidence: JudgedEvidence | None = None
    drift: tuple[tuple[datetime, DriftJudged], ...] = ()
    feedback: tuple[Judged, ...] = ()
    quality: tuple[tuple[datetime, QualityMeasured], ...] = ()


@dataclass(frozen=True)
class Reading:
    """One value of a figure.

    Attributes:
        of: What it is of: a version, a class, a process, a card; empty for all together.
        value: In the figure's unit; None where it has no bound.
        tail: The bad end beside an average: a high percentile, the lower bound, the worst class.
        tail_name: What that is.
        baseline: What it is to be compared with.
        baseline_name: What that is.
        is_met: Whether the target is kept; None without a target.
        class_name: Of the class it is of, in M5; empty elsewhere.
        origin: In M5, how it was come by: ``verdict`` on test pictures, or in production ``estimate`` without
            labels, or ``labels``; empty elsewhere.
    """

    of: str
    value: float | None
    tail: float | None = None
    tail_name: str = ""
    baseline: float | None = None
    baseline_name: str = ""
    is_met: bool | None = None
    class_name: str = ""
    origin: Literal["", "verdict", "estimate", "labels"] = ""


@dataclass(frozen=True)
class Figure:
    """One of the ten.

    Attributes:
        id: M1 to M10.
        name: What it is called.
        tells: What it tells.
        unit: Of its values.
        target: In words, from the settings.
        window: What time, or which pictures, it is about.
        source: Where it comes from.
        readings: Its values; the first is of all together where there is one.
        missing: Why there is none; empty if there are values.
        how_to_get: What to do to have it measured.
    """

    id: str
    name: str
    tells: str
    unit: str
    target: str
    window: str
    source: str
    readings: tuple[Reading, ...] = ()
    missing: str = ""
    how_to_get: str = ""

    @property
    def is_met(self) -> bool | None:
        """Tell whether every reading keeps its target; None if none has one."""
        known = [one.is_met for one in self.readings if one.is_met is not None]
        return all(known) if known else None

    @property
    def shown(self) -> Reading | None:
        """The reading to show where there is room for one: the first that misses its target, or the first."""
        missed = (one for one in self.readings if one.is_met is False)
        return next(missed, self.readings[0] if self.readings else None)


def write_when(at: datetime) -> str:
    """Write a time for people."""
    return f"{at:%Y-%m-%d %H:%M} UTC"
