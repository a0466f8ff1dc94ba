"""The approval page of every judged version, in MLflow and in the workspace, as the record has it.

Which pages are out of date is read off the versions themselves: each carries a tag that names what its page
was made from. So a page that could not be written, because MLflow was away or a process died, is written by
the next reconcile, and nobody has to remember it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.evidence.judged import PAGE_PATH
from flows.pages.approval_facts import gather_page, is_about
from flows.pages.report import refresh_report, relative_address
from flows.pages.shadow_evidence import keep_report, stage_of
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.digest import digest_value
from maskloop.errors import BusyError, MaskloopError, UnavailableError
from maskloop.files import write_text
from maskloop.ledger.leases import leased
from maskloop.records.kinds import VerdictReached
from maskloop.workspace import Workspace
from registry.evidence.approval_page import render_page
from registry.evidence.description import describe_version
from registry.ports import EVIDENCE_TAG, RunTracker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from maskloop.ledger.port import Entry
    from maskloop.state.cycle_state import Cycle
    from registry.evidence.approval_page import ApprovalPage


def refresh_packs(app: App) -> None:
    """Write every page that is out of date: cheap while none is. Never raises for an away MLflow."""
    newest = {c.verdict.candidate_version: c for c in app.state().cycles.values() if c.verdict}
    judged = list(newest.values())  # of a version that was judged again, only the last verdict has the page
    if not judged:
        return
    try:
        shown = {one.version: one.tags.get(EVIDENCE_TAG, "") for one in app.models.versions()}
    except MaskloopError as error:
        app.teller.say(f"the approval pages wait: {error}")
        return
    entries = app.ledger.entries()
    for cycle in judged:
        version = cycle.verdict.candidate_version if cycle.verdict else ""
        if version not in shown or (cycle.closed and not shown[version]):
            continue  # deleted by hand, or ended before there were pages
        if shown[version] != made_from(app, cycle, entries):
            refresh_pack(app, cycle.id)


def refresh_pack(app: App, cycle_id: str) -> None:
    """Write one cycle's page and its version's description as the record has them now.

    Takes seconds, and minutes while MLflow hangs: nothing that traffic waits for may wait for it.
    Nothing here can hold up the loop: what fails is said, and left to the next `refresh_packs`.
    """
    try:
        with leased(app.ledger, f"the approval page of {cycle_id}", ttl_s=app.settings.retraining.lease_s):
            entries, cycle = app.ledger.entries(), app.state().cycles.get(cycle_id)
            if cycle is not None and cycle.verdict is not None:
                _write(app, cycle, cycle.verdict, entries)
        refresh_report(app)  # the approval page links it
    except BusyError:
        pass  # somebody else is writing it
    except MaskloopError as error:
        app.teller.say(f"{cycle_id}: the approval page waits: {error}")


def made_from(app: App, cycle: Cycle, entries: Sequence[Entry]) -> str:
    """Name what a cycle's page is made from: the newest entry about it, and what else can change it.

    The page of an ended cycle only follows the ledger: gates edited later mean nothing to it.
    """
    newest = max(entry.sequence for entry in entries if is_about(entry, cycle))
    if cycle.closed:
        return f"up to entry {newest}"
    settings = app.settings
    gates = settings.gates.model_dump(mode="json") if settings.gates else None
    others = [gates, settings.approval.model_dump(mode="json"), stage_of(app, cycle.id)]
    return f"up to entry {newest}, {digest_value(others)[:12]}"


def _write(app: App, cycle: Cycle, verdict: VerdictReached, entries: Sequence[Entry]) -> None:
    name = made_from(app, cycle, entries)
    page = gather_page(app, cycle, verdict, app.state(), entries)
    if page.rollout:
        keep_report(app.workspace, page.version, page.rollout)
    file = app.workspace.verdict_page(page.version)
    write_text(file, render_page(page, beside=_pages_beside(app.workspace, file.parent, page)))
    route = _log_page(app.tracker, app.teller, cycle, render_page(page))
    app.models.describe(page.version, describe_version(page, page_route=route))
    app.models.set_tag(page.version, EVIDENCE_TAG, name)  # last: until then the page counts as not written


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
