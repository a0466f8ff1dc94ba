"""The approval page of every judged version, in MLflow and in the workspace, as the record has it.

Each version carries a tag that names what its page was made from, so outdated pages are found from the
versions alone. A page that could not be written, because MLflow was unreachable or a process died, is written
by the next reconcile. A note in the workspace says up to which ledger entry all pages were up to date;
without it every version is checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from flows.evidence.judged import PAGE_PATH
from flows.pages.approval_facts import gather_page, newest_entry_about
from flows.pages.loop_report import refresh_report, relative_address
from flows.pages.shadow_evidence import keep_report, report_rollout, stage_of
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.digest import digest_value
from maskloop.errors import BusyError, MaskloopError, NotFoundError, UnavailableError
from maskloop.files import write_text
from maskloop.folding.history import recall_cycles, recall_version
from maskloop.ledger.leases import leased
from maskloop.settings.workspace_settings import Settings
from maskloop.workspace import Workspace
from registry.evidence.approval_page import render_page
from registry.evidence.description import describe_version
from registry.ports import EVIDENCE_TAG, ModelStore, RunTracker
from serving.rollout.analysis import Analysis

if TYPE_CHECKING:
    from pathlib import Path

    from maskloop.ledger.port import Ledger
    from maskloop.state.cycle_state import Cycle
    from maskloop.state.loop_state import LoopState, Rollout
    from registry.evidence.approval_page import ApprovalPage

_NOTE: Final = "approval-pages.json"


def refresh_packs(app: App) -> None:
    """Write every page that is out of date: cheap while none is. Never raises for an away MLflow.

    It checks the open cycles, whose pages also depend on the settings, and the cycles named by entries since
    all pages were last up to date.
    """
    state = app.state()
    note = app.workspace.state_dir / _NOTE
    is_done = True
    try:
        since = _read_note(note)
        if since > state.last_sequence:  # the workspace has another ledger than when it was written
            since = 0
        for cycle_id in _find_touched(app.ledger, state, since=since):
            recalled = recall_cycles(app.ledger, app.state(), [cycle_id])
            cycle = recalled.cycles[cycle_id]
            name_now = partial(made_from, app.ledger, cycle, recalled, app.settings, app.analyse_rollout)
            if not _is_up_to_date(app.models, cycle, name_now):
                is_done = False
                refresh_pack(app, cycle_id)
    except MaskloopError as error:
        app.teller.say(f"the approval pages wait: {error}")
        return
    if is_done and state.last_sequence:
        _write_note(note, state.last_sequence)


def _find_touched(ledger: Ledger, state: LoopState, *, since: int) -> list[str]:
    """Return the judged cycles whose pages may be out of date, oldest first.

    If a version was judged again, only the cycle of its last verdict has the page.
    """
    touched = {cycle.id for cycle in state.open_cycles}
    for entry in ledger.entries(after=since):
        named = {entry.payload.get("weights_digest"), entry.payload.get("previous_digest")} - {None, ""}
        owners = [owner for digest in named for owner in state.owners_of(str(digest))]
        touched.update([entry.cycle_id, *(owner.cycle_id for owner in owners)])
    versions = {state.candidates[one].version for one in touched if one in state.candidates}
    judged = {one.version: one.cycle_id for one in state.candidates.values() if one.is_judged}
    return [cycle for version, cycle in judged.items() if version in versions]


def _is_up_to_date(models: ModelStore, cycle: Cycle, name_now: Callable[[], str]) -> bool:
    """Tell whether a cycle's page is up to date, or none is needed.

    Args:
        models: The registry; the version's tag names the state that its page shows.
        cycle: The judged cycle.
        name_now: Returns the name of the present state.
    """
    try:
        version = cycle.verdict.candidate_version if cycle.verdict else ""
        shown = models.version(version).tags.get(EVIDENCE_TAG, "")
    except NotFoundError:
        return True  # deleted by hand
    return (bool(cycle.closed) and not shown) or shown == name_now()  # or it ended before there were pages


def refresh_pack(app: App, cycle_id: str) -> None:
    """Write one cycle's page and its version's description as the record has them now.

    It takes seconds, or minutes while MLflow hangs, so nothing that serves traffic may call it. Failures do
    not stop the loop: they are reported, and the next `refresh_packs` retries.
    """
    try:
        with leased(app.ledger, f"the approval page of {cycle_id}", ttl_s=app.settings.retraining.lease_s):
            cycle = recall_cycles(app.ledger, app.state(), [cycle_id]).cycles.get(cycle_id)
            if cycle is not None and (verdict := cycle.verdict) is not None:
                recalled = recall_version(app.ledger, app.state(), verdict.candidate_version)
                name = made_from(app.ledger, cycle, recalled, app.settings, app.analyse_rollout)
                report = None
                if rollout := recalled.rollouts.get(cycle_id):
                    analysis = app.analyse_rollout(rollout)
                    report = report_rollout(
                        rollout, analysis, verdict.candidate_version, app.pairs, app.workspace, app.teller
                    )
                page = gather_page(
                    app.ledger, app.tracker, app.workspace, cycle, verdict, recalled, rollout=report
                )
                _publish(page, cycle, name, app.workspace, app.tracker, app.models, app.teller)
        refresh_report(app)  # the approval page links it
    except BusyError:
        pass  # somebody else is writing it
    except MaskloopError as error:
        app.teller.say(f"{cycle_id}: the approval page waits: {error}")


def made_from(
    ledger: Ledger,
    cycle: Cycle,
    state: LoopState,
    settings: Settings,
    analyse: Callable[[Rollout], Analysis],
) -> str:
    """Name what a cycle's page is made from: the newest entry about it, and what else can change it.

    The page of an ended cycle depends on the ledger alone, not on gates edited later.
    """
    newest = newest_entry_about(ledger, cycle, state)
    if cycle.closed:
        return f"up to entry {newest}"
    gates = settings.gates.model_dump(mode="json") if settings.gates else None
    rollout = state.rollouts.get(cycle.id)
    stage = stage_of(analyse(rollout)) if rollout else []
    others = [gates, settings.approval.model_dump(mode="json"), stage]
    return f"up to entry {newest}, {digest_value(others)[:12]}"


def _publish(
    page: ApprovalPage,
    cycle: Cycle,
    name: str,
    workspace: Workspace,
    tracker: RunTracker,
    models: ModelStore,
    teller: Teller,
) -> None:
    """Publish a page in the workspace and with the run; tag its version with the state that it shows."""
    if page.rollout:
        keep_report(workspace, page.version, page.rollout)
    file = workspace.verdict_page(page.version)
    write_text(file, render_page(page, beside=_pages_beside(workspace, file.parent, page)))
    route = _log_page(tracker, teller, cycle, render_page(page))
    models.describe(page.version, describe_version(page, page_route=route))
    models.set_tag(page.version, EVIDENCE_TAG, name)  # last: until then the page counts as not written


def _read_note(file: Path) -> int:
    """Return the newest entry at which all pages were up to date; 0 if none was noted."""
    try:
        return int(json.loads(file.read_text(encoding="utf-8"))["up_to_entry"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _write_note(file: Path, sequence: int) -> None:
    if _read_note(file) != sequence:
        with suppress(MaskloopError):  # then the same pages are asked about again
            write_text(file, json.dumps({"up_to_entry": sequence}))


def _pages_beside(workspace: Workspace, folder: Path, page: ApprovalPage) -> dict[str, str]:
    """Return the workspace's other pages, relative to a folder, so that they still work when all is moved."""
    pages = {"the loop": workspace.loop_page}
    if page.drift:
        pages["the drift page"] = workspace.root / page.drift.page
    return {text: relative_address(file, folder) for text, file in pages.items()}


def _log_page(tracker: RunTracker, teller: Teller, cycle: Cycle, text: str) -> str:
    """Log the page with the candidate's run; return its route in the tracker, empty if it has none."""
    if cycle.candidate is None:
        return ""
    try:
        tracker.log_text(cycle.candidate.run_id, text, PAGE_PATH)
        return tracker.route(cycle.candidate.run_id, PAGE_PATH)
    except UnavailableError:
        raise
    except MaskloopError as error:
        teller.say(f"{cycle.id}: its run takes no approval page: {error}")
        return ""
