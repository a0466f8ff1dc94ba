"""A search under way: its trials are kept, the time it uses is counted, and people are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flows.tuning.book import SearchBook
from flows.tuning.budget import Forecast, foresee
from flows.tuning.planning import Search
from flows.tuning.publication import SearchRuns
from flows.tuning.report import find_best, say_trial
from flows.workspace.telling import Teller
from maskloop.clock import Clock
from maskloop.stopping import StopRequest
from models.search.trials import SearchTrial

_NOTE_EVERY_S: Final = 5.0
"""What a kill can make a search forget of the time it used."""


class Course:
    """Where a search stands: its trials, and what it used of its hours."""

    def __init__(
        self,
        search: Search,
        book: SearchBook,
        runs: SearchRuns,
        clock: Clock,
        teller: Teller,
        stop: StopRequest,
        check_lease: Callable[[], None],
    ) -> None:
        self._search, self._book, self._runs, self._clock, self._teller = search, book, runs, clock, teller
        self._stop, self._check_lease = stop, check_lease
        self._began_at = self._noted_at = clock.now()
        self.trials = {one.number: one for one in book.trials()}
        self._interrupted = {one.number for one in self.trials.values() if one.outcome == "running"}
        self.show: Callable[[int, int], None] = lambda _done, _total: None

    @property
    def spent_s(self) -> float:
        """Seconds used, over all runs of the search."""
        return self._search.facts.spent_s + (self._clock.now() - self._began_at).total_seconds()

    @property
    def seconds_left(self) -> float:
        """Of the hours."""
        return self._search.asked.hours * 3600.0 - self.spent_s

    def hear(self, trial: SearchTrial) -> None:
        """Keep a trial as it stands, here and in MLflow."""
        self._book.write(trial)
        self.trials[trial.number] = trial
        self._interrupted.discard(trial.number)
        self.note()
        self._runs.tell(trial)
        if trial.outcome != "running":
            self._teller.say(self._say_ended(trial))

    def may_start(self) -> bool:
        """Tell whether one more trial may begin."""
        return not self._stop.is_made() and self._foresee().may_start

    def should_stop(self) -> bool:
        """Tell whether everything ends now. Raises UnavailableError if another process has the lease."""
        self._check_lease()
        if (self._clock.now() - self._noted_at).total_seconds() >= _NOTE_EVERY_S:
            self.note()
        budget_s = self._search.asked.hours * 3600.0
        self.show(round(min(self.spent_s, budget_s)), round(budget_s))
        return self._stop.is_made() or self.seconds_left <= 0.0

    def note(self) -> None:
        """Write down how much time is used."""
        self._noted_at = self._clock.now()
        self._book.spend(self._search.facts, self.spent_s)

    def _foresee(self) -> Forecast:
        asked = self._search.asked
        return foresee(
            [one for number, one in self.trials.items() if number not in self._interrupted],
            seconds_left=self.seconds_left,
            first_rung_steps=self._search.first_rung_steps,
            max_trials=asked.max_trials,
            num_at_once=asked.concurrent_trials or 1,
        )

    def _say_ended(self, trial: SearchTrial) -> str:
        search = self._search
        classes = search.facts.critical_classes
        found = find_best(list(self.trials.values()), search.warm.known, search.present, classes)
        best = "" if found.result is None else f"; best so far {found.result:.3f}"
        left = self._foresee().num_trials_left
        more = "" if not left else f", about {left} more"
        spent = f"{self.spent_s / 3600:.2f} of {search.asked.hours:g} h"
        return f"{say_trial(trial, search.steps, classes)}{best} ({spent}{more})"
