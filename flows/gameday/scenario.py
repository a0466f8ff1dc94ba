"""What a failure's row in the table of game days says, and what was seen when it was played."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from flows.gameday.throwaway import change_settings
from flows.incidents.additions import acknowledge_incident, add_to_incident, end_incident, report_incident
from flows.incidents.overview import find_incident, read_timeline
from flows.incidents.postmortem import write_postmortem
from flows.workspace.wiring import App
from maskloop.errors import MaskloopError
from maskloop.files import write_text
from maskloop.state.incident_state import Incident, IncidentKind
from maskloop.workspace import Workspace

Phase = Literal["injected", "detected", "mitigated", "restored", "written up"]
Outcome = Literal["handled", "not detected", "not mitigated", "not restored", "not written up"]
NEEDED: Final[tuple[Phase, ...]] = ("detected", "mitigated", "restored", "written up")
PERSON: Final = "gameday"
"""Who decides, acknowledges and writes in the copy."""


class UnhandledError(MaskloopError):
    """A failure was not seen, not mitigated, or not restored."""


@dataclass(frozen=True)
class Step:
    """One thing that was done or looked at.

    Attributes:
        phase: What it was for.
        by: The command, check or metric.
        said: What it said, in plain words.
        is_seen: Whether that is what had to be seen.
        at_s: Seconds since the failure was injected.
    """

    phase: Phase
    by: str
    said: str
    is_seen: bool
    at_s: float


@dataclass(frozen=True)
class Scenario:
    """One usual failure.

    Attributes:
        id: F1 to F8.
        failure: Its name.
        injection: How it is injected.
        signal: What must be seen.
        mitigation: What is done about it.
        restoration: What counts as restored.
        play: Injects it and looks; raises `UnhandledError` at the first thing that is not as it must be.
        settings: Of the copy, besides those that seal it.
    """

    id: str
    failure: str
    injection: str
    signal: str
    mitigation: str
    restoration: str
    play: Callable[[Stage], None]
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Played:
    """What came of one scenario.

    Attributes:
        id: Of the scenario.
        failure: Its name.
        outcome: ``handled``, or the first phase that was missed.
        steps: In order.
        detect_s: Seconds from the injection to its detection; None if it was not detected.
        restore_s: Seconds from the detection to the restoration; None if it was not restored.
        num_detecting: Commands and looks until it was detected.
        num_restoring: Further ones until it was restored.
        seconds: All of it, the copying and the preparation included.
        incident: Of the copy's record; empty if there is none.
        postmortem: Its draft, in Markdown.
        trouble: What ended it early; empty if nothing did.
    """

    id: str
    failure: str
    outcome: Outcome
    steps: tuple[Step, ...]
    detect_s: float | None
    restore_s: float | None
    num_detecting: int
    num_restoring: int
    seconds: float
    incident: str = ""
    postmortem: str = ""
    trouble: str = ""


class Stage:
    """One copy, in which a failure is played.

    Args:
        open_app: Opens the copy; called again when its settings have changed.
        now_s: A clock that only goes forward.
    """

    def __init__(self, open_app: Callable[[], App], now_s: Callable[[], float] = time.monotonic) -> None:
        self._open_app, self._now_s = open_app, now_s
        self._injected_at: float | None = None
        self._known: frozenset[str] = frozenset()
        self.steps: list[Step] = []
        self.incident, self.postmortem = "", ""

    @cached_property
    def app(self) -> App:
        """The copy, with the settings of now."""
        return self._open_app()

    @property
    def workspace(self) -> Workspace:
        """The copy's folder."""
        return self.app.workspace

    def change_settings(self, **sections: dict[str, Any]) -> None:
        """Change the copy's `maskloop.toml`, as a person would."""
        change_settings(self.workspace.root, self.app.settings, sections)
        del self.app

    def inject(self, by: str, said: str) -> None:
        """Note that the failure is there now: times count from here."""
        self._injected_at, self._known = self._now_s(), frozenset(self.app.state().incidents)
        self._note("injected", by, said, is_seen=True)

    def see(self, phase: Phase, by: str, said: str, *, is_seen: bool) -> None:
        """Note what was seen. Raises UnhandledError if it is not what had to be seen."""
        self._note(phase, by, said, is_seen=is_seen)
        if not is_seen:
            raise UnhandledError(f"{by}: {said}")

    def look(self, phase: Phase, by: str, said: str) -> None:
        """Note a step on the way, which decides nothing."""
        self._note(phase, by, said, is_seen=False)

    def report(self, headline: str) -> str:
        """Report what the ledger cannot see as an incident, and acknowledge it; returns its id."""
        incident = report_incident(self.app, headline, by=PERSON)
        self.incident = acknowledge_incident(self.app, incident.id, by=PERSON).id
        return self.incident

    def find_opened(self, kind: IncidentKind) -> Incident:
        """Return the incident of a kind that is new, acknowledged. Raises UnhandledError if there is none."""
        new = [one for name, one in self.app.state().incidents.items() if name not in self._known]
        found = [one for one in new if one.kind == kind]
        said = f"{found[-1].id}: {found[-1].headline}" if found else f"no new incident of kind {kind}"
        self.see("detected", "maskloop incidents list", said, is_seen=bool(found))
        self.incident = found[-1].id
        return acknowledge_incident(self.app, self.incident, by=PERSON)

    def write_up(self, *, cause: str, action: str, ended: str = "") -> None:
        """Write cause and action down and draw the draft; ``ended`` ends an incident that was reported."""
        add_to_incident(self.app, self.incident, aspect="cause", text=cause, by=PERSON)
        add_to_incident(self.app, self.incident, aspect="action", text=action, by=PERSON)
        if ended:
            end_incident(self.app, self.incident, by=PERSON, why=ended)
        incident = find_incident(self.app.ledger, self.app.state(), self.incident)
        timeline = read_timeline(self.app.ledger, incident)
        self.postmortem = write_postmortem(incident, timeline, model_name=self.app.settings.model_name)
        file = self.workspace.reports_dir / "gameday" / f"{incident.id}.md"
        write_text(file, self.postmortem)
        is_whole = incident.restored_at is not None and cause in self.postmortem
        said = f"{incident.id} ({incident.kind}): {len(timeline)} entries, {file.name}"
        by = f"maskloop incidents postmortem {incident.id}"
        self.see("written up", by, said, is_seen=is_whole)

    def _note(self, phase: Phase, by: str, said: str, *, is_seen: bool) -> None:
        since = self._injected_at if self._injected_at is not None else self._now_s()
        self.steps.append(Step(phase, by, said, is_seen, round(self._now_s() - since, 3)))


def conclude(scenario: Scenario, stage: Stage, *, seconds: float, trouble: str = "") -> Played:
    """Say what came of a scenario. Pure."""
    seen = {phase: [one for one in stage.steps if one.phase == phase and one.is_seen] for phase in NEEDED}
    missed = next((phase for phase in NEEDED if not seen[phase]), None)
    outcomes: dict[Phase, Outcome] = {
        "detected": "not detected",
        "mitigated": "not mitigated",
        "restored": "not restored",
        "written up": "not written up",
    }
    detected_s = seen["detected"][0].at_s if seen["detected"] else None
    restored_s = seen["restored"][-1].at_s if seen["restored"] else None
    after = [one for one in stage.steps if one.phase != "injected"]
    detecting = [one for one in after if detected_s is None or one.at_s <= detected_s]
    restoring = [one for one in after if one not in detecting and one.phase != "written up"]
    return Played(
        scenario.id,
        scenario.failure,
        outcomes[missed] if missed else "handled",
        tuple(stage.steps),
        detected_s,
        restored_s - detected_s if restored_s is not None and detected_s is not None else None,
        len(detecting),
        len(restoring),
        round(seconds, 1),
        stage.incident,
        stage.postmortem,
        trouble,
    )
