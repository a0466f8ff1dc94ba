from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from flows.loop.reconcile import reconcile
from flows.notifications.sending import describe_channels, list_notices, send_test, tell_people
from flows.pages.status import describe_status
from maskloop.errors import NotFoundError, UnavailableError
from maskloop.ledger.leases import leased
from maskloop.records.kinds import NotificationFailed, NotificationSent
from tests.fakes.channels import FakeChannel
from tests.fakes.crashing import Countdown, every_crash_point
from tests.fakes.incident_stories import Story
from tests.fakes.loop_world import World

CHANNELS = """
[notifications]
timeout_s = {timeout_s}

[notifications.channels.chat]
url_variable = "CHAT_URL"

[notifications.channels.mail]
url_variable = "MAIL_URL"
events = ["failed-cycle"]
"""


def make_world(root: Path, *, timeout_s: float = 10.0) -> World:
    """A workspace with two channels: production has drifted, and a cycle was given up."""
    world = World(root, settings=CHANNELS.format(timeout_s=timeout_s))
    story = Story(world.clock)
    world.ledger = story.ledger
    story.serve("1")
    for _ in range(2):
        story.window("drift")
    story.open_cycle("cycle-1", "manual")
    story.fail_cycle("cycle-1")
    world.channels = {"chat": FakeChannel(), "mail": FakeChannel()}
    return world


@pytest.fixture
def told(tmp_path: Path) -> World:
    return make_world(tmp_path / "workspace")


def test_each_channel_is_told_once_what_it_asked_for(told: World) -> None:
    said = tell_people(told.app())
    assert len(said) == 3
    assert len(told.channels["chat"].messages) == 2
    (mail,) = told.channels["mail"].messages
    assert mail.headline == "[mask-rcnn] cycle-1 was given up without a new model; version 1 serves on"
    assert tell_people(told.app()) == []
    assert len(told.channels["chat"].messages) == 2
    assert len(told.of_kind(NotificationSent)) == 3


def test_without_a_channel_nothing_is_looked_at_or_sent(tmp_path: Path) -> None:
    world = World(tmp_path / "workspace")
    world.channels = {"chat": FakeChannel()}
    before = world.ledger.entries()
    assert tell_people(world.app()) == []
    assert describe_channels(world.app()) == ()
    assert world.ledger.entries() == before
    assert world.channels["chat"].messages == []


def test_a_channel_that_fails_is_tried_again_later_and_holds_up_no_other(told: World) -> None:
    told.channels["chat"].trouble = "its server answered 500"
    tell_people(told.app())
    assert len(told.channels["mail"].messages) == 1
    (failed,) = told.of_kind(NotificationFailed)
    assert (failed.channel, failed.attempt) == ("chat", 1)
    assert tell_people(told.app()) == []
    told.clock.advance(minutes=1)
    tell_people(told.app())
    assert [one.attempt for one in told.of_kind(NotificationFailed)] == [1, 2]

    told.channels["chat"].trouble = ""
    told.clock.advance(minutes=2)
    tell_people(told.app())
    tell_people(told.app())
    assert len(told.channels["chat"].messages) == 2
    assert told.state.channel_troubles == {}


def test_a_dead_channel_is_said_by_status_with_its_tries_and_what_waits(told: World) -> None:
    told.channels["chat"].trouble = "its server answered 500"
    tell_people(told.app())
    text = describe_status(told.app()).to_text()
    assert "channel:  chat has taken no message since 2026-03-02 10:30 UTC (tried once, " in text
    assert "its server answered 500; 2 messages waiting. `maskloop notify test chat` tries it now" in text
    assert "mail" not in text
    channels = {one["name"]: one for one in describe_status(told.app()).to_json()["channels"]}
    assert len(channels["chat"]["untold"]) == 2
    assert channels["mail"] == {"name": "mail", "untold": (), "trouble": None}


def test_a_channel_that_hangs_is_given_up_in_time_and_its_thread_sends_nothing_more(tmp_path: Path) -> None:
    world = make_world(tmp_path / "workspace", timeout_s=0.2)
    chat = world.channels["chat"]
    chat.hangs = True
    start = time.monotonic()
    tell_people(world.app())
    assert time.monotonic() - start < 5
    assert len(world.channels["mail"].messages) == 1
    (failed,) = world.of_kind(NotificationFailed)
    assert failed.reason == "no answer within 0.2 s"

    (hanging,) = [one for one in threading.enumerate() if one.name == "channel chat"]
    chat.release()
    hanging.join(10)
    assert len(chat.messages) == 1  # the message that hung; the second was not begun
    world.clock.advance(minutes=1)
    tell_people(world.app())
    tell_people(world.app())
    headlines = Counter(chat.headlines)
    assert sorted(headlines.values()) == [1, 2]  # at least once


