"""Which channel is due to be told what: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from flows.notifications.notices import Notice
from maskloop.settings.notification_settings import ChannelSettings
from maskloop.state.incident_state import ChannelTrouble

_FIRST_PAUSE: Final = timedelta(minutes=1)
_LONGEST_PAUSE: Final = timedelta(hours=24)


@dataclass(frozen=True)
class Delivery:
    """Notices that are due on one channel, in order."""

    channel: str
    notices: tuple[Notice, ...]


def told_key(channel: str, notice_id: str) -> str:
    """Return the idempotency key of the record that a channel was told something."""
    return f"told:{channel}:{notice_id}"


def find_untold(
    notices: Sequence[Notice], channels: Mapping[str, ChannelSettings], told: AbstractSet[str]
) -> tuple[Delivery, ...]:
    """Return what each channel should be told and was not; a channel with nothing to hear is left out.

    Args:
        notices: All that is the case.
        channels: By name.
        told: The keys (`told_key`) of what was told.
    """
    found = []
    for name, channel in channels.items():
        own = tuple(
            one
            for one in notices
            if one.event in channel.events
            and told_key(name, one.id) not in told
            and (not one.follows or told_key(name, one.follows) in told)
        )
        if own:
            found.append(Delivery(name, own))
    return tuple(found)


def plan_deliveries(
    untold: Sequence[Delivery], troubles: Mapping[str, ChannelTrouble], now: datetime
) -> tuple[Delivery, ...]:
    """Return what is sent now. A channel in trouble gets one message as a trial, after ever longer pauses."""
    due = []
    for delivery in untold:
        trouble = troubles.get(delivery.channel)
        if trouble is None:
            due.append(delivery)
        elif now >= next_attempt(trouble) or now < trouble.last_attempt_at:  # or the clock was turned back
            due.append(Delivery(delivery.channel, delivery.notices[:1]))
    return tuple(due)


def next_attempt(trouble: ChannelTrouble) -> datetime:
    """Return when a channel in trouble is tried again: after 1, 2, 4, … minutes, at most a day.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> f"{next_attempt(ChannelTrouble(noon, 3, noon, '')):%H:%M}"
    '12:04'
    """
    pause = _FIRST_PAUSE * (1 << min(trouble.num_attempts - 1, 20))
    return trouble.last_attempt_at + min(pause, _LONGEST_PAUSE)
