"""The section [notifications] of `maskloop.toml`: who is told what, for workspaces without Alertmanager."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import Field, field_validator

from maskloop.settings.sections import Positive, Section

NoticeEvent = Literal[
    "drift", "quality", "decision", "failed-cycle", "rollback", "labels-waiting", "labels-finished", "budget"
]
NOTICE_EVENTS: Final[tuple[NoticeEvent, ...]] = get_args(NoticeEvent)
ChannelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


class ChannelSettings(Section):
    """One channel: a mailbox, a chat room, a webhook."""

    url_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """The environment variable that holds its address, as Apprise writes it; it often holds a secret."""
    events: tuple[NoticeEvent, ...] = NOTICE_EVENTS
    """What it is told."""

    @field_validator("events")
    @classmethod
    def _are_some(cls, events: tuple[NoticeEvent, ...]) -> tuple[NoticeEvent, ...]:
        if not events:
            raise ValueError("names no event; leave the channel out instead")
        return events


class NotificationSettings(Section):
    """Who is told what. Without a channel nothing is sent."""

    channels: dict[ChannelName, ChannelSettings] = {}  # noqa: RUF012
    """By name."""
    timeout_s: Positive = 10.0
    """A channel that has not taken its messages by then is tried again later."""
