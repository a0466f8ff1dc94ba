"""The stories as Prefect flows, against an ephemeral server: runs, artifacts, and one run per cycle."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Running

from flows.loop.cycles import record_trigger
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.scheduling.deployments import (
    drop_schedules,
    ingest_flow,
    pause_schedules,
    promote_flow,
    reconcile_flow,
    retrain_flow,
    run_in_foreground,
    start_train_run,
    train_flow,
)
from flows.workspace.telling import SilentTeller, Teller
from maskloop.errors import RefusedError
from maskloop.records.kinds import TriggerRecorded
from tests.fakes.ingests import ingest_result
from tests.fakes.loop_world import World

pytestmark = [pytest.mark.slow, pytest.mark.server]


@pytest.fixture
def client(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.fixture
def deployed(client: SyncPrefectClient, world: World) -> UUID:
    """The deployment that the reconcile starts trainings of, as `prefect deploy` makes it."""
    flow_id = client.create_flow(train_flow)
    return client.create_deployment(flow_id, name=world.workspace.settings.model_name)


def runs_of(client: SyncPrefectClient, world: World, cycle: str = "cycle-1") -> list[FlowRun]:
    tag = f"maskloop:{world.workspace.settings.model_name}:{cycle}"
    found = client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[tag])))
    return sorted(found, key=created_at)


def created_at(run: FlowRun) -> datetime:
    assert run.created is not None
    return run.created


def opened_cycle(world: World) -> None:
    record_trigger(world.app().journal, "schedule:1", "schedule", "a test")
    reconcile(world.app(), start_work=lambda _cycle: None)


def artifacts_of(client: SyncPrefectClient, kind: str) -> list[Any]:
    return [artifact for artifact in client.read_artifacts() if artifact.type == kind]


# --- flows ---------------------------------------------------------------------------------------


def test_a_training_leaves_its_progress_and_its_verdict_as_artifacts(
    world: World, client: SyncPrefectClient
) -> None:
    opened_cycle(world)
    before = {artifact.id for artifact in client.read_artifacts()}
    assert train_flow(str(world.workspace.root), "cycle-1") == "judged"
    progress = [a for a in artifacts_of(client, "progress") if a.id not in before]
    assert {a.description for a in progress} >= {"training", "candidate on the test pictures"}
    assert {float(a.data) for a in progress} == {100.0}
    (table,) = [a for a in artifacts_of(client, "table") if a.id not in before]
    assert table.key == "verdict"
    assert table.description == "verdict on version 1: pass"


def test_a_reconcile_starts_a_training_in_a_run_of_its_own(
    world: World, client: SyncPrefectClient, deployed: UUID
) -> None:
    record_trigger(world.app().journal, "schedule:1", "schedule", "a test")
    done = reconcile_flow(str(world.workspace.root))
    assert "a cycle was opened: a test" in done
    assert world.trainer.requests == []
    (run,) = runs_of(client, world)
    assert run.deployment_id == deployed
    assert run.parameters == {"workspace": str(world.workspace.root), "cycle": "cycle-1"}


def test_a_scheduled_retraining_asks_for_a_turn(world: World, deployed: UUID) -> None:
    retrain_flow(str(world.workspace.root))
    (trigger,) = world.of_kind(TriggerRecorded)
    assert trigger.reason == "schedule"
    assert trigger.trigger_key.startswith("schedule:")
    assert world.last_cycle.phase == "opened"


def test_a_decision_is_carried_out_by_the_promote_flow_which_never_trains(world: World) -> None:
    run_turn(world.app(), starts_from="first-weights")
    world.tag_version("1", "approved")
    promote_flow(str(world.workspace.root))
    assert world.alias("champion") == "1"
    record_trigger(world.app().journal, "schedule:1", "schedule", "a test")
    promote_flow(str(world.workspace.root))
    assert len(world.trainer.requests) == 1


def test_a_reconcile_that_finds_another_one_running_says_so_and_is_fine(world: World) -> None:
    assert world.ledger.take_lease("reconcile", ttl_s=60) is not None
    assert reconcile_flow(str(world.workspace.root)) == []


def test_ingest_returns_the_tag(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = tmp_path / "batch.json"
    batch.write_text('{"images": [], "annotations": [], "categories": []}')
    version = world.data.current()
    result = ingest_result(version, num_added=12)
    monkeypatch.setattr("flows.intake.batch_intake.ingest_batch", lambda *_a, **_k: result)
    assert ingest_flow(str(world.workspace.root), str(batch)) == "data-v1"


class Listener:
    """A teller that remembers."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def say(self, sentence: str) -> None:
        self.heard.append(sentence)

    @contextmanager
    def progress(self, title: str) -> Iterator[Any]:
        self.heard.append(title)
        yield lambda done, total: self.heard.append(f"{done}/{total}")

    def table(self, key: str, rows: Any, title: str) -> None:
        self.heard.append(title)

    def link(self, key: str, url: str, text: str) -> None:
        self.heard.append(url)


