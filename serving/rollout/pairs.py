"""Comparisons of champion and challenger on the same picture, and the log that keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from evaluation.instances import Detections
from serving.answers import Role


@dataclass(frozen=True)
class Comparison:
    """One picture that both models were asked about.

    Attributes:
        cycle_id: Whose challenger this is.
        request_id: The same id is the same picture, compared once.
        answered_by: Whose answer the client got.
        champion_error: Why the champion had no answer; empty if it had.
        challenger_error: Why the challenger had none.
        agreement: 0..1, see `evaluation.agreement.Agreement`; 0 unless both answered, like the next three.
        count_shift: -1..1.
        flip_share: 0..1.
        score_shift: -1..1.
        champion_s: What the champion took for this picture.
        challenger_s: What the challenger took.
        latency_s: From the request's arrival to its answer, as the client saw it.
        sequence: The order of arrival in the log; 0 before it is there.
    """

    cycle_id: str
    request_id: str
    answered_by: Role
    champion_error: str = ""
    challenger_error: str = ""
    agreement: float = 0.0
    count_shift: float = 0.0
    flip_share: float = 0.0
    score_shift: float = 0.0
    champion_s: float = 0.0
    challenger_s: float = 0.0
    latency_s: float = 0.0
    sequence: int = 0

    @property
    def both_answered(self) -> bool:
        """Both models had an answer."""
        return not self.champion_error and not self.challenger_error

    @property
    def difference(self) -> float:
        """0..2: how much worth a look it is; 2 where the challenger alone failed."""
        if self.challenger_error and not self.champion_error:
            return 2.0
        return 1.0 - self.agreement if self.both_answered else 0.0


@dataclass(frozen=True, eq=False)
class KeptPair:
    """A comparison with the two answers and the picture it was computed from.

    Attributes:
        comparison: The numbers.
        champion: The champion's confident instances, upright; None if it failed.
        challenger: The challenger's confident instances, upright; None if it failed.
        class_names: What both sides' class indices count into.
        orientation: The EXIF orientation the picture was stored in, 1 (upright) to 8.
        picture: The bytes as received; None if they are not kept (any more).
    """

    comparison: Comparison
    champion: Detections | None
    challenger: Detections | None
    class_names: tuple[str, ...] = ()
    orientation: int = 1
    picture: bytes | None = None


class PairLog(Protocol):
    """The port. `sql_pair_log` is the real one; every replica of the service writes to the same."""

    def add(self, pair: KeptPair) -> bool:
        """Add a pair; False, and nothing changes, if its request is already there.

        Pictures are kept for the pairs that differ most, up to the log's limit.
        """
        ...

    def comparisons(self, cycle_id: str, *, after: int = 0) -> Sequence[Comparison]:
        """Return a rollout's comparisons with a sequence above ``after``, in order of arrival."""
        ...

    def find(self, cycle_id: str, request_ids: Sequence[str]) -> Sequence[KeptPair]:
        """Return those of these pairs that are there, in order of arrival, without their pictures."""
        ...

    def worst(self, cycle_id: str, limit: int) -> Sequence[KeptPair]:
        """Return the pairs whose pictures are kept, those that differ most first."""
        ...

    def forget(self, cycle_id: str) -> None:
        """Forget a rollout's pairs."""
        ...

    def cycle_ids(self) -> Sequence[str]:
        """Return the cycles it has pairs of."""
        ...


class PairReader:
    """Reads one rollout's comparisons again and again, each time only what is new. Thread-safe."""

    def __init__(self, log: PairLog) -> None:
        self._log, self._lock = log, Lock()
        self._cycle_id: str = ""
        self._read: tuple[Comparison, ...] = ()

    def read(self, cycle_id: str) -> Sequence[Comparison]:
        """Return all comparisons of a rollout, in order of arrival."""
        with self._lock:
            if cycle_id != self._cycle_id:
                self._cycle_id, self._read = cycle_id, ()
            after = self._read[-1].sequence if self._read else 0
            if new := self._log.comparisons(cycle_id, after=after):
                self._read = (*self._read, *new)
            return self._read