def test_an_unexpected_error_is_told_by_its_kind_alone(told: World) -> None:
    told.channels["chat"].unexpected = RuntimeError("https://hooks.example/s3cret")
    tell_people(told.app())
    (failed,) = told.of_kind(NotificationFailed)
    assert failed.reason == "unexpected RuntimeError"


def test_a_kill_anywhere_loses_no_message_and_repeats_one_of_a_channel_at_most(tmp_path: Path) -> None:
    worlds: list[World] = []

    def run(countdown: Countdown) -> None:
        worlds.append(make_world(tmp_path / f"{countdown.calls_left}-{countdown.moment}"))
        tell_people(worlds[-1].app(countdown=countdown))

    repeats = set()
    for _ in every_crash_point(run):
        world = worlds[-1]
        world.clock.advance(minutes=1)  # until the lease of the dead process is over
        tell_people(world.app())
        sent = Counter(
            (name, headline) for name, channel in world.channels.items() for headline in channel.headlines
        )
        assert len(sent) == 3
        assert len(world.of_kind(NotificationSent)) == 3
        by_channel = Counter(name for name, _ in sent.elements())
        repeats.add((by_channel["chat"] - 2, by_channel["mail"] - 1))
    assert repeats <= {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert len(repeats) > 1


def test_two_processes_do_not_tell_the_same(told: World) -> None:
    with leased(told.ledger, "notifications", ttl_s=60):
        assert tell_people(told.app()) == []
    assert told.channels["chat"].messages == []
    assert len(tell_people(told.app())) == 3


def test_a_reconcile_tells_people_also_if_the_registry_does_not_answer(told: World) -> None:
    class Gone:
        def __getattr__(self, name: str) -> object:
            raise UnavailableError("MLflow does not answer")

    told.models = Gone()  # type: ignore[assignment]
    told.label(range(12))
    story = Story(told.clock, told.ledger)
    story.open_cycle("cycle-2", "manual")
    story.judge("cycle-2")
    with pytest.raises(UnavailableError):
        reconcile(told.app())
    assert len(told.channels["chat"].messages) == 1


def test_a_test_message_goes_to_the_named_channels_and_is_recorded_nowhere(told: World) -> None:
    told.channels["mail"].trouble = "its server answered 535"
    before = told.ledger.entries()
    outcomes = {one.channel: one.trouble for one in send_test(told.app())}
    assert outcomes["chat"] == ""
    assert "535" in outcomes["mail"]
    assert told.channels["chat"].headlines == ["[mask-rcnn] test of the channel chat"]
    assert [one.channel for one in send_test(told.app(), ["chat"])] == ["chat"]
    assert told.ledger.entries() == before
    with pytest.raises(NotFoundError, match="there is no channel pager"):
        send_test(told.app(), ["pager"])


def test_the_end_of_a_drift_is_told_and_listed_only_where_its_beginning_was(told: World) -> None:
    tell_people(told.app())
    Story(told.clock, told.ledger).window("quiet")
    (said,) = tell_people(told.app())
    assert said.startswith("chat was told: the drift of 2026-03-02 09:30 UTC is over")
    assert tell_people(told.app()) == []
    listed = {one["id"]: one["told"] for one in list_notices(told.app())}
    assert listed == {"restored:incident-1": ["chat"], "failed-cycle:cycle-1": ["chat", "mail"]}


def test_the_end_of_a_drift_that_nobody_was_told_of_is_told_nobody(told: World) -> None:
    Story(told.clock, told.ledger).window("quiet")
    assert [one["id"] for one in list_notices(told.app())] == ["failed-cycle:cycle-1"]
    assert all("is over" not in said for said in tell_people(told.app()))


def test_what_is_the_case_is_listed_with_those_that_were_told(told: World) -> None:
    told.channels["chat"].trouble = "no answer"
    tell_people(told.app())
    listed = {one["event"]: one["told"] for one in list_notices(told.app())}
    assert listed == {"drift": [], "failed-cycle": ["mail"]}
