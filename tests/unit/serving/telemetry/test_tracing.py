"""Spans reach a collector over OTLP; one that is dead or silent costs spans, never a request."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from serving.telemetry.otlp import TALKATIVE, OtlpTracer, SaidSeldom
from serving.telemetry.spans import NO_TRACER, record_stages
from serving.telemetry.tracing import open_tracer
from tests.fakes.collector import Collector, attributes
from tests.fakes.service_world import PNG, ServiceWorld

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(autouse=True)
def loopback_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def silent() -> Iterator[str]:
    """A collector that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"


def test_a_request_is_a_span_below_the_callers_with_its_stages_below(
    collector: Collector, tmp_path: Path
) -> None:
    world = ServiceWorld(tmp_path)
    world.tracer = open_tracer(collector.endpoint)
    response = world.post(content=PNG, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert response.status_code == 200
    world.tracer.close()

    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    (request,) = [span for span in collector.spans if span.name == "POST /v1/predict"]
    assert request.parent_span_id.hex() == PARENT
    assert request.kind == Span.SPAN_KIND_SERVER
    assert response.headers["x-trace-id"] == TRACE
    assert attributes(request) == {"http.response.status_code": 200, "maskloop.model_version": "1"}
    stages = sorted(
        (span for span in collector.spans if span is not request), key=lambda span: span.start_time_unix_nano
    )
    assert [span.name for span in stages] == ["decode", "queue", "model", "encode"]
    assert {span.parent_span_id for span in stages} == {request.span_id}
    for before, after in pairwise(stages):
        assert before.end_time_unix_nano == after.start_time_unix_nano
    took_ns = sum(span.end_time_unix_nano - span.start_time_unix_nano for span in stages)
    assert took_ns / 1e6 == pytest.approx(sum(response.json()["timings_ms"].values()), abs=0.01)
    assert stages[-1].end_time_unix_nano <= request.end_time_unix_nano


def test_a_refused_request_is_a_span_with_its_status_and_no_stages(
    collector: Collector, tmp_path: Path
) -> None:
    world = ServiceWorld(tmp_path)
    world.tracer = open_tracer(collector.endpoint)
    assert world.post(content=b"no picture").status_code == 415
    world.tracer.close()
    (span,) = collector.spans
    assert attributes(span)["http.response.status_code"] == 415
    assert not span.parent_span_id


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01", "00-" + "é" * 60])
def test_a_header_without_a_parent_begins_a_new_trace(collector: Collector, header: str) -> None:
    tracer = open_tracer(collector.endpoint)
    with tracer.span("GET /", headers=[(b"traceparent", header.encode("latin-1"))]):
        pass
    tracer.close()
    (span,) = collector.spans
    assert not span.parent_span_id


def test_requests_side_by_side_keep_their_stages_apart(collector: Collector, tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path)
    world.tracer = open_tracer(collector.endpoint)

    async def story(client: httpx.AsyncClient) -> None:
        await asyncio.gather(*(client.post("/v1/predict", content=PNG) for _ in range(6)))

    world.run(story)
    world.tracer.close()
    requests = [span for span in collector.spans if span.name.startswith("POST")]
    stages = [span for span in collector.spans if not span.name.startswith("POST")]
    assert len(requests) == 6
    for request in requests:
        own = [span.name for span in stages if span.parent_span_id == request.span_id]
        assert sorted(own) == ["decode", "encode", "model", "queue"]


@pytest.mark.parametrize("kind", ["dead", "silent"])
def test_an_unreachable_trace_collector_costs_no_request_and_is_logged_rarely(
    kind: str, silent: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")  # ms: every span is tried at once
    for name in TALKATIVE:
        monkeypatch.setattr(logging.getLogger(name), "filters", [])
    world = ServiceWorld(tmp_path)
    endpoint = silent if kind == "silent" else "http://127.0.0.1:9/v1/traces"
    tracer = OtlpTracer(endpoint, export_timeout_s=0.05, close_timeout_s=0.2)
    world.tracer = tracer

    async def story(client: httpx.AsyncClient) -> list[int]:
        return [(await client.post("/v1/predict", content=PNG)).status_code for _ in range(20)]

    assert world.run(story) == [200] * 20
    tracer._provider.force_flush(1000)
    tracer.close()
    told = [record for record in caplog.records if record.name.startswith("opentelemetry")]
    assert 1 <= len(told) <= 2


def test_a_repeated_log_line_is_written_rarely() -> None:
    now = [1000.0]
    seldom, passed = SaidSeldom(lambda: now[0]), []
    for second in range(1300):
        now[0] = 1000.0 + second
        record = logging.LogRecord("x", logging.ERROR, "", 0, "dead", None, None)
        if seldom.filter(record):
            passed.append(second)
    assert passed == [0, 600, 1200]


def test_without_a_collector_nothing_is_opened_and_nothing_recorded() -> None:
    assert open_tracer("") is NO_TRACER
    with NO_TRACER.span("GET /", headers=[]) as span:
        span.set("a", 1)
        record_stages({"decode": 0.1})
    NO_TRACER.close()


def test_the_sample_of_an_answer_and_its_log_line_name_the_trace(
    collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = ServiceWorld(tmp_path)
    world.tracer = open_tracer(collector.endpoint)
    with caplog.at_level(logging.INFO, "maskloop.serving.requests"):
        response = world.post(content=PNG, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    world.tracer.close()
    assert [picture.trace_id for picture, *_ in world.samples.offered] == [TRACE]
    assert f'"trace_id": "{TRACE}"' in caplog.text
    assert response.json()["request_id"] == world.samples.offered[0][0].request_id


def test_without_a_collector_no_answer_sample_or_line_names_a_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = ServiceWorld(tmp_path)
    with caplog.at_level(logging.INFO, "maskloop.serving.requests"):
        response = world.post(content=PNG, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert "x-trace-id" not in response.headers
    assert [picture.trace_id for picture, *_ in world.samples.offered] == [""]
    assert "trace_id" not in caplog.text
