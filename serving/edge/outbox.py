"""Samples on the device until the cloud service has them: bounded, and each a file of its own.

A sample is kept by chance (the draw by the request's id that the cloud service makes too) or because the
answer is uncertain. When the outbox is full, the oldest sample of the kind that takes more room goes, and is
counted: so neither a strange night nor a long time offline leaves only one kind.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from maskloop.clock import Clock
from maskloop.errors import MaskloopError
from maskloop.files import write_bytes, write_text
from serving.answers import Answer, RequestPicture
from serving.routing import point_of

_log = logging.getLogger("maskloop.serving")
Kind = Literal["chance", "uncertain"]
_SUFFIX: Final = ".sample"
_COUNTS_FILE: Final = "counts.json"
_MAX_WAITING: Final = 32
_STOP_S: Final = 10.0


@dataclass(frozen=True)
class Kept:
    """A sample in the outbox.

    Attributes:
        name: Of its file; names sort by age.
        kind: Why it is kept.
        num_bytes: Of its file.
    """

    name: str
    kind: Kind
    num_bytes: int


@dataclass(frozen=True)
class Sent:
    """What goes to the cloud service.

    Attributes:
        request_id: The same as on the device: sent twice, it counts once.
        source: Where the picture comes from.
        data: The picture's bytes.
    """

    request_id: str
    source: str
    data: bytes


@dataclass(frozen=True, eq=False)
class _Job:
    request_id: str
    kind: Kind | None
    source: str = ""
    data: bytes = b""


def choose_dropped(kept: list[Kept], max_bytes: int) -> list[Kept]:
    """Return what must go so that the rest takes no more than ``max_bytes``. Pure.

    >>> old, new = Kept("1", "chance", 60), Kept("3", "chance", 30)
    >>> [one.name for one in choose_dropped([old, Kept("2", "uncertain", 50), new], 100)]
    ['1']
    """
    left, dropped = sorted(kept, key=lambda one: one.name), []
    while sum(one.num_bytes for one in left) > max_bytes:
        room: dict[Kind, int] = {"chance": 0, "uncertain": 0}
        for one in left:
            room[one.kind] += one.num_bytes
        largest: Kind = "chance" if room["chance"] >= room["uncertain"] else "uncertain"
        oldest = next(one for one in left if one.kind == largest)
        left.remove(oldest)
        dropped.append(oldest)
    return dropped


class Outbox:
    """Fulfils `serving.answering.service.SampleTaker`. Written on a thread of its own; safe from any thread.

    Args:
        folder: Where the files lie. Whatever a process before left there is still to be sent.
        max_bytes: Of all files together.
        rate: Share of answers that are kept by chance, 0..1.
        is_uncertain: Tells whether an answer is kept for that.
        clock: Tells a sample's age.
        tell: Is told what became of each answer: ``kept``, ``not_chosen``, ``repeated``, ``dropped``,
            ``unwritten``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        rate: float,
        is_uncertain: Callable[[Answer], bool],
        clock: Clock,
        tell: Callable[[str], None],
    ) -> None:
        self._folder, self._max_bytes, self._rate = folder, max_bytes, rate
        self._is_uncertain, self._clock, self._tell = is_uncertain, clock, tell
        folder.mkdir(parents=True, exist_ok=True)
        self._kept = {file.name: _describe(file) for file in sorted(folder.glob(f"*{_SUFFIX}"))}
        self._num_dropped = _read_count(folder / _COUNTS_FILE)
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._is_closing, self._trouble = False, ""
        self._thread = threading.Thread(target=self._work, name="outbox", daemon=True)
        self._thread.start()

    def offer(
        self, picture: RequestPicture, answer: Answer | None, *, error: str = "", source: str = ""
    ) -> None:
        """Take one answer, if it is drawn or uncertain. Never waits for the disk, never raises."""
        if answer is None:
            self._tell("not_chosen")
            return
        kind: Kind | None = "uncertain" if self._is_uncertain(answer) else None
        if point_of("sample", picture.request_id) < self._rate * 100.0:
            kind = kind or "chance"
        if kind is None:
            self._tell("not_chosen")
        else:
            self._add(_Job(picture.request_id, kind, source, picture.data))

    def forget(self, request_id: str) -> None:
        """Take a sample out that the cloud service has got meanwhile."""
        self._add(_Job(request_id, None))

    def counts(self) -> tuple[int, int, int]:
        """Return how many samples wait, their bytes, and how many were dropped in this outbox's life."""
        with self._changed:
            return len(self._kept), sum(one.num_bytes for one in self._kept.values()), self._num_dropped

    def oldest(self) -> tuple[str, Sent] | None:
        """Return the name and content of the sample that waits longest; None if none does. Blocking.

        A file that cannot be read is taken out, and counted as dropped.
        """
        while True:
            with self._changed:
                name = min(self._kept, default="")
            if not name:
                return None
            try:
                return name, _read(self._folder / name)
            except (OSError, ValueError, KeyError) as error:
                _log.warning("the sample %s is damaged and is dropped: %s", name, error)
                self._drop([name])

    def remove(self, name: str) -> None:
        """Take out a sample that the cloud service has."""
        with self._changed:
            self._kept.pop(name, None)
        (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Write what waits, and stop."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(_STOP_S)

    def _add(self, job: _Job) -> None:
        with self._changed:
            if job.kind and len(self._jobs) >= _MAX_WAITING:
                self._tell("dropped")
                return
            self._jobs.append(job)
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._is_closing:
                    self._changed.wait()
                if not self._jobs:
                    return
                job = self._jobs.popleft()
            try:
                outcome = self._do(job)
                self._trouble = ""
            except (MaskloopError, OSError) as error:
                outcome = "unwritten" if job.kind else ""
                if str(error) != self._trouble:
                    _log.error("the outbox: %s", error)
                self._trouble = str(error)
            if outcome:
                self._tell(outcome)

    def _do(self, job: _Job) -> str:
        mark = hashlib.sha256(job.request_id.encode()).hexdigest()[:24]
        with self._changed:
            known = [name for name in self._kept if name.endswith(f"{mark}{_SUFFIX}")]
        if job.kind is None:
            for name in known:
                self.remove(name)
            return ""
        if known:
            return "repeated"
        name = f"{int(self._clock.now().timestamp() * 1000):015d}-{job.kind}-{mark}{_SUFFIX}"
        head = {"request_id": job.request_id, "source": job.source}
        content = json.dumps(head).encode() + b"\n" + job.data
        new = Kept(name, job.kind, len(content))
        with self._changed:
            dropped = choose_dropped([*self._kept.values(), new], self._max_bytes)
        self._drop([one.name for one in dropped])
        if new in dropped:
            return ""
        write_bytes(self._folder / name, content)
        with self._changed:
            self._kept[name] = new
        return "kept"

    def _drop(self, names: list[str]) -> None:
        for name in names:
            self.remove(name)
            self._tell("dropped")
        if names:
            with self._changed:
                self._num_dropped += len(names)
                counted = self._num_dropped
            write_text(self._folder / _COUNTS_FILE, json.dumps({"dropped": counted}))


def _describe(file: Path) -> Kept:
    kind: Kind = "uncertain" if "-uncertain-" in file.name else "chance"
    return Kept(file.name, kind, file.stat().st_size)


def _read(file: Path) -> Sent:
    head, _, data = file.read_bytes().partition(b"\n")
    told = json.loads(head)
    return Sent(str(told["request_id"]), str(told["source"]), data)


def _read_count(file: Path) -> int:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads(file.read_bytes())["dropped"])
    return 0
