"""Log lines leave by a thread of their own, in order, and no reader keeps anything else waiting."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from serving.telemetry.log_lines import LineWriter

PIPE_BYTES = 2**16
FILLING = "x" * (PIPE_BYTES - 1)
"""A line that fills a pipe."""


@contextmanager
def open_pipe() -> Iterator[tuple[TextIO, TextIO]]:
    reading, writing = os.pipe()
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as writer:
        yield reader, writer


def tell(handler: logging.Handler, *lines: str) -> None:
    for line in lines:
        handler.handle(logging.LogRecord("requests", logging.INFO, "", 0, "%s", (line,), None))


def read_lines(reader: TextIO, count: int) -> list[str]:
    return [reader.readline().rstrip("\n") for _ in range(count)]


def test_a_flushed_writer_has_written_everything_in_order() -> None:
    with open_pipe() as (reader, writer):
        handler = LineWriter(writer, flush_s=30)
        numbers = [str(number) for number in range(1000)]
        tell(handler, *numbers)
        handler.close()
        writer.close()
        assert reader.read().splitlines() == numbers


def test_a_writer_that_was_closed_writes_what_it_is_told_afterwards() -> None:
    with open_pipe() as (reader, writer):
        handler = LineWriter(writer, flush_s=30)
        for line in ("before", "after"):
            tell(handler, line)
            handler.close()
            assert read_lines(reader, 1) == [line]


def test_a_log_reader_that_pauses_delays_nobody_and_misses_the_lines_beyond_the_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with open_pipe() as (reader, writer):
        handler = LineWriter(writer, max_waiting=10, flush_s=30)
        numbers = [str(number) for number in range(100)]
        tell(handler, FILLING)
        handler.flush()  # the pipe is full from here on
        tell(handler, *numbers)
        assert len(caplog.messages) == 1
        assert caplog.messages[0].endswith("is not read: log lines are left out from now on")
        assert read_lines(reader, 11) == [FILLING, *numbers[:10]]
        handler.flush()
        tell(handler, "again")
        assert caplog.messages[1].endswith(": 90")
        handler.close()
        assert read_lines(reader, 1) == ["again"]


def test_flushing_gives_up_on_a_reader_that_pauses() -> None:
    with open_pipe() as (reader, writer):
        handler = LineWriter(writer, flush_s=0.01)
        tell(handler, FILLING, "waits")
        handler.close()
        assert read_lines(reader, 2) == [FILLING, "waits"]


def test_a_closed_log_stream_loses_lines_only_and_the_loss_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with open_pipe() as (reader, writer):
        handler = LineWriter(writer, flush_s=30)
        reader.close()
        for line in ("one", "two"):
            tell(handler, line)
            handler.flush()
        assert len(caplog.messages) == 1  # the second tells of the first
        assert caplog.messages[0].endswith(": 1")
        handler.close()


def test_a_stream_that_refuses_to_block_is_waited_for() -> None:
    with open_pipe() as (reader, writer):
        os.set_blocking(writer.fileno(), False)
        handler = LineWriter(writer, flush_s=30)
        tell(handler, FILLING)
        handler.flush()
        tell(handler, FILLING, "last")
        assert read_lines(reader, 3) == [FILLING, FILLING, "last"]
        handler.close()


def test_a_line_that_cannot_be_formatted_is_reported_and_the_next_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open_pipe() as (reader, writer):
        handler = LineWriter(writer, flush_s=30)
        handler.handle(logging.LogRecord("requests", logging.INFO, "", 0, "%d", ("no number",), None))
        tell(handler, "next")
        handler.close()
        assert read_lines(reader, 1) == ["next"]
        assert "no number" in capsys.readouterr().err