def test_a_story_in_the_foreground_is_a_flow_run_told_to_the_terminal_and_to_prefect(
    world: World, client: SyncPrefectClient
) -> None:
    listener = Listener()

    def story(word: str, teller: Teller) -> str:
        teller.say(word)
        teller.table("a-table", [{"a": 1}], "one table")
        teller.link("a-link", "http://127.0.0.1/x", "there")
        teller.link("no-link", "file:///x", "here")
        with teller.progress("long work") as advance:
            advance(1, 2)
        return word.upper()

    assert run_in_foreground("telling", listener, partial(story, "hello")) == "HELLO"
    assert listener.heard == ["hello", "one table", "http://127.0.0.1/x", "file:///x", "long work", "1/2"]
    assert "telling" in {flow.name for flow in client.read_flows()}
    assert {"a-table", "a-link"} <= {artifact.key for artifact in client.read_artifacts()}
    assert [float(a.data) for a in artifacts_of(client, "progress") if a.description == "long work"] == [50.0]


def test_an_error_of_ours_comes_out_of_a_flow_as_it_was(world: World) -> None:
    def story(_teller: Teller) -> None:
        raise RefusedError("a rule forbids it", hint="ask")

    with pytest.raises(RefusedError, match="a rule forbids it"):
        run_in_foreground("refusing", SilentTeller(), story)


# --- one run per cycle ---------------------------------------------------------------------------


def test_asking_twice_starts_one_run(world: World, client: SyncPrefectClient, deployed: UUID) -> None:
    for _ in range(2):
        start_train_run(world.workspace, world.clock, "cycle-1")
    assert len(runs_of(client, world)) == 1
    start_train_run(world.workspace, world.clock, "cycle-2")
    assert len(runs_of(client, world, "cycle-2")) == 1


def test_a_run_that_was_killed_is_marked_crashed_and_replaced_once_its_lease_is_over(
    world: World, client: SyncPrefectClient, deployed: UUID
) -> None:
    start_train_run(world.workspace, world.clock, "cycle-1")
    (killed,) = runs_of(client, world)
    client.set_flow_run_state(killed.id, Running(), force=True)
    start_train_run(world.workspace, world.clock, "cycle-1")
    assert len(runs_of(client, world)) == 1, "it may still live"
    world.clock.advance(seconds=world.workspace.settings.retraining.lease_s + 60)
    for _ in range(2):
        start_train_run(world.workspace, world.clock, "cycle-1")
    first, second = runs_of(client, world)
    assert first.id == killed.id
    assert first.state is not None
    assert first.state.is_crashed()
    assert second.state is not None
    assert not second.state.is_final()


def test_a_run_that_ended_without_finishing_the_work_is_followed_by_another(
    world: World, client: SyncPrefectClient, deployed: UUID
) -> None:
    start_train_run(world.workspace, world.clock, "cycle-1")
    (ended,) = runs_of(client, world)
    client.set_flow_run_state(ended.id, Completed(), force=True)
    for _ in range(2):
        start_train_run(world.workspace, world.clock, "cycle-1")
    assert len(runs_of(client, world)) == 2


