"""The table of failures, and a game day: each is played in a copy, and what came of it is written down."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from flows.gameday import challengers, drifting, service_failures, starved_training
from flows.gameday.challengers import play_false_positives, play_missed_objects, play_wrong_masks
from flows.gameday.drifting import play_drift
from flows.gameday.scenario import Played, Scenario, Stage, conclude
from flows.gameday.service_failures import play_hostile_pictures, play_latency
from flows.gameday.starved_training import play_memory
from flows.gameday.swapped_labels import play_swapped_labels
from flows.gameday.throwaway import copy_workspace, digest_workspace, no_server_named
from flows.workspace.telling import Teller
from flows.workspace.wiring import App, open_app
from maskloop.errors import MaskloopError, NotFoundError
from maskloop.files import write_text
from maskloop.pages.templates import open_template
from maskloop.records.kinds import GamedayPlayed, write_record
from maskloop.workspace import Workspace
from registry.evidence.approval_page import TEMPLATE as STYLED
from registry.wording import when

_TEMPLATE: Final = Path(__file__).with_name("gameday.html.j2")
OpenCopy = Callable[[Workspace, Teller], App]

SCENARIOS: Final = (
    Scenario(
        "F1",
        "Latency spike",
        "one client floods the service",
        "the objective `latency` is missed in `maskloop slo list`",
        "`maskloop keys revoke`: the client gets no more answers",
        "the objective is kept for the others, while that client still sends",
        play_latency,
        service_failures.LATENCY_SETTINGS,
    ),
    Scenario(
        "F2",
        "Accuracy drift",
        "production comes from another camera",
        "`maskloop monitor` says drift, confirmed over time; an incident opens, people are told",
        "labels of the new camera come in, the loop retrains, a person approves",
        "the next window of the new camera is quiet under the new champion",
        play_drift,
        drifting.SETTINGS,
    ),
    Scenario(
        "F3",
        "Out of memory",
        "pictures are made too large for any memory, in the settings of the training",
        "the attempts fail with the reason, the cycle is given up, an incident opens, people are told",
        "the size is set back, and the training started again",
        "a candidate is trained and judged",
        play_memory,
        starved_training.SETTINGS,
    ),
    Scenario(
        "F4",
        "False positives",
        "a challenger with a score threshold of 0.05",
        "the rollout's check count.more fails",
        "the challenger is taken out of the traffic by itself",
        "it answers nothing, and one with the right threshold is not stopped",
        play_false_positives,
        challengers.SETTINGS,
    ),
    Scenario(
        "F5",
        "Missed small objects",
        "a challenger with anchors four times too large",
        "the rollout's check count.fewer or agreement fails, whichever sees it first",
        "the challenger is taken out of the traffic by itself",
        "it answers nothing, and one with the right anchors is not stopped",
        play_missed_objects,
        challengers.SETTINGS,
    ),
    Scenario(
        "F6",
        "Postprocess bug",
        "a challenger that resizes its masks to half their size",
        "the rollout's check agreement fails",
        "the challenger is taken out of the traffic by itself",
        "it answers nothing, and one with right masks is not stopped",
        play_wrong_masks,
        challengers.SETTINGS,
    ),
    Scenario(
        "F7",
        "Label mismatch",
        "two classes change places in a labelled batch",
        "`maskloop data check` finds another class than the champion sees",
        "the mended labels are taken in with `maskloop ingest --replace`",
        "the check finds no swapped classes any more",
        play_swapped_labels,
    ),
    Scenario(
        "F8",
        "Adversarial input",
        "broken files, and pictures drowned in noise",
        "each broken file is refused, and the disturbed pictures are flagged as out of distribution",
        'serving.when_out_of_distribution = "refuse"',
        "disturbed pictures are refused, and usual ones answered",
        play_hostile_pictures,
    ),
)


@dataclass(frozen=True)
class Gameday:
    """What came of a game day.

    Attributes:
        played: Each scenario, in order.
        changed: Files of the original that are not as they were, by path.
        kept: Where the copies are; empty if they are removed.
        page: The page.
    """

    played: tuple[Played, ...]
    changed: tuple[str, ...]
    kept: str
    page: Path

    @property
    def is_handled(self) -> bool:
        """Every failure was detected, mitigated, restored and written up, and the original is as it was."""
        return not self.changed and all(one.outcome == "handled" for one in self.played)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self) | {"page": str(self.page), "handled": self.is_handled}


def hold_gameday(
    app: App,
    names: Sequence[str],
    *,
    keep: bool = False,
    output: Path | None = None,
    open_copy: OpenCopy | None = None,
) -> Gameday:
    """Play failures, each in a fresh copy of the workspace, which is only read.

    Args:
        app: The workspace; a champion serves in it.
        names: F1 to F8; empty for all.
        keep: Leave the copies where they are.
        output: The page; None for the workspace's reports.
        open_copy: Opens a copy.

    Raises:
        NotFoundError: if nothing serves yet.
        RefusedError: if the workspace cannot be copied.
    """
    if app.state().champion is None:
        raise NotFoundError(
            "nothing serves yet", hint="train and approve a first model, or run `maskloop demo`"
        )
    before = digest_workspace(app.workspace)
    parent = Path(tempfile.mkdtemp(prefix="maskloop-gameday-"))
    opened = open_copy or _open_copy
    played = []
    try:
        with no_server_named():
            for scenario in SCENARIOS:
                if not names or scenario.id in names:
                    app.teller.say(f"{scenario.id} {scenario.failure}: {scenario.injection}")
                    played.append(play(scenario, app, parent / scenario.id, opened))
                    app.teller.say(f"{scenario.id} {played[-1].outcome}, {played[-1].seconds:.0f} s")
                    if not keep:
                        shutil.rmtree(parent / scenario.id, ignore_errors=True)
    finally:
        if not keep:
            shutil.rmtree(parent, ignore_errors=True)
    changed = _compare(before, digest_workspace(app.workspace))
    page = output or app.workspace.gameday_page
    done = Gameday(tuple(played), changed, str(parent) if keep else "", page)
    write_text(page, render(done, model_name=app.settings.model_name, now=app.clock.now()))
    return done


def play(scenario: Scenario, app: App, folder: Path, open_copy: OpenCopy) -> Played:
    """Play one failure in a copy of its own, and record what came of it in the copy's ledger."""
    began = time.monotonic()
    copied = copy_workspace(app, folder, scenario.settings)
    stage = Stage(lambda: open_copy(Workspace(copied.root), app.teller))
    trouble = ""
    try:
        scenario.play(stage)
    except MaskloopError as error:
        trouble = str(error)
    except Exception as error:  # noqa: BLE001 - whatever breaks a scenario is its result, not an end of the day
        trouble = f"{type(error).__name__}: {error}"
    found = conclude(scenario, stage, seconds=time.monotonic() - began, trouble=trouble)
    record = GamedayPlayed(
        failure=found.id,
        outcome=found.outcome,
        seconds_to_detect=found.detect_s,
        seconds_to_restore=found.restore_s,
        incident_id=found.incident,
        trouble=trouble,
    )
    write_record(stage.app.ledger, record, actor=stage.app.actor)
    return found


def render(done: Gameday, *, model_name: str, now: datetime) -> str:
    """Return the page. Pure."""
    rows = [(next(one for one in SCENARIOS if one.id == each.id), each) for each in done.played]
    return open_template(_TEMPLATE, STYLED.parent).render(
        done=done, rows=rows, model_name=model_name, now=now, when=when
    )


def _open_copy(copied: Workspace, teller: Teller) -> App:
    return open_app(copied.root, teller=_Quiet(teller), actor="gameday")


class _Quiet:
    """Hears a story, and says nothing but its progress: what counts is told by the game day."""

    def __init__(self, teller: Teller) -> None:
        self.progress = teller.progress

    def say(self, sentence: str) -> None:
        """Ignore it."""

    def table(self, key: str, rows: Any, title: str) -> None:
        """Ignore it."""

    def link(self, key: str, url: str, text: str) -> None:
        """Ignore it."""


def _compare(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    names = before.keys() | after.keys()
    return tuple(sorted(name for name in names if before.get(name) != after.get(name)))
