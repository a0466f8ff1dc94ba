"""The page of the loop, gathered: what serves, how good it is, the data, every turn. See loop_page.py."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from dataset.version_store import DatasetStore
from dataset.versions.overview import describe_version
from flows.evidence.iou_by_source import has_iou_rows, read_iou_rows
from flows.evidence.judged import read_kept
from flows.incidents.page import write_incident_page
from flows.pages.loop_page import MAX_HISTORY, LoopPage, Turn, VersionFigures, render_loop_page
from flows.pages.status import Status, describe_status, tell_history
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.errors import MaskloopError
from maskloop.files import write_text
from maskloop.folding.history import recall_version
from maskloop.records.kinds import VerdictReached
from maskloop.state.cycle_state import Cycle
from maskloop.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dataset.versions.overview import Overview
    from maskloop.ledger.port import Ledger
    from maskloop.state.loop_state import LoopState

_WRITTEN_UP_TO = re.compile(r'name="ledger-entries" content="(\d+)"')
_NUM_HEAD_CHARACTERS = 400
_VIEWS = ("executive", "on-call", "debug")
_FATES = {"judged": "waits for a decision", "promoted": "served", "closed": "ended"}


def write_report(app: App, output: Path | None) -> Path:
    """Write the page and return its path; it needs no server and no network to be read."""
    path = output or app.workspace.loop_page
    status = describe_status(app)
    overview = count_data(app.data, status.state, app.teller)
    page = gather_loop_page(
        status, app.ledger, app.workspace, path.parent, overview=overview, now=app.clock.now()
    )
    write_text(path, render_loop_page(page))
    return path


def refresh_report(app: App) -> None:
    """Write the page again if the ledger has grown since, and that of incidents if they have; cheap if not.

    What cannot be read is said.
    """
    path = app.workspace.loop_page
    sequence, shown = app.state().last_sequence, written_up_to(path)
    if not sequence or shown == sequence:
        return
    try:
        if any(one.entries[-1] > shown for one in app.state().incidents.values()):
            write_incident_page(app)
        write_report(app, None)
    except MaskloopError as error:
        app.teller.say(f"the page of the loop could not be written: {error}")


def written_up_to(path: Path) -> int:
    """Return the newest ledger entry that a page shows; 0 for no page."""
    if not path.is_file():
        return 0
    with path.open(encoding="utf-8", errors="replace") as file:
        found = _WRITTEN_UP_TO.search(file.read(_NUM_HEAD_CHARACTERS))
    return int(found[1]) if found else 0


def gather_loop_page(
    status: Status,
    ledger: Ledger,
    workspace: Workspace,
    folder: Path,
    *,
    overview: Overview | None,
    now: datetime,
) -> LoopPage:
    """Gather the facts of the page.

    Args:
        status: The status of the loop.
        ledger: The ledger with its history.
        workspace: The workspace with the evidence and the settings.
        folder: The page is written to it, and its links are relative to it.
        overview: The overview of the current data.
        now: The time that the page shows.
    """
    state, champion = status.state, status.state.champion
    cycles = recall_version(ledger, state, champion.version).cycles if champion else state.cycles
    drift = state.last_drift
    turns = [_describe_turn(workspace, cycle, folder) for cycle in reversed(cycles.values())]
    shown, turn = _choose_shown(state, turns)
    return LoopPage(
        model_name=workspace.settings.model_name,
        as_of=now,
        last_sequence=state.last_sequence,
        serving=state.serving[-1] if state.serving else None,
        data=state.data.sentence() if state.data else "",
        drift=drift,
        drift_page=_link(workspace.root / drift[1].report, folder) if drift else "",
        samples=status.sample_counts,
        versions=tuple(
            _figures_of(turn, verdict, state) for turn in reversed(turns) if (verdict := turn.cycle.verdict)
        ),
        shown=shown,
        evidence=turn.evidence if turn else None,
        overview=overview,
        turns=tuple(turns),
        num_earlier_turns=state.num_cycles - len(turns),
        history=tuple(tell_history(ledger, newest=MAX_HISTORY)),
        incidents=state.open_incidents,
        incident_page=_link(workspace.incident_page, folder),
        views={name: address for name in _VIEWS if (address := _link(workspace.view_page(name), folder))},
    )


def relative_address(file: Path, folder: Path) -> str:
    """Return a file's address as a page in ``folder`` links it: relative, so that both can move together."""
    return quote(Path(os.path.relpath(file, folder)).as_posix())


def _describe_turn(workspace: Workspace, cycle: Cycle, folder: Path) -> Turn:
    version = cycle.candidate.version if cycle.candidate else ""
    is_judged = bool(version) and has_iou_rows(workspace, version)
    return Turn(
        cycle=cycle,
        rows=tuple(read_iou_rows(workspace, version)) if is_judged else (),
        page=_link(workspace.verdict_page(version), folder) if version else "",
        evidence=read_kept(workspace, cycle),
    )


def _figures_of(turn: Turn, verdict: VerdictReached, state: LoopState) -> VersionFigures:
    cycle = turn.cycle
    fate = _FATES.get(turn.state, turn.state)
    if state.champion and state.champion.weights_digest == verdict.candidate_digest:
        fate = "serves"
    return VersionFigures(
        version=verdict.candidate_version,
        judged_at=cycle.verdict_at or cycle.opened_at,
        data_tag=verdict.data_tag,
        verdict=verdict.outcome,
        fate=fate,
        class_iou={row.name: row.candidate_iou for row in turn.evidence.rows} if turn.evidence else {},
    )


def _choose_shown(state: LoopState, turns: Sequence[Turn]) -> tuple[str, Turn | None]:
    """Choose the version that serves, else the newest judged one."""
    judged = [turn for turn in turns if turn.cycle.verdict]
    champion = state.champion.weights_digest if state.champion else ""
    for turn in judged:
        if turn.cycle.verdict and turn.cycle.verdict.candidate_digest == champion:
            return f"version {turn.cycle.verdict.candidate_version}, which serves", turn
    if judged and judged[0].cycle.verdict:
        return f"version {judged[0].cycle.verdict.candidate_version}, the newest", judged[0]
    return "", None


def count_data(store: DatasetStore, state: LoopState, teller: Teller) -> Overview | None:
    """Return the counts of the current data; None if there are no data or they cannot be read."""
    if state.data is None:
        return None
    try:
        return describe_version(store.open(state.data.tag))
    except MaskloopError as error:  # the page shows what there is
        teller.say(f"the page of the loop shows no data: {error}")
        return None


def _link(file: Path, folder: Path) -> str:
    return relative_address(file, folder) if file.exists() else ""