def test_a_run_that_no_worker_takes_is_waited_for_and_replaced_in_the_end(
    world: World, client: SyncPrefectClient, deployed: UUID
) -> None:
    start_train_run(world.workspace, world.clock, "cycle-1")
    lease_s = world.workspace.settings.retraining.lease_s
    world.clock.advance(seconds=lease_s + 60)
    start_train_run(world.workspace, world.clock, "cycle-1")
    assert len(runs_of(client, world)) == 1, "the worker may be busy with something else"
    world.clock.advance(seconds=30 * lease_s)
    start_train_run(world.workspace, world.clock, "cycle-1")
    states = [run.state for run in runs_of(client, world)]
    assert [bool(state and state.is_crashed()) for state in states] == [True, False]


def deploy(world: World, schedules: str, *, flows: tuple[str, ...]) -> None:
    """Write a prefect.yaml with these flows, and deploy it as `maskloop up` does."""
    name, root = world.workspace.settings.model_name, world.workspace.root
    entries = "".join(
        f"""
  - name: "{name}"
    flow_name: {flow}
    entrypoint: flows.deployments.{flow}_flow
    parameters: {{workspace: "{root}"}}
    work_pool: {{name: "{name}"}}
{schedules}"""
        for flow in flows
    )
    pull = f'[{{prefect.deployments.steps.set_working_directory: {{directory: "{root}"}}}}]'
    (root / "prefect.yaml").write_text(f"name: maskloop\npull: {pull}\ndeployments:{entries}")
    from prefect.settings import get_current_settings

    environment = {**os.environ, "PREFECT_API_URL": str(get_current_settings().api.url)}
    for arguments in (["work-pool", "create", name, "--type", "process", "--overwrite"], ["deploy", "--all"]):
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)


def schedules_of(client: SyncPrefectClient, world: World) -> dict[str, int]:
    root = str(world.workspace.root)
    own = [one for one in client.read_deployments() if one.parameters.get("workspace") == root]
    return {str(one.entrypoint).rpartition(".")[2]: len(one.schedules) for one in own}


def test_a_schedule_that_left_prefect_yaml_is_gone_after_the_next_deployment(
    world: World, client: SyncPrefectClient
) -> None:
    every_minute = "    schedules: [{interval: 60}]\n"
    deploy(world, every_minute, flows=("reconcile", "monitor"))
    assert schedules_of(client, world) == {"reconcile_flow": 1, "monitor_flow": 1}
    assert drop_schedules(str(world.workspace.root / "another")) == 0
    assert drop_schedules(str(world.workspace.root)) == 2
    deploy(world, every_minute, flows=("reconcile",))
    assert schedules_of(client, world) == {"reconcile_flow": 1, "monitor_flow": 0}
    assert drop_schedules(str(world.workspace.root)) == 1
    deploy(world, "", flows=("reconcile",))
    assert schedules_of(client, world) == {"reconcile_flow": 0, "monitor_flow": 0}


def test_only_the_reconcile_schedule_of_the_own_workspace_is_paused(
    world: World, client: SyncPrefectClient
) -> None:
    every_minute = "    schedules: [{interval: 60}]\n"
    deploy(world, every_minute, flows=("reconcile", "monitor"))
    assert pause_schedules(str(world.workspace.root / "another"), "reconcile") == 0
    assert pause_schedules(str(world.workspace.root), "reconcile") == 1
    assert active_schedules_of(client, world) == {"reconcile_flow": 0, "monitor_flow": 1}


def active_schedules_of(client: SyncPrefectClient, world: World) -> dict[str, int]:
    return {
        (one.entrypoint or "").rpartition(".")[2]: sum(schedule.active for schedule in one.schedules)
        for one in client.read_deployments()
        if one.parameters.get("workspace") == str(world.workspace.root)
    }
