"""From the service's figures to the message: the rules and routes of `deploy/`, run by the real programs.

Times are scaled (see `tests.fakes.alerting_world`): an hour of the rules takes 36 s.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from maskloop.records.kinds import ChampionChanged, DriftJudged, RolloutPhase, RolloutStarted
from maskloop.state.loop_state import LoopState, Rollout, Serving
from tests.fakes.alerting_world import AlertingWorld, now
from tests.fakes.records import with_only

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROGRAMS = ("prometheus", "prometheus-alertmanager")
CALM = LoopState(
    serving=(Serving(NOON, "rita", "cycle-1", with_only(ChampionChanged, version="1", weights_digest="w")),)
)
DRIFT = replace(
    CALM,
    last_drift=(
        NOON,
        with_only(DriftJudged, outcome="drift", weights_digest="w", drifted_features=("noise",)),
    ),
)


def rolling_out(phase: RolloutPhase) -> LoopState:
    rollout = Rollout("cycle-2", with_only(RolloutStarted), NOON, NOON, phase=phase)
    return replace(DRIFT, rollouts={"cycle-2": rollout})


def has_received(world: AlertingWorld, alerts: set[str], since: datetime) -> bool:
    return alerts <= world.received(since=since).keys()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AlertingWorld]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    made = AlertingWorld(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.slow
@pytest.mark.skipif(
    any(shutil.which(one) is None for one in PROGRAMS), reason="Prometheus or Alertmanager is not installed"
)
def test_a_burst_pages_once_drift_tickets_once_and_a_rollout_holds_expected_tickets_back(
    world: AlertingWorld,
) -> None:
    service = world.service
    service.show(CALM)
    world.start("alertmanager")
    world.start("prometheus")
    world.wait(lambda: service.num_scrapes >= 4, "scrapes")
    assert world.told == []

    # Drift, in the middle of a rollout that makes answers slower and the queue longer; then a burst.
    service.seconds = 0.1
    service.show(rolling_out("progressing"), queue_s=1.5)
    world.wait(lambda: world.messages_about("MaskloopDrift"), "the ticket about drift")
    service.num_errors = 10
    world.wait(lambda: world.messages_about("MaskloopAvailabilityBurnsFast"), "the page about errors")
    service.num_errors = 0
    (page,) = world.messages_about("MaskloopAvailabilityBurnsFast")
    assert page.receiver == "page"

    # What the rollout causes by itself is held back, and told in one message when the rollout is over.
    expected = {"MaskloopQueueIsLong", "MaskloopLatencyP50"}
    world.wait(lambda: expected <= world.firing(), "what a rollout causes to be seen")
    world.wait(lambda: all(world.received().get(one) for one in expected), "it to be held back")
    assert [world.messages_about(one) for one in sorted(expected)] == [[], []]
    service.show(rolling_out("promoted"), queue_s=1.5)
    world.wait(lambda: world.messages_about("MaskloopQueueIsLong"), "the ticket about load")
    (load,) = world.messages_about("MaskloopQueueIsLong")
    assert (load.receiver, set(load.firing())) == ("ticket", expected)

    world.wait(
        lambda: (
            "MaskloopAvailabilityBurnsFast resolved" in {name for one in world.told for name in one.alerts}
        ),
        "the end of the burst",
    )

    # Both programs start again, and nobody is told anything twice.
    world.wait(lambda: world.messages_about("MaskloopAvailabilityBurnsSlowly"), "the ticket about the budget")
    before, lasting = list(world.told), {"MaskloopDrift", *expected}
    for name in ("prometheus", "alertmanager"):
        world.stop(name)
        restarted = now()
        world.start(name, resend_s=2)
        world.wait(partial(has_received, world, lasting, restarted), f"the same alerts after {name}")
    flushed = service.num_scrapes + 12  # longer than a group waits for its next message
    world.wait(lambda: service.num_scrapes >= flushed, "a further message")
    assert world.told == before

    # Each cause was told once, to the right receiver, with what to type.
    assert len(world.messages_about("MaskloopDrift")) == 1
    assert len(world.messages_about("MaskloopAvailabilityBurnsFast")) == 1
    paged = {name for one in world.told if one.receiver == "page" for name in one.firing()}
    assert paged == {"MaskloopAvailabilityBurnsFast"}
    for body in world.bodies:
        for alert in body["alerts"]:
            assert {"summary", "command", "runbook_url"} <= alert["annotations"].keys()
            assert alert["startsAt"]
    assert not any("MaskloopRolloutInProgress" in name for one in world.told for name in one.alerts)
