"""Real sockets: slow, huge and too many ones, clients that leave, and what keep-alive is good for."""

from __future__ import annotations

import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fakes.live_service import live
from tests.fakes.service_world import PNG, ServiceWorld
from tests.fakes.serving_world import FakeSource, Gate

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: service\r\n"


def connect(url: str) -> socket.socket:
    where = urlsplit(url)
    return socket.create_connection((where.hostname, where.port), timeout=30)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    received = b""
    while True:
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            return received
        if not part:
            return received
        received += part


def wait_until(condition: Callable[[], Any]) -> None:
    """Wait for something another thread does; the limit only ends a test that has failed."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_a_request_head_that_never_ends_is_cut_off(world: ServiceWorld) -> None:
    with live(world, patience_s=0.1) as url, closing(connect(url)) as slow:
        slow.sendall(HEAD)
        assert read_all(slow).startswith(b"HTTP/1.1 408 ")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts segments as Linux does")
def test_an_answer_comes_in_one_piece(world: ServiceWorld) -> None:
    """Each piece would wake the client."""
    request = HEAD + f"Content-Type: image/png\r\nContent-Length: {len(PNG)}\r\n\r\n".encode() + PNG
    with live(world) as url, closing(connect(url)) as client:
        for count in range(1, 4):
            client.sendall(request)
            received = b""
            while not received.endswith(b"}"):
                received += client.recv(65536)
            assert received.startswith(b"HTTP/1.1 200 ")
            assert num_pieces_received(client) == count


def num_pieces_received(connection: socket.socket) -> int:
    """Return how many segments with data have come (linux/tcp.h, tcp_info.tcpi_data_segs_in)."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("I", info, 152)[0])


def test_a_connection_that_says_nothing_is_closed(world: ServiceWorld) -> None:
    with live(world, patience_s=0.1) as url, closing(connect(url)) as silent:
        assert read_all(silent) == b""


def test_a_request_head_without_a_limit_is_refused_before_it_fills_the_memory(world: ServiceWorld) -> None:
    with live(world) as url, closing(connect(url)) as flood:
        flood.sendall(HEAD)
        try:
            for number in range(10_000):
                flood.sendall(b"X-%d: " % number + b"x" * 1000 + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            return  # closed already, which is as good
        assert b" 431 " in read_all(flood)[:40]


@pytest.mark.parametrize(
    "nonsense", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"\0" * 100, b"POST / HTTP/9.9\r\n\r\n"]
)
def test_what_is_no_http_is_refused_and_the_next_is_answered(world: ServiceWorld, nonsense: bytes) -> None:
    with live(world) as url:
        with closing(connect(url)) as odd:
            odd.sendall(nonsense)
            assert read_all(odd).startswith(b"HTTP/1.1 400 ")
        assert httpx.post(f"{url}/v1/predict", content=PNG).status_code == 200


def test_the_rest_of_a_body_nobody_wants_is_not_read_for_ever(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path, max_body_mb=0.01)
    with live(world, patience_s=0.2) as url, closing(connect(url)) as large:
        large.sendall(HEAD + b"Content-Length: 100000000\r\n\r\n" + b"x" * 1000)
        assert read_all(large).startswith(b"HTTP/1.1 413 ")


def test_a_connection_is_used_again_also_after_a_refusal(world: ServiceWorld) -> None:
    with live(world, patience_s=0.5) as url, httpx.Client(base_url=url) as client:
        statuses = [client.post("/v1/predict", content=data).status_code for data in (PNG, b"x", PNG)]
        assert statuses == [200, 415, 200]
        pool: Any = client._transport
        assert len(pool._pool.connections) == 1


def test_requests_sent_ahead_on_one_connection_are_answered_in_order(world: ServiceWorld) -> None:
    request = HEAD + b"X-Request-Id: %s\r\nContent-Length: " + b"%d\r\n\r\n" % len(PNG)
    with live(world) as url, closing(connect(url)) as ahead:
        ahead.sendall(b"".join(request % name + PNG for name in (b"first", b"second")))
        received = b""
        while received.count(b"x-request-id: ") < 2:
            received += ahead.recv(65536)
        assert re.findall(rb"x-request-id: (\w+)", received) == [b"first", b"second"]


def test_past_the_limit_work_is_refused_at_once_and_health_answered(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path, max_connections=2)
    with live(world) as url:
        idle = [connect(url) for _ in range(2)]
        refused = httpx.post(f"{url}/v1/predict", content=PNG)
        alive = httpx.get(f"{url}/healthz")
        for connection in idle:
            connection.close()
        wait_until(lambda: httpx.post(f"{url}/v1/predict", content=PNG).status_code == 200)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.headers["connection"] == "close"
    assert "too many connections" in refused.json()["detail"]
    assert alive.status_code == 200
    assert world.observer.of("request")[0]["cause"] == "overloaded"


def test_far_past_the_limit_connections_are_closed_unread(tmp_path: Path) -> None:
    with live(ServiceWorld(tmp_path, max_connections=1)) as url:
        kept = [connect(url) for _ in range(2)]
        with closing(connect(url)) as third:
            assert read_all(third) == b""
        for connection in kept:
            connection.close()


def test_a_client_that_leaves_while_it_waits_costs_the_model_nothing(tmp_path: Path) -> None:
    gate = Gate()
    source = FakeSource(options={"1": {"before": lambda pictures: None}})
    world = ServiceWorld(tmp_path, source=source, max_batch=1)
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(PNG) + PNG
    with live(world) as url:
        assert world.service is not None
        line, host = world.service.engine._line, world.service.engine.host
        predictor: Any = host.hosted.champion.predictor
        predictor.before = gate
        num_passes = len(predictor.passes)
        first = threading.Thread(target=httpx.post, args=(f"{url}/v1/predict",), kwargs={"content": PNG})
        first.start()
        assert gate.arrived.wait(30)
        with closing(connect(url)) as leaving:
            leaving.sendall(request)
            wait_until(lambda: len(line.live) == 1)
        wait_until(lambda: [told["status"] for told in world.observer.of("request")] == [499])
        gate.opened.set()
        first.join(30)
        assert httpx.post(f"{url}/v1/predict", content=PNG).status_code == 200
        assert len(predictor.passes) - num_passes == 2
    assert len(world.samples.offered) == 2
