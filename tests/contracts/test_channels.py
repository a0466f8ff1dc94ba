"""Fake and Apprise in one suite; Apprise sends to a web server on loopback."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import pytest

from maskloop.errors import ConfigurationError, UnavailableError
from monitoring.channels.apprise_channel import AppriseChannel
from monitoring.channels.port import Channel, Message
from tests.fakes.channels import FakeChannel

VARIABLE = "MASKLOOP_TEST_CHANNEL"
TOKEN = "s3cret-t0ken"
MESSAGE = Message(
    "[parts] production has drifted", 'since: 10:12 UTC\nclass: bolt <m8> & "nut"\n  maskloop status'
)


class Receiver:
    """A webhook: what came, and what it answers."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.paths: list[str] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.paths.append(self.path)
                if receiver.status == 200:
                    receiver.bodies.append(json.loads(content))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/{TOKEN}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Bench(Protocol):
    channel: Channel

    def received(self) -> list[tuple[str, str]]: ...
    def refuse(self) -> None: ...
    def accept(self) -> None: ...


class FakeBench:
    def __init__(self) -> None:
        self.fake = FakeChannel()
        self.channel: Channel = self.fake

    def received(self) -> list[tuple[str, str]]:
        return [(one.headline, one.text) for one in self.fake.messages]

    def refuse(self) -> None:
        self.fake.trouble = "its server answered 500"

    def accept(self) -> None:
        self.fake.trouble = ""


class AppriseBench:
    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.channel: Channel = AppriseChannel(VARIABLE)

    def received(self) -> list[tuple[str, str]]:
        return [(body["title"], body["message"]) for body in self.receiver.bodies]

    def refuse(self) -> None:
        self.receiver.status = 500

    def accept(self) -> None:
        self.receiver.status = 200


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("no_proxy", "*")
    made = Receiver()
    monkeypatch.setenv(VARIABLE, made.address)
    yield made
    made.stop()


@pytest.fixture(params=["fake", "apprise"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return FakeBench() if request.param == "fake" else AppriseBench(request.getfixturevalue("receiver"))


def test_a_message_arrives_word_for_word(bench: Bench) -> None:
    bench.channel.send(MESSAGE)
    assert bench.received() == [(MESSAGE.headline, MESSAGE.text)]


def test_a_channel_that_refuses_says_so_and_takes_the_next_message_once_it_is_well(
    bench: Bench,
) -> None:
    bench.refuse()
    with pytest.raises(UnavailableError, match="did not take the message: its server answered 500"):
        bench.channel.send(MESSAGE)
    assert bench.received() == []
    bench.accept()
    bench.channel.send(MESSAGE)
    assert len(bench.received()) == 1


def test_an_address_is_read_with_every_message(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = AppriseChannel(VARIABLE)
    monkeypatch.setenv(VARIABLE, receiver.address.replace(TOKEN, "another"))
    channel.send(MESSAGE)
    assert receiver.paths == ["/another"]


def test_a_server_that_takes_the_message_and_never_answers_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"json://127.0.0.1:{silent.getsockname()[1]}/{TOKEN}?rto=0.2&cto=0.2"
        monkeypatch.setenv(VARIABLE, address)
        with pytest.raises(UnavailableError, match="cannot be reached or does not answer in time") as told:
            AppriseChannel(VARIABLE).send(MESSAGE)
    assert TOKEN not in str(told.value)


def test_a_server_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    gone = Receiver()
    gone.stop()
    monkeypatch.setenv(VARIABLE, gone.address)
    with pytest.raises(UnavailableError, match="its server cannot be reached"):
        AppriseChannel(VARIABLE).send(MESSAGE)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "is empty or not set"),
        (f"nonsense://{TOKEN}", "holds no address that Apprise understands"),
        (f"slack://{TOKEN}", "holds no address that Apprise understands"),
        (f"json://127.0.0.1/{TOKEN}, json://127.0.0.1/{TOKEN}2", "holds 2 addresses"),
    ],
)
def test_an_address_that_cannot_be_used_is_named_by_its_variable_alone(
    address: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, address)
    with pytest.raises(ConfigurationError, match=f"{VARIABLE} {said}") as raised:
        AppriseChannel(VARIABLE).send(MESSAGE)
    assert TOKEN not in str(raised.value)


def try_to_send() -> str:
    try:
        AppriseChannel(VARIABLE).send(MESSAGE)
    except UnavailableError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("status", [200, 404])
def test_no_log_holds_the_address(
    receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.status = status
    with caplog.at_level(logging.DEBUG):
        raised = try_to_send()
    said = capfd.readouterr()
    assert receiver.paths == [f"/{TOKEN}"]
    assert TOKEN not in raised + caplog.text + said.out + said.err


def test_what_other_threads_log_is_not_caught(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    speaker = threading.Thread(target=logging.getLogger("apprise").warning, args=("hello",))
    receiver.status = 404
    with caplog.at_level(logging.DEBUG):
        speaker.start()
        assert "404" in try_to_send()
        speaker.join()
    assert "hello" in caplog.text
