from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flows.notifications.deliveries import (
    Delivery,
    find_untold,
    next_attempt,
    plan_deliveries,
    told_key,
)
from flows.notifications.notices import Notice
from maskloop.settings.notification_settings import ChannelSettings, NoticeEvent
from maskloop.state.incident_state import ChannelTrouble

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def notice(event: NoticeEvent, name: str = "1") -> Notice:
    return Notice(f"{event}:{name}", event, "it happened", NOON, (), ())


DRIFT, DECISION = notice("drift"), notice("decision")
ALL = ChannelSettings(url_variable="A")
DECISIONS = ChannelSettings(url_variable="B", events=("decision",))


def test_a_channel_hears_what_it_asked_for_and_was_not_told() -> None:
    found = find_untold([DRIFT, DECISION], {"chat": ALL, "mail": DECISIONS}, {told_key("chat", DRIFT.id)})
    assert found == (Delivery("chat", (DECISION,)), Delivery("mail", (DECISION,)))


def test_the_end_is_told_to_those_who_were_told_the_beginning() -> None:
    end = replace(notice("drift", "end"), follows=DRIFT.id)
    channels = {"chat": ALL, "other": ALL}
    assert find_untold([end], channels, {told_key("chat", DRIFT.id)}) == (Delivery("chat", (end,)),)


def test_a_channel_that_was_told_everything_is_left_alone() -> None:
    assert find_untold([DRIFT], {"chat": ALL, "mail": DECISIONS}, {told_key("chat", DRIFT.id)}) == ()


def trouble(num_attempts: int, last: datetime = NOON) -> dict[str, ChannelTrouble]:
    return {"chat": ChannelTrouble(NOON - timedelta(days=1), num_attempts, last, "no answer")}


def test_a_channel_without_trouble_gets_everything() -> None:
    both = Delivery("chat", (DRIFT, DECISION))
    assert plan_deliveries([both], {}, NOON) == (both,)


@pytest.mark.parametrize(
    ("num_attempts", "minutes"), [(1, 1), (2, 2), (3, 4), (8, 128), (11, 1024), (12, 1440), (999, 1440)]
)
def test_a_channel_in_trouble_is_tried_with_one_message_after_ever_longer_pauses(
    num_attempts: int, minutes: int
) -> None:
    both, in_trouble = Delivery("chat", (DRIFT, DECISION)), trouble(num_attempts)
    due_at = NOON + timedelta(minutes=minutes)
    assert next_attempt(in_trouble["chat"]) == due_at
    assert plan_deliveries([both], in_trouble, due_at - timedelta(seconds=1)) == ()
    assert plan_deliveries([both], in_trouble, due_at) == (Delivery("chat", (DRIFT,)),)


def test_the_trouble_of_one_channel_holds_up_no_other() -> None:
    other = Delivery("mail", (DECISION,))
    assert plan_deliveries([Delivery("chat", (DRIFT,)), other], trouble(5), NOON) == (other,)


def test_a_clock_that_was_turned_back_keeps_no_channel_waiting() -> None:
    due = plan_deliveries([Delivery("chat", (DRIFT,))], trouble(9), NOON - timedelta(days=3))
    assert due == (Delivery("chat", (DRIFT,)),)
