"""Each cycle is one trace, whoever works on it; a collector that is away costs no step of the loop."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from flows.loop.reconcile import reconcile
from flows.loop.traces import read_cycle, send_traces, trace_cycle
from flows.workspace.journal import Journal
from flows.workspace.telling import SilentTeller
from maskloop.errors import TrainingError
from maskloop.records.kinds import CycleOpened, TraceSent
from serving.telemetry.finished_spans import export_spans
from serving.telemetry.spans import FinishedSpan
from serving.telemetry.tracing import send_spans
from tests.fakes.collector import Collector, attributes
from tests.fakes.incident_stories import Story
from tests.fakes.loop_stories import first_champion, judged
from tests.fakes.loop_world import World


class Remembering(SilentTeller):
    """Hears what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


class Receiver:
    """Takes spans, or not."""

    def __init__(self, *, is_well: bool = True) -> None:
        self.is_well, self.num_calls = is_well, 0
        self.taken: list[FinishedSpan] = []

    def __call__(self, spans: Sequence[FinishedSpan]) -> bool:
        self.num_calls += 1
        self.taken += spans if self.is_well else []
        return self.is_well


def send(world: World, receiver: Any, teller: Remembering | None = None) -> None:
    send_traces(Journal(world.ledger, lambda: world.state, teller or Remembering()), receiver)


def spans_of(world: World) -> tuple[FinishedSpan, ...]:
    opened = world.last_cycle.opened
    entries = read_cycle(world.ledger, world.last_cycle.id, opened.trigger_key)
    return tuple(span for _, span in trace_cycle(entries, opened.trace_id))


def test_a_cycle_is_one_trace_from_trigger_to_promotion_with_its_steps_below_the_whole(world: World) -> None:
    first_champion(world)
    spans = spans_of(world)
    whole = spans[-1]
    assert [span.name for span in spans] == ["trigger", "train", "judge", "approval", "promotion", "cycle"]
    (opened,) = world.of_kind(CycleOpened)
    assert {span.trace_id for span in spans} == {opened.trace_id}
    assert len(opened.trace_id) == 32
    assert {span.parent_id for span in spans[:-1]} == {whole.span_id}
    assert whole.parent_id == ""
    assert len({span.span_id for span in spans}) == len(spans)
    assert all(whole.began_at <= span.began_at <= span.ended_at <= whole.ended_at for span in spans)
    assert "version 1 (" in next(span.facts["maskloop.said"] for span in spans if span.name == "train")


def test_a_failed_attempt_is_a_span_with_its_reason_and_the_next_one_another(world: World) -> None:
    world.trainer.error = TrainingError("it diverged")
    with pytest.raises(TrainingError):
        judged(world)
    world.trainer.error = None
    judged(world)
    first, second = (span for span in spans_of(world) if span.name == "train")
    assert "it diverged" in first.error
    assert second.error == ""
    assert first.span_id != second.span_id


def test_steps_are_sent_as_they_end_and_each_once(world: World) -> None:
    receiver = Receiver()
    version = judged(world)
    send(world, receiver)
    send(world, receiver)
    assert [span.name for span in receiver.taken] == ["trigger", "train", "judge"]
    world.tag_version(version, "approved")
    reconcile(world.app())
    send(world, receiver)
    send(world, receiver)
    assert [span.name for span in receiver.taken][3:] == ["approval", "promotion", "cycle"]
    assert receiver.num_calls == 2
    sent = world.of_kind(TraceSent)
    assert [one.num_spans for one in sent] == [3, 3]
    assert {one.trace_id for one in sent} == {world.last_cycle.opened.trace_id}


def test_a_collector_that_is_away_is_said_once_and_gets_everything_when_it_is_back(world: World) -> None:
    receiver, teller = Receiver(is_well=False), Remembering()
    version = judged(world)
    for _ in range(3):
        send(world, receiver, teller)
    assert receiver.num_calls == 1
    world.tag_version(version, "approved")
    reconcile(world.app())
    send(world, receiver, teller)
    assert receiver.num_calls == 2
    assert [said for said in teller.said if "could not be sent" in said] == teller.said
    assert len(teller.said) == 1
    receiver.is_well = True
    world.label(range(12, 24))
    judged(world)
    send(world, receiver, teller)
    assert {span.trace_id for span in receiver.taken} == {world.last_cycle.opened.trace_id}


def test_a_cycle_from_before_traces_were_written_down_has_one_all_the_same(world: World) -> None:
    story, receiver = Story(world.clock), Receiver()
    world.ledger = story.ledger
    story.open_cycle("cycle-1", "manual")
    story.judge("cycle-1")
    story.close("cycle-1")
    send(world, receiver)
    assert [span.name for span in receiver.taken] == ["cycle"]
    assert len(receiver.taken[0].trace_id) == 32
    assert world.last_cycle.opened.trace_id == ""


def test_an_exporter_gets_the_ids_times_facts_and_errors(world: World) -> None:
    first_champion(world)
    exporter = InMemorySpanExporter()
    assert export_spans(exporter, spans_of(world))
    whole = exporter.get_finished_spans()[-1]
    train = next(span for span in exporter.get_finished_spans() if span.name == "train")
    assert whole.context is not None
    assert train.parent is not None
    assert train.parent.span_id == whole.context.span_id
    assert f"{whole.context.trace_id:032x}" == world.last_cycle.opened.trace_id
    assert train.attributes is not None
    assert train.attributes["maskloop.cycle"] == "cycle-1"


@pytest.fixture
def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a world whose settings name a collector."""
    monkeypatch.setenv("no_proxy", "*")

    def make(endpoint: str) -> World:
        made = World(tmp_path / "workspace", settings=f'[serving]\notlp_endpoint = "{endpoint}"\n')
        made.label(range(12))
        return made

    return make


def test_the_loop_sends_each_cycle_over_http_to_a_real_receiver(traced: Any) -> None:
    collector = Collector()
    try:
        world = traced(collector.endpoint)
        first_champion(world)
        assert reconcile(world.app()).done == ()
    finally:
        collector.close()
    names = [span.name for span in collector.spans]
    assert names == ["trigger", "train", "judge", "approval", "promotion", "cycle"]
    assert {span.trace_id.hex() for span in collector.spans} == {world.last_cycle.opened.trace_id}
    assert {span.parent_span_id for span in collector.spans[:-1]} == {collector.spans[-1].span_id}
    assert attributes(collector.spans[1])["maskloop.cycle"] == "cycle-1"


def test_a_dead_collector_ends_no_reconcile(traced: Any) -> None:
    world = traced("http://127.0.0.1:9/v1/traces")
    assert first_champion(world) == "1"
    assert all(one.trouble for one in world.of_kind(TraceSent))
    assert reconcile(world.app()).done == ()


def test_a_collector_that_never_answers_costs_no_more_than_the_time_it_is_given(world: World) -> None:
    first_champion(world)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        send(world, partial(send_spans, endpoint, timeout_s=0.1))
    (sent,) = world.of_kind(TraceSent)
    assert sent.trouble
