"""The first signal asks for a stop between steps; the second one acts as if nobody had listened."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from maskloop.errors import StoppedError
from maskloop.stopping import StopRequest, stop_request


@pytest.fixture(autouse=True)
def usual_handlers() -> Iterator[None]:
    """Ctrl-C as in a command: a KeyboardInterrupt; and SIGTERM as something that can be survived."""
    ours = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.default_int_handler}
    before = {sign: signal.signal(sign, handler) for sign, handler in ours.items()}
    yield
    for sign, handler in before.items():
        signal.signal(sign, handler)


@pytest.mark.parametrize(("sign", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_is_noted_and_ends_work_at_its_next_check(sign: int, exit_code: int) -> None:
    with stop_request() as stop:
        stop.check()
        signal.raise_signal(sign)
        assert stop.is_made()
        assert stop.exit_code == exit_code
        with pytest.raises(StoppedError):
            stop.check()


def test_the_second_signal_ends_the_work_at_once() -> None:
    with stop_request():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_afterwards_signals_act_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_request():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stop_request() as stop:
        signal.raise_signal(signal.SIGINT)
        assert not stop.is_made()


def test_beside_the_main_thread_nothing_is_requested_and_nothing_changed() -> None:
    found: list[StopRequest] = []

    def work() -> None:
        with stop_request() as stop:
            found.append(stop)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not found[0].is_made()
    assert signal.getsignal(signal.SIGINT) is before
