"""`maskloop approve`, `reject`, `abandon`, `rollback` and `rollout`: what people decide."""

from __future__ import annotations

from pathlib import Path

import click

from flows.console.output import Output, open_workspace, user_name, with_output
from flows.deciding.decisions import Decision, decide_by_hand
from flows.loop.cycles import abandon_cycle
from flows.pages.evidence_pack import refresh_packs
from flows.rollouts.rollout import (
    describe_rollout,
    resume_rollout,
    roll_back_last_change,
    stop_rollout,
)
from flows.workspace.telling import Teller
from maskloop.records.kinds import RolloutMoved


@with_output
def approve(root: Path, out: Output, *, version: str, by: str, why: str) -> None:
    """Approve a judged VERSION; the next reconcile promotes it."""
    _decide(root, out, version, "approved", by, why)


@with_output
def reject(root: Path, out: Output, *, version: str, by: str, why: str) -> None:
    """Reject a judged VERSION."""
    _decide(root, out, version, "rejected", by, why)


@with_output
def abandon(root: Path, out: Output, *, cycle: str, by: str, why: str) -> None:
    """End an open CYCLE; what serves goes on serving."""
    closed = abandon_cycle(open_workspace(root), cycle, by=by or user_name(), why=why)
    out.answer(closed.model_dump(mode="json"), lambda: click.echo(f"{cycle}: {closed.sentence()}"))


@with_output
def rollback(root: Path, out: Output, *, version: str | None, by: str, why: str) -> None:
    """Make an earlier champion serve again."""
    app = open_workspace(root)
    changed = roll_back_last_change(app, to_version=version, by=by or user_name(), why=why)
    out.answer(changed.model_dump(mode="json"), lambda: out.sentences([changed.sentence()], app.teller))


@with_output
def rollout_show(root: Path, out: Output, *, cycle: str) -> None:
    """Show how far the rollout is, what was measured, and what it waits for."""
    found = describe_rollout(open_workspace(root), cycle)

    def tell() -> None:
        click.echo(found["sentence"])
        click.echo(f"waits for: {found['waits_for']}")
        rows = [{name: check[name] for name in ("name", "outcome", "reason")} for check in found["checks"]]
        out.table(rows, f"{found['num_compared']} pictures compared")

    out.answer(found, tell)


@with_output
def rollout_resume(root: Path, out: Output, *, accept: bool, by: str) -> None:
    """Resume a paused rollout: give its step more time, or accept it as it is."""
    app = open_workspace(root)
    _answer(app.teller, out, resume_rollout(app, by=by or user_name(), accept=accept))


@with_output
def rollout_stop(root: Path, out: Output, *, by: str, why: str) -> None:
    """Take the challenger out of all traffic at once; the champion goes on serving."""
    app = open_workspace(root)
    _answer(app.teller, out, stop_rollout(app, by=by or user_name(), why=why))


def _answer(teller: Teller, out: Output, moved: RolloutMoved) -> None:
    out.answer(moved.model_dump(mode="json"), lambda: out.sentences([moved.sentence()], teller))


def _decide(root: Path, out: Output, version: str, decision: Decision, by: str, why: str) -> None:
    app = open_workspace(root)
    decided = decide_by_hand(app, version, decision, by=by or user_name(), why=why)
    refresh_packs(app)
    out.answer(
        {**decided.record.model_dump(mode="json"), "changed": decided.is_new},
        lambda: out.sentences([decided.sentence()], app.teller),
    )
