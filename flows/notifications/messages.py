"""A notice as a message: everything that a stranger who reads it alone needs."""

from __future__ import annotations

from dataclasses import dataclass

from flows.notifications.notices import Notice
from flows.notifications.runbooks import NOTICE_RUNBOOKS
from monitoring.channels.port import Message


@dataclass(frozen=True)
class Place:
    """Where a message comes from.

    Attributes:
        model_name: The registered model's name.
        workspace: The workspace's folder.
        host: The machine.
    """

    model_name: str
    workspace: str
    host: str


def write_message(notice: Notice, place: Place) -> Message:
    """Write a notice out."""
    facts = [("since", f"{notice.since:%Y-%m-%d %H:%M} UTC"), *notice.facts]
    lines = [f"{name}: {said}" for name, said in facts if said]
    lines += ["", f"What to type, in {place.workspace} on {place.host}:"]
    lines += [f"  {command}" for command in notice.commands]
    lines += ["", f"Runbook: {NOTICE_RUNBOOKS[notice.event]}"]
    headline = f"[{place.model_name}] {notice.headline}"
    return Message(headline, "\n".join([f"{notice.headline[0].upper()}{notice.headline[1:]}.", *lines]))


def write_test_message(place: Place, channel: str) -> Message:
    """Write what `maskloop notify test` sends."""
    said = f"This is a test of the channel {channel}. Nothing has happened."
    where = f"It was sent by `maskloop notify test` in {place.workspace} on {place.host}."
    return Message(f"[{place.model_name}] test of the channel {channel}", f"{said}\n{where}")
