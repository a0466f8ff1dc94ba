"""The on-call view: what is wrong now, what waits for whom, what changed last, and drift over time. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flows.metrics.figure import Figure
from flows.slo.budgets import Budgets
from flows.views.gathered import Gathered
from flows.views.history import Attempt, CycleTimes, Deployment, DriftWindow, JudgedVersion
from flows.views.problems import Problem, find_problems
from flows.views.waiting import Waiting, find_waiting
from maskloop.wording import count

MAX_DEPLOYMENTS: Final = 15
MAX_CYCLES: Final = 15
MAX_FAILURES: Final = 8
MAX_WINDOWS: Final = 12
SERVICE_FIGURES: Final = ("M1", "M2", "M3", "M6", "M7", "M8")
_STAGES: Final = {
    "opened_at": "before the training",
    "training_at": "training",
    "candidate_at": "judging",
    "judged_at": "decision",
    "decided_at": "rollout and promotion",
}
"""What goes on from each time on."""


@dataclass(frozen=True)
class Stage:
    """One stretch of a cycle.

    Attributes:
        name: What went on.
        seconds: How long.
    """

    name: str
    seconds: float


@dataclass(frozen=True)
class CycleLine:
    """One cycle of the timeline.

    Attributes:
        times: When each of its stages began.
        stages: One after the other, from its opening on.
    """

    times: CycleTimes
    stages: tuple[Stage, ...]

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return sum(one.seconds for one in self.stages)


@dataclass(frozen=True)
class SourceDrift:
    """The newest drift verdict in which a source of pictures took part.

    Attributes:
        source: Its name.
        at: When the window was judged, UTC.
        outcome: Of the whole window.
        has_drifted: The source's own samples drifted, or it is the only one of a window that did.
        since: When the first of those samples came; None if it did not drift, or for old records.
        score: Of the whole window, 0..1; None in old records.
    """

    source: str
    at: datetime
    outcome: str
    has_drifted: bool
    since: datetime | None
    score: float | None


@dataclass(frozen=True)
class OnCall:
    """Everything that the page says.

    Attributes:
        headline: Whether anything is wrong, in one sentence.
        problems: What is wrong now.
        waiting: The queue: for people first.
        samples: Production samples: received, scored, skipped, pending.
        feedback: What people said about answers, in words.
        running: The work under way, in words; empty for none.
        due: Commands that are due, and why.
        budgets: What is promised and how much of each error budget is left; None if it was not asked.
        service: Figures of the service and its machine.
        champion: The version that serves; empty for none.
        rollout: The rollout under way, in words; empty for none.
        deployments: The newest changes of what answers, newest first.
        windows: All drift verdicts, oldest first.
        sources: By source, those that drifted first.
        versions: The newest verdict on each version, oldest first.
        failures: The newest attempts that failed, newest first.
        cycles: The newest cycles, newest first.
        all_cycles: Oldest first.
        missing: What could not be read.
    """

    headline: str
    problems: tuple[Problem, ...]
    waiting: tuple[Waiting, ...]
    samples: Mapping[str, int]
    feedback: tuple[str, ...]
    running: str
    due: tuple[tuple[str, str], ...]
    budgets: Budgets | None
    service: tuple[Figure, ...]
    champion: str
    rollout: str
    deployments: tuple[Deployment, ...]
    windows: tuple[DriftWindow, ...]
    sources: tuple[SourceDrift, ...]
    versions: tuple[JudgedVersion, ...]
    failures: tuple[Attempt, ...]
    cycles: tuple[CycleLine, ...]
    all_cycles: tuple[CycleTimes, ...]
    missing: tuple[str, ...] = ()


def make_on_call(found: Gathered) -> OnCall:
    """Make the view of the facts."""
    state, history, status = found.state, found.history, found.status
    rollout, problems = state.rollout, find_problems(status, found.notices, found.figures)
    wrong = count(len(problems), "thing is wrong", "things are wrong")
    return OnCall(
        headline=wrong if problems else "Nothing is wrong, as far as record and figures tell",
        problems=problems,
        waiting=find_waiting(status, found.notices, num_feedback_waiting=found.num_feedback_waiting),
        samples=status.sample_counts,
        feedback=tuple(one.sentence() for one in status.judged),
        running=status.running.sentence() if status.running else "",
        due=tuple((one.command, one.why) for one in status.due),
        budgets=found.budgets,
        service=tuple(one for one in found.figures if one.id in SERVICE_FIGURES),
        champion=state.champion.version if state.champion else "",
        rollout=(rollout.moved or rollout.started).sentence() if rollout else "",
        deployments=history.deployments[: -MAX_DEPLOYMENTS - 1 : -1],
        windows=history.windows,
        sources=find_sources(history.windows),
        versions=history.newest_verdicts,
        failures=tuple(one for one in reversed(history.attempts) if one.failure)[:MAX_FAILURES],
        cycles=tuple(divide(one, found.now) for one in history.cycles[: -MAX_CYCLES - 1 : -1]),
        all_cycles=history.cycles,
        missing=found.missing,
    )


def find_sources(windows: tuple[DriftWindow, ...]) -> tuple[SourceDrift, ...]:
    """Return the newest verdict about each source, those that drifted first."""
    found: dict[str, SourceDrift] = {}
    for window in reversed(windows):
        judged = window.judged
        for source in judged.sources:
            if source not in found:
                is_alone = judged.outcome == "drift" and len(judged.sources) == 1
                has_drifted = source in judged.drifted_sources or is_alone
                is_dated = has_drifted and judged.drifted_since
                since = datetime.fromisoformat(judged.drifted_since) if is_dated else None
                found[source] = SourceDrift(
                    source, window.at, judged.outcome, has_drifted, since, judged.score
                )
    return tuple(sorted(found.values(), key=lambda one: (not one.has_drifted, one.source)))


def divide(cycle: CycleTimes, now: datetime) -> CycleLine:
    """Divide a cycle into its stages; one that was skipped is left out, and an open one lasts until now."""
    begun = [(name, at) for name in _STAGES if (at := getattr(cycle, name)) is not None]
    ends = [*begun[1:], ("closed_at", cycle.closed_at or now)]
    stages = []
    for (name, begin), (next_name, end) in zip(begun, ends, strict=True):
        is_judged_again = (name, next_name) == ("opened_at", "judged_at")
        if end > begin:
            what = "judging" if is_judged_again else _STAGES[name]
            stages.append(Stage(what, (end - begin).total_seconds()))
    return CycleLine(cycle, tuple(stages))
