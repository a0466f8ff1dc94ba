"""Comparison of paired answers on a separate thread; no client waits for it."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import replace
from typing import Final

import numpy as np

from evaluation.agreement import compare_answers
from evaluation.instances import Detections
from maskloop.errors import MaskloopError
from serving.answers import Attempt, PairedAnswer
from serving.observing import Observer
from serving.rollout.pairs import Comparison, KeptPair, PairLog

_log = logging.getLogger("maskloop.serving")
_MAX_WAITING: Final = 256


def compare(pair: PairedAnswer, *, keep_picture: bool = True) -> KeptPair:
    """Compare the two answers of a pair.

    Args:
        pair: What both models said.
        keep_picture: False where no picture may touch the disk.
    """
    class_names = _all_names(pair)
    champion, challenger = (_confident(side, class_names) for side in (pair.champion, pair.challenger))
    comparison = Comparison(
        cycle_id=pair.cycle_id,
        request_id=pair.picture.request_id,
        answered_by=pair.answered_by,
        champion_error=pair.champion.error,
        challenger_error=pair.challenger.error,
        champion_s=pair.champion.seconds,
        challenger_s=pair.challenger.seconds,
        latency_s=pair.latency_s,
    )
    if champion is not None and challenger is not None:
        seen = compare_answers(champion, challenger, score_threshold=0.0)
        comparison = replace(
            comparison,
            agreement=seen.agreement,
            count_shift=seen.count_shift,
            flip_share=seen.flip_share,
            score_shift=seen.score_shift,
        )
    picture = pair.picture.data if keep_picture else None
    return KeptPair(comparison, champion, challenger, class_names, pair.picture.orientation, picture)


class PairRecorder:
    """Takes pairs from the event loop and writes them to the log in the background.

    Args:
        log: Where they go.
        observer: Is told about those that were lost because too many waited.
        keep_pictures: False where no picture may touch the disk.
    """

    def __init__(self, log: PairLog, observer: Observer, *, keep_pictures: bool = True) -> None:
        self._log, self._observer, self._keep_pictures = log, observer, keep_pictures
        self._waiting: queue.Queue[PairedAnswer | None] = queue.Queue(_MAX_WAITING)
        self._trouble = ""
        self._thread = threading.Thread(target=self._work, name="comparing", daemon=True)
        self._thread.start()

    def take(self, pair: PairedAnswer) -> None:
        """Take one pair; never blocks."""
        try:
            self._waiting.put_nowait(pair)
        except queue.Full:
            self._observer.mirrored("dropped")

    def close(self, timeout_s: float = 10.0) -> None:
        """Write down what waits, and stop."""
        self._waiting.put(None)
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while self._write_next():
            pass

    def _write_next(self) -> bool:
        """Wait for a pair and write it; False when there are no more.

        Nothing of it is held while the thread waits for the next one: a withdrawn challenger would stay.
        """
        pair = self._waiting.get()
        if pair is None:
            return False
        try:
            self._log.add(compare(pair, keep_picture=self._keep_pictures))
        except Exception as error:  # noqa: BLE001 - one pair is lost, and said; the next may be well
            self._say_once(error)
        else:
            self._trouble = ""
        return True

    def _say_once(self, error: Exception) -> None:
        self._observer.mirrored("dropped")
        trouble = error.headline if isinstance(error, MaskloopError) else f"{type(error).__name__}: {error}"
        if trouble != self._trouble:
            _log.error("a pair of answers was lost: %s", trouble)
        self._trouble = trouble


def _all_names(pair: PairedAnswer) -> tuple[str, ...]:
    """Return the champion's class names, then those that only the challenger has."""
    answers = [side.answer for side in (pair.champion, pair.challenger) if side.answer is not None]
    return tuple(dict.fromkeys(name for one in answers for name in one.model.predictor.class_names))


def _confident(attempt: Attempt, class_names: tuple[str, ...]) -> Detections | None:
    """Return what a side is sure of, its class indices counting into the names of both sides."""
    if attempt.answer is None:
        return None
    found, predictor = attempt.answer.prediction.detections, attempt.answer.model.predictor
    sure = found.select(found.reach(predictor.score_threshold))
    if predictor.class_names == class_names[: len(predictor.class_names)]:
        return sure
    index_of = {name: index for index, name in enumerate(class_names)}
    renamed = [index_of[predictor.class_names[int(index)]] for index in sure.class_indices]
    return replace(sure, class_indices=np.array(renamed, dtype=np.int64))
