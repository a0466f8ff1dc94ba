"""Messages leave: each channel in a thread of its own, for a bounded time, each result recorded at once.

A message counts as told once the ledger says so. A process killed between the two sends that one message
again: at least once, and each kill repeats one message of a channel at most. A channel that hangs is given up
after `notifications.timeout_s`; its thread ends by itself, without sending anything more.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from flows.notifications.deliveries import (
    Delivery,
    find_untold,
    next_attempt,
    plan_deliveries,
    told_key,
)
from flows.notifications.messages import Place, write_message, write_test_message
from flows.notifications.notices import Notice, find_notices
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.errors import BusyError, MaskloopError, NotFoundError
from maskloop.ledger.leases import leased
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import NotificationFailed, NotificationSent, write_record
from maskloop.settings.notification_settings import ChannelSettings
from maskloop.state.incident_state import ChannelTrouble
from maskloop.state.loop_state import LoopState
from maskloop.wording import count, times
from maskloop.workspace import Workspace
from monitoring.channels.port import Channel, Message

_LEASE: Final = "notifications"


@dataclass(frozen=True)
class Outcome:
    """What became of one message.

    Attributes:
        channel: Its name.
        key: Names the message: a notice's id.
        trouble: Why it was not taken; empty if it was.
    """

    channel: str
    key: str
    trouble: str = ""


def tell_people(app: App) -> list[str]:
    """Send what somebody should know and was not told; does nothing without channels.

    A channel that fails is recorded and tried again by a later call; nothing is raised for it.

    Returns:
        What was told, as sentences.
    """
    settings = app.settings.notifications
    if not settings.channels:
        return []
    notices = find_notices(app.state(), app.settings, app.clock.now())
    find_due = partial(_find_due, app.ledger, notices, settings.channels, app.clock.now())
    if not find_due(app.state()):
        return []
    try:
        with leased(app.ledger, _LEASE, ttl_s=3 * settings.timeout_s):
            due = find_due(app.state())  # another process may have told it meanwhile
            place = find_place(app.workspace)
            messages = {
                one.channel: [(notice.id, write_message(notice, place)) for notice in one.notices]
                for one in due
            }
            headlines = {notice.id: notice.headline for one in due for notice in one.notices}
            sender = Sender(app.channels, settings.timeout_s)
            return [
                _record(app.ledger, app.state(), outcome, headlines[outcome.key], app.teller)
                for outcome in sender.send(messages)
            ]
    except BusyError:
        return []


def send_test(app: App, names: Sequence[str] = ()) -> tuple[Outcome, ...]:
    """Send a test message to each channel, or to some, in the order of the settings; nothing is recorded.

    Raises:
        NotFoundError: if there is no channel, or none of a name.
    """
    channels = app.channels
    if not channels:
        raise NotFoundError(
            "no channel is configured",
            where="[notifications] in maskloop.toml",
            hint="docs/operations.md, Notifications, shows how",
        )
    if unknown := [name for name in names if name not in channels]:
        raise NotFoundError(f"there is no channel {unknown[0]}", hint=f"there are {', '.join(channels)}")
    place = find_place(app.workspace)
    messages = {name: [("test", write_test_message(place, name))] for name in names or channels}
    outcomes = Sender(channels, app.settings.notifications.timeout_s).send(messages)
    order = list(messages)
    return tuple(sorted(outcomes, key=lambda one: order.index(one.channel)))


def find_place(workspace: Workspace) -> Place:
    """Return where messages come from."""
    return Place(workspace.settings.model_name, str(workspace.root), socket.gethostname())


@dataclass(frozen=True)
class ChannelStatus:
    """How far a channel is.

    Attributes:
        name: As in the settings.
        untold: The headlines that it was not told yet.
        trouble: Why not; None if the next reconcile tells it.
    """

    name: str
    untold: tuple[str, ...]
    trouble: ChannelTrouble | None

    def sentence(self) -> str:
        """Say it in plain words."""
        waiting = f"{count(len(self.untold), 'message')} waiting" if self.untold else "nothing to tell"
        if self.trouble is None:
            return f"{self.name}: {waiting}"
        tried = f"tried {times(self.trouble.num_attempts)}"
        again = f"again from {next_attempt(self.trouble):%Y-%m-%d %H:%M} UTC on"
        since = f"since {self.trouble.since:%Y-%m-%d %H:%M} UTC"
        return (
            f"{self.name} has taken no message {since} ({tried}, {again}): {self.trouble.reason}; {waiting}. "
            f"`maskloop notify test {self.name}` tries it now"
        )


def describe_channels(app: App) -> tuple[ChannelStatus, ...]:
    """Say of each channel what it was not told yet, and why. Sends nothing."""
    channels = app.settings.notifications.channels
    if not channels:
        return ()
    state = app.state()
    notices = find_notices(state, app.settings, app.clock.now())
    untold = {one.channel: one.notices for one in _find_untold(app.ledger, notices, channels)}
    return tuple(
        ChannelStatus(
            name,
            tuple(notice.headline for notice in untold.get(name, ())),
            state.channel_troubles.get(name),
        )
        for name in channels
    )


def list_notices(app: App) -> list[dict[str, Any]]:
    """Return all that is the case as plain data, with the channels that were told each."""
    channels = app.settings.notifications.channels
    found = []
    for notice in find_notices(app.state(), app.settings, app.clock.now()):
        told = [name for name in channels if _was_told(app.ledger, name, notice.id)]
        if notice.follows and not any(_was_told(app.ledger, name, notice.follows) for name in channels):
            continue
        plain = {**asdict(notice), "since": notice.since.isoformat(), "facts": dict(notice.facts)}
        found.append({**plain, "told": told})
    return found


class Sender:
    """Gives messages to channels, side by side.

    Args:
        channels: By name.
        timeout_s: For all of them together.
    """

    def __init__(self, channels: Mapping[str, Channel], timeout_s: float) -> None:
        self._channels, self._timeout_s = channels, timeout_s

    def send(self, messages: Mapping[str, Sequence[tuple[str, Message]]]) -> Iterator[Outcome]:
        """Yield an outcome for each message as soon as it is known, in order for each channel.

        After a failure the other messages of that channel are left for another time, without an outcome.
        """
        results: queue.Queue[Outcome | str] = queue.Queue()
        is_over = threading.Event()
        waiting = {name: [key for key, _ in own] for name, own in messages.items()}
        turns = {name: threading.Semaphore() for name in messages}
        for name, own in messages.items():
            given = (self._channels[name], name, own, results, turns[name], is_over)
            threading.Thread(target=_send_all, args=given, name=f"channel {name}", daemon=True).start()
        ends_at = time.monotonic() + self._timeout_s
        try:
            while waiting:
                outcome = results.get(timeout=max(ends_at - time.monotonic(), 0))
                if isinstance(outcome, str):
                    waiting.pop(outcome, None)
                else:
                    del waiting[outcome.channel][0]
                    yield outcome
                    turns[outcome.channel].release()  # its caller has recorded it
        except queue.Empty:
            for name, keys in waiting.items():
                yield Outcome(name, keys[0], f"no answer within {self._timeout_s:g} s")
        finally:
            is_over.set()
            for turn in turns.values():
                turn.release()


def _send_all(
    channel: Channel,
    name: str,
    messages: Sequence[tuple[str, Message]],
    results: queue.Queue[Outcome | str],
    turn: threading.Semaphore,
    is_over: threading.Event,
) -> None:
    for key, message in messages:
        turn.acquire()
        if is_over.is_set():
            return
        trouble = _try(channel, message)
        results.put(Outcome(name, key, trouble))
        if trouble:
            break
    results.put(name)


def _try(channel: Channel, message: Message) -> str:
    try:
        channel.send(message)
    except MaskloopError as error:
        return error.headline
    except Exception as error:  # noqa: BLE001 - a plug-in of a hundred; its words may hold the address
        return f"unexpected {type(error).__name__}"
    return ""


def _find_due(
    ledger: Ledger,
    notices: Sequence[Notice],
    channels: Mapping[str, ChannelSettings],
    now: datetime,
    state: LoopState,
) -> tuple[Delivery, ...]:
    return plan_deliveries(_find_untold(ledger, notices, channels), state.channel_troubles, now)


def _find_untold(
    ledger: Ledger, notices: Sequence[Notice], channels: Mapping[str, ChannelSettings]
) -> tuple[Delivery, ...]:
    ids = {one for notice in notices for one in (notice.id, notice.follows) if one}
    keys = (told_key(name, one) for name in channels for one in ids)
    told = {key for key in keys if ledger.find(key=key, limit=1)}
    return find_untold(notices, channels, told)


def _was_told(ledger: Ledger, channel: str, notice_id: str) -> bool:
    return bool(ledger.find(key=told_key(channel, notice_id), limit=1))


def _record(ledger: Ledger, state: LoopState, outcome: Outcome, headline: str, teller: Teller) -> str:
    if not outcome.trouble:
        sent = NotificationSent(channel=outcome.channel, notice_id=outcome.key, headline=headline)
        write_record(ledger, sent, key=told_key(outcome.channel, outcome.key))
        teller.say(sent.sentence())
        return sent.sentence()
    trouble = state.channel_troubles.get(outcome.channel)
    attempt = trouble.num_attempts + 1 if trouble else 1
    failed = NotificationFailed(
        channel=outcome.channel, notice_id=outcome.key, attempt=attempt, reason=outcome.trouble
    )
    write_record(ledger, failed)
    teller.say(failed.sentence())
    return failed.sentence()
