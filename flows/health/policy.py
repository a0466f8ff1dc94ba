"""No training begins on data with a finding that blocks; what was found is kept, so that asking is cheap."""

from __future__ import annotations

from evaluation.label_errors import LABEL_ERROR_KINDS
from flows.health.check import NUM_COMPARED, DataCheck, check_data
from flows.health.findings import TITLES
from flows.health.kept_check import KeptCheck, find_blocking, keep_check, read_check
from flows.health.page import write_check_page
from flows.workspace.wiring import App
from maskloop.errors import RefusedError
from maskloop.records.kinds import CycleWaiting
from maskloop.settings.check_settings import rule_of
from maskloop.state.cycle_state import Cycle


def check_and_keep(app: App, *, num_compared: int) -> tuple[DataCheck, KeptCheck]:
    """Check the current version, write the page, and keep what was found. Raises as `check_data`."""
    check = check_data(app, num_compared=num_compared)
    kept = check.in_short(app.clock.now())
    write_check_page(app.workspace.check_page, check, app.settings.data.max_picture_mpx)
    keep_check(app.workspace.check_file, kept)
    return check, kept


def hold_for_data_check(app: App, cycle: Cycle) -> None:
    """Let no training begin on data with a finding that blocks; the cycle then waits, and says for what.

    The data are checked once a version: a later call takes what was found then. A training that had begun
    before is not held.

    Raises:
        RefusedError: if it is held. It costs no attempt; the next start asks again.
    """
    current = app.data.current() if cycle.phase == "opened" else None
    if current is None:
        return
    policy = app.settings.data.check_policy
    needs_champion = any(rule_of(policy, kind) == "block" for kind in LABEL_ERROR_KINDS)
    asks_champion = needs_champion and app.state().champion is not None
    kept = read_check(app.workspace.check_file)
    if kept is None or kept.fingerprint != current.fingerprint or (asks_champion and not kept.champion):
        _, kept = check_and_keep(app, num_compared=NUM_COMPARED if asks_champion else 0)
    blocking = find_blocking(kept, policy)
    if not blocking:
        return
    told = "; ".join(
        f"{TITLES[kind]} ({kept.found[kind].number}), first: {kept.found[kind].said}" for kind in blocking
    )
    settings = ", ".join(f'{kind} = "warn"' for kind in blocking)
    way_out = (
        f"Look at {app.workspace.check_page} and mend the data, or train on them as they are with "
        f"`check_policy = {{ {settings} }}` under [data]"
    )
    reason = f"the data check of {kept.tag} found what no training begins with: {told}"
    waiting = CycleWaiting(waiting_for="retry", reason=reason, way_out=way_out)
    if waiting != cycle.waiting:
        app.journal.write(cycle.id, waiting)
    raise RefusedError(reason, where=f"{cycle.id}, {kept.tag}", hint=way_out)
