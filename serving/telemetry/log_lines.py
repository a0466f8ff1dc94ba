"""Writing of log lines in the background, so that a slow reader of the log delays no request.

The reader of a service's output (a pipe, a terminal, a container's log driver) may pause. A write then
blocks; on the event loop it would block every request of the worker, health checks included.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from typing import Final, TextIO

_log = logging.getLogger("maskloop.serving")
_MAX_WAITING: Final = 10_000
_FLUSH_S: Final = 1.0
_END: Final = b""


class LineWriter(logging.Handler):
    """Writes lines in order from its own thread.

    When the queue is full, new lines are dropped until half of it is written. One warning says when that
    begins, another how many lines were dropped or could not be written.

    Args:
        stream: A standard stream or another one with a file descriptor, which must stay open.
        max_waiting: Lines kept for a reader that pauses.
        flush_s: How long `flush` waits for the reader.
    """

    def __init__(self, stream: TextIO, *, max_waiting: int = _MAX_WAITING, flush_s: float = _FLUSH_S) -> None:
        super().__init__()
        self._descriptor, self._stream_name = stream.fileno(), stream.name
        self._max_waiting, self._flush_s = max_waiting, flush_s
        self._waiting: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._num_left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line to the thread, or leave it out."""
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001 - as every handler: a bad line costs no request
            self.handleError(record)
            return
        with self._changed:
            if self._has_room():
                self._waiting.append(line)
                self._changed.notify_all()
                if self._thread is None:
                    self._thread = threading.Thread(target=self._write_on, name="log lines", daemon=True)
                    self._thread.start()

    def flush(self) -> None:
        """Wait until every line is written, but not for long: the reader may have gone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, self._flush_s)

    def close(self) -> None:
        """Write what waits, if that can be done soon, and end the thread."""
        self.flush()
        with self._changed:
            if self._thread:
                self._waiting.append(_END)
                self._changed.notify_all()
        super().close()

    def _has_room(self) -> bool:
        """Tell whether a line may wait; count it otherwise."""
        num_left_out = self._num_left_out
        if len(self._waiting) < (self._max_waiting // 2 if num_left_out else self._max_waiting):
            self._num_left_out = 0
            if num_left_out:
                _log.warning("log lines left out of %s: %d", self._stream_name, num_left_out)
            return True
        self._num_left_out += 1
        if not num_left_out:
            _log.warning("%s is not read: log lines are left out from now on", self._stream_name)
        return False

    def _write_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                line = self._waiting[0]
            self._write(line)
            with self._changed:
                self._waiting.popleft()
                self._changed.notify_all()
                if line == _END and not self._waiting:
                    self._thread = None
                    return

    def _write(self, line: bytes) -> None:
        while line:
            try:
                line = line[os.write(self._descriptor, line) :]
            except BlockingIOError:  # another holder of the stream may have set it to non-blocking
                select.select((), (self._descriptor,), ())
            except OSError:  # the reader has gone, or the disk is full
                with self._changed:
                    self._num_left_out += 1
                return
