"""Answers become samples: decided at once, measured and written on a thread of their own.

Randomly drawn samples are judged for drift. Samples kept by a rule alone serve people and labels; they never
count for drift, because they are not representative of production.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from maskloop.clock import Clock
from maskloop.digest import digest_bytes
from maskloop.errors import MaskloopError
from maskloop.settings.workspace_settings import SamplingSettings
from monitoring.features.observation import Pause
from monitoring.samples.values import NOT_BY_CHANCE, Sample, SampleLog, measure
from serving.answers import Answer, RequestPicture
from serving.observing import Observer
from serving.sampling.quota_book import LOOK_EVERY_S, QuotaBook, Worker
from serving.sampling.quotas import Candidate, Decision, Pool, Rule, Taken, decide

_log = logging.getLogger("maskloop.serving")
_MAX_WAITING_BYTES: Final = 256_000_000
"""A queue of a few hundred large pictures would be gigabytes."""
_LONGEST_IN_LINE_S: Final = 2.0
"""A busy service leaves no gap; samples are then written beside its passes."""
_LOOK_AGAIN_S: Final = 0.1
_LONGEST_UNTIL_WRITTEN_S: Final = 5.0
_MOST_REMEMBERED: Final = 1000
"""Ids of the newest samples: a picture that is sent again to be drawn should cost no quota a second time."""
_PRUNE_EVERY_S: Final = 3600.0
_MAX_REASON: Final = 120
_LOG: Final = "the sample log"
_QUOTAS: Final = "the quotas of samples"


@dataclass(frozen=True, eq=False)
class _Waiting:
    picture: RequestPicture
    answer: Answer | None
    error: str
    source: str
    decision: Decision
    at: datetime
    since: float

    @property
    def num_bytes(self) -> int:
        return len(self.picture.data) + self.picture.pixels.nbytes


class Sampler:
    """Takes answers as samples; fulfils `answering.service.SampleTaker`. Safe to use from several threads.

    The observer is told once about every answer: kept, left out, or lost (``dropped`` because the queue was
    full, ``repeated``, ``unwritten``).

    Args:
        log: Where samples go. Its retention is seen to here, hourly.
        settings: Of sampling.
        observer: Is told about each answer and how far behind the log is.
        clock: Tells which minute, hour and day it is.
        is_computing: Tells whether a model computes, and so whether to measure would take a core from it.
        open_book: Opens what every process of the service took; None if there is only this one. It is asked
            on the sampler's own thread, when it begins, every minute, and when it ends. While it cannot be
            used, the part of the last look is used up and nothing more is taken.
        least_workers: The part until the first look is one of so many.
    """

    def __init__(
        self,
        log: SampleLog,
        settings: SamplingSettings,
        observer: Observer,
        clock: Clock,
        *,
        is_computing: Callable[[], bool] = lambda: False,
        open_book: Callable[[], QuotaBook] | None = None,
        least_workers: int = 1,
    ) -> None:
        self._log, self._settings, self._observer, self._clock = log, settings, observer, clock
        self._is_computing = is_computing
        self._open_book = open_book
        self._name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._taken, self._pool = Taken(), Pool(num_workers=least_workers)
        self._num_ahead = 0
        self._waiting: deque[_Waiting] = deque()
        self._newest: dict[str, None] = {}
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self._troubles: dict[str, str] = {}
        self._thread = threading.Thread(target=self._work, name="sampling", daemon=True)
        self._thread.start()

    def offer(
        self, picture: RequestPicture, answer: Answer | None, *, error: str = "", source: str = ""
    ) -> None:
        """Take one answer, or one failure, if quotas allow. Never waits for the disk, never raises.

        Args:
            picture: What was asked about.
            answer: What the model said; None if there is nothing.
            error: Why the client got none, in words; empty if it got one. An answer that was refused as
                strange is a sample all the same: drift must see it.
            source: Where the picture comes from.
        """
        try:
            outcome = self._offer(picture, answer, error, source)
        except Exception:  # noqa: BLE001 - no client may suffer from what is only recorded
            _log.exception("an answer could not be taken as a sample")
            outcome = "unwritten"
        if outcome:
            self._observer.sampled(outcome)

    def wait_until_written(self, request_id: str, timeout_s: float = _LONGEST_UNTIL_WRITTEN_S) -> None:
        """Wait while the sample of an answer is in the queue: a person or program may judge it at once."""
        ends_at = time.monotonic() + timeout_s
        with self._changed:
            while any(one.picture.request_id == request_id for one in self._waiting):
                if (left_s := ends_at - time.monotonic()) <= 0:
                    return
                self._changed.wait(left_s)

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits, and stop. What is not written in time is counted as dropped."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        with self._changed:
            while len(self._waiting) > 1:  # the first is being written
                self._waiting.pop()
                self._observer.sampled("dropped")

    def _offer(self, picture: RequestPicture, answer: Answer | None, error: str, source: str) -> str:
        """Return why it is left out, or an empty string if it waits to be written."""
        candidate = describe(picture, answer, doubtful_below=self._settings.always_keep_below_score)
        now = self._clock.now()
        with self._changed:
            if self._waiting:
                self._changed.notify_all()  # the answer is sent: a waiting sample may have its idle moment
            if answer and picture.request_id in self._newest:
                return "repeated"
            taken = self._taken.at(now.timestamp())
            decision = decide(candidate, taken, self._settings, self._pool)
            if decision.budget is None:
                return decision.outcome
            item = _Waiting(picture, answer, error, source, decision, now, time.monotonic())
            if self._is_closing or not self._has_room(item):
                return "dropped"
            limited = candidate.class_names if self._settings.max_per_class_per_day else ()
            self._taken = taken.plus(decision.budget, limited)
            self._waiting.append(item)
            if answer:
                self._newest[picture.request_id] = None
                if len(self._newest) > _MOST_REMEMBERED:
                    del self._newest[next(iter(self._newest))]
            self._waiting_bytes += item.num_bytes
            self._changed.notify_all()
        self._tell_lag()
        return ""

    def _has_room(self, item: _Waiting) -> bool:
        is_within_bytes = self._waiting_bytes + item.num_bytes <= _MAX_WAITING_BYTES
        return len(self._waiting) < self._settings.max_waiting and (is_within_bytes or not self._waiting)

    def _work(self) -> None:
        prune_at = look_at = time.monotonic()
        while True:
            if time.monotonic() >= look_at:
                self._share_quotas()
                look_at = time.monotonic() + LOOK_EVERY_S
            if time.monotonic() >= prune_at:
                self._prune()
                prune_at = time.monotonic() + _PRUNE_EVERY_S
            if not self._write_next(min(prune_at, look_at)) and self._is_closing:
                self._share_quotas()
                return

    def _write_next(self, until: float) -> bool:
        """Write what waits first, and tell whether there was anything.

        Nothing of it is held while the thread waits for the next one: its model may be on its way out.
        """
        item = self._next(until)
        if item is not None:
            self._observer.sampled(self._write(item))
            self._done()
        return item is not None

    def _next(self, until: float) -> _Waiting | None:
        """Return the first that waits, left in its place while it is written; None after a while."""
        with self._changed:
            if not self._waiting and not self._is_closing:
                self._changed.wait(max(until - time.monotonic(), 0.0))
            return self._waiting[0] if self._waiting else None

    def _wait_for_a_gap(self, item: _Waiting) -> None:
        """Wait while a model computes: cores that share a pass all wait for the one that measures.

        The wait is short, and skipped if many samples are queued.
        """
        ends_at = item.since + _LONGEST_IN_LINE_S
        with self._changed:
            while self._is_computing() and self._has_time() and (left_s := ends_at - time.monotonic()) > 0:
                self._changed.wait(min(left_s, _LOOK_AGAIN_S))

    def _has_time(self) -> bool:
        is_half_full = (
            len(self._waiting) > self._settings.max_waiting // 2
            or self._waiting_bytes > _MAX_WAITING_BYTES // 2
        )
        return not (self._is_closing or is_half_full)

    def _done(self) -> None:
        with self._changed:
            self._waiting_bytes -= self._waiting.popleft().num_bytes
            self._changed.notify_all()
        self._tell_lag()

    def _write(self, item: _Waiting) -> str:
        """Measure and write one sample; return what became of it."""
        picture = item.picture.data if item.answer and self._settings.keep_pictures else None
        try:
            pause = partial(self._wait_for_a_gap, item)
            pause()
            sample = _make_sample(item, pause)
            pause()
            is_new = self._log.add(sample, picture, skip_reason=_why_skipped(item))
        except Exception as error:  # noqa: BLE001 - one sample is lost, and counted; the next may be well
            self._say_once(error)
            return "unwritten"
        self._troubles.pop(_LOG, None)
        return item.decision.outcome if is_new else "repeated"

    def _share_quotas(self) -> None:
        """Tell the book what was taken here, and learn what everybody took."""
        if self._open_book is None:
            return
        try:
            book, now = self._open_book(), self._clock.now()
            with self._changed:
                day = self._taken.at(now.timestamp()).day
            pool = book.exchange(Worker(self._name, now, dict(day.counts)), day.number)
        except Exception as error:  # noqa: BLE001 - tried again in a minute
            self._say_once(error, _QUOTAS)
            return
        self._troubles.pop(_QUOTAS, None)
        with self._changed:
            self._pool = pool
        if pool.num_ahead > self._num_ahead:
            _log.warning(
                "%d processes of the service have clocks that are ahead by up to %.0f s: they do not share "
                "the quotas of samples, and their samples count for another time. Set the machines' clocks",
                pool.num_ahead,
                pool.most_ahead_s,
            )
        self._num_ahead = pool.num_ahead

    def _prune(self) -> None:
        try:
            self._log.prune(self._clock.now())
        except Exception as error:  # noqa: BLE001 - tried again in an hour
            self._say_once(error)

    def _say_once(self, error: Exception, what: str = _LOG) -> None:
        trouble = str(error) if isinstance(error, MaskloopError) else f"{type(error).__name__}: {error}"
        if trouble != self._troubles.get(what):
            _log.error("%s: %s", what, trouble)
        self._troubles[what] = trouble

    def _tell_lag(self) -> None:
        with self._changed:
            waiting = len(self._waiting)
            oldest_s = time.monotonic() - self._waiting[0].since if self._waiting else 0.0
        self._observer.sample_log_lagged(waiting=waiting, oldest_s=oldest_s)


def describe(picture: RequestPicture, answer: Answer | None, *, doubtful_below: float) -> Candidate:
    """Say what a decision needs to know of an answer; without one, the request failed."""
    if answer is None:
        return Candidate(picture.request_id, rule="failed")
    found, predictor = answer.prediction.detections, answer.model.predictor
    told = found.class_indices[found.reach(predictor.score_threshold)]
    rule: Rule | None = None
    if answer.novelty is not None and answer.novelty.is_out_of_distribution:
        rule = "strange"
    elif bool((found.scores < doubtful_below).any()):
        rule = "doubtful"
    return Candidate(
        picture.request_id, frozenset(predictor.class_names[index] for index in told.tolist()), rule
    )


def _make_sample(item: _Waiting, pause: Pause) -> Sample:
    """Measure an answer. A failure gets its own id, because the same request, sent again, may be answered."""
    picture, answer = item.picture, item.answer
    served = answer.model.served if answer else None
    sample = Sample(
        sample_id=picture.request_id if answer else f"{picture.request_id}#failed",
        received_at=item.at,
        model_version=served.version if served else "",
        weights_digest=served.weights_digest if served else "",
        picture_digest=digest_bytes(picture.data),
        source=item.source,
        features={},
        orientation=picture.orientation,
        trace_id=picture.trace_id,
    )
    if answer is None:
        return sample
    predictor = answer.model.predictor
    return measure(
        sample,
        picture.pixels,
        answer.prediction.detections,
        predictor.class_names,
        score_threshold=predictor.score_threshold,
        embedding=answer.prediction.embedding,
        pause=pause,
    )


def _why_skipped(item: _Waiting) -> str:
    """Return why a sample is left out of drift, or an empty string. One of few texts: they are counted."""
    if item.answer is None:
        general = re.sub(r"\d+(\.\d+)?", "#", item.error.partition(":")[0])
        return general[:_MAX_REASON] or "failed"
    rule = item.decision.budget
    return "" if rule == "chance" else f"kept because it is {rule}, {NOT_BY_CHANCE}"
