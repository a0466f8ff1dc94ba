"""`maskloop tune`: better training settings are searched for a number of hours, in one resumable search."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from dataset.labelled_pictures import DatasetVersion
from dataset.version_store import DatasetStore
from flows.tuning.book import SearchBook, find_books
from flows.tuning.course import Course
from flows.tuning.difference import apply_values
from flows.tuning.planning import Search, TuneRequest, describe_search, make_plan, read_asked
from flows.tuning.publication import SearchRuns
from flows.tuning.report import TuneReport, describe_found, find_best, name_objective, trial_rows
from flows.tuning.warm_start import EarlierRun, choose_warm_start, read_searches, read_trainings
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.errors import DataError, StoppedError
from maskloop.files import write_text
from maskloop.ledger.leases import leased
from maskloop.settings.model_settings import TuneSettings
from maskloop.settings.workspace_settings import GateSettings, Settings, parse_settings
from maskloop.stopping import StopRequest, stop_request
from maskloop.wording import count
from models.search.space import Space, Values, make_space

_LEASE: Final = "search"


def tune(app: App, *, request: TuneRequest) -> TuneReport:
    """Search until the hours are used, and say what was best on the validation pictures.

    The same command goes on with what is left of the hours; more of them go on with the same search.

    Raises:
        ConfigurationError: if Ray or Optuna is not installed, or the space cannot be searched.
        DataError: if there are no pictures to train or to validate on.
        BusyError: if another search of this workspace is under way.
        StoppedError: after Ctrl-C or SIGTERM; everything so far is kept.
        TrainingError: if trials fail one after the other.
        UnavailableError: if MLflow or the Ray cluster does not answer.
    """
    searcher = app.searcher  # says first what is not installed
    asked = read_asked(app.settings.tune, request)
    version = _version_to_search_on(app.data, app.settings)
    space = make_space(app.settings, asked.space)
    ttl_s = app.settings.retraining.lease_s
    with stop_request() as stop, leased(app.ledger, _LEASE, ttl_s=ttl_s) as check_lease:
        trainings = read_trainings(app.state(), app.tracker, app.settings, version.class_names)
        search = _prepare(asked, app.settings, version, space, app.workspace.tuning_dir, trainings)
        book = SearchBook(search.folder)
        runs = SearchRuns(app.tracker, book, search.facts, app.clock, app.teller.say)
        runs.log_plan(_describe_plan(search))
        app.teller.say(_say_beginning(search, len(book.trials())))
        course = Course(search, book, runs, app.clock, app.teller, stop, check_lease)
        with _closed_if_it_fails(runs, course), app.teller.progress("seconds of the hours") as course.show:
            if course.may_start() and not course.should_stop():
                searcher.search(
                    make_plan(search, app.settings, book.trials()),
                    on_trial=course.hear,
                    may_start=course.may_start,
                    should_stop=course.should_stop,
                )
            course.note()
            _refuse_if_stopped(stop, len(course.trials))
        return _conclude(search, course, runs, app.workspace.settings_file, app.teller, apply=request.apply)


def _refuse_if_stopped(stop: StopRequest, num_trials: int) -> None:
    if stop.is_made():
        error = StoppedError(f"the search was stopped; {count(num_trials, 'trial')} kept")
        error.exit_code = stop.exit_code
        raise error


@contextmanager
def _closed_if_it_fails(runs: SearchRuns, course: Course) -> Iterator[None]:
    """Close the run of the search as failed if the body raises; it is opened again by the next command."""
    try:
        yield
    except Exception:
        runs.flush()
        runs.conclude("", trial_rows(list(course.trials.values()), ()), "failed")
        raise


def _version_to_search_on(data: DatasetStore, settings: Settings) -> DatasetVersion:
    version = data.current()
    if version is None:
        raise DataError("there is nothing to train on yet", hint="run `maskloop ingest` first")
    if not version.by_split["train"]:
        raise DataError("the data version has no training pictures", where=version.tag)
    critical = (settings.gates or GateSettings()).critical_classes
    names = [
        version.class_names[one.class_index] for each in version.by_split["val"] for one in each.instances
    ]
    if not names or (critical and not set(critical) & set(names)):
        raise DataError(
            "the validation pictures show none of the classes that trials are compared by",
            where=version.tag,
            hint="raise data.val_percent before the first batch, or add pictures; see gates.critical_classes",
        )
    return version


def _prepare(
    asked: TuneSettings,
    settings: Settings,
    version: DatasetVersion,
    space: Space,
    tuning_dir: Path,
    trainings: Sequence[EarlierRun],
) -> Search:
    """Open the record of a search, with what is known from trainings and from other searches."""
    facts = describe_search(asked, settings, version, space)
    book = SearchBook(tuning_dir / facts.search_id)
    facts = book.open(facts)
    trials = read_searches(find_books(tuning_dir), settings, but=facts.search_id)
    warm = choose_warm_start(
        [*trainings, *trials],
        settings,
        space,
        data_fingerprint=version.fingerprint,
        critical_classes=facts.critical_classes,
    )
    return Search(asked, version, space, facts, book.folder, warm)


def _describe_plan(search: Search) -> dict[str, Any]:
    space = {f"space.{path}": json.dumps(asdict(each)) for path, each in search.space.items()}
    how = search.asked.model_dump(mode="json", include={"sampler", "early_stopping", "reduction_factor"})
    return {**space, **{f"tune.{name}": value for name, value in how.items()}}


def _say_beginning(search: Search, num_trials: int) -> str:
    went = f"goes on after {count(num_trials, 'trial')}" if num_trials else "begins"
    known = len(search.warm.known)
    earlier = f", with {count(known, 'result')} of earlier trainings and searches" if known else ""
    left = search.asked.hours - search.facts.spent_s / 3600.0
    return (
        f"search {search.facts.search_id} on {search.version.tag} {went}{earlier}: "
        f"{max(left, 0.0):.2f} of {search.asked.hours:g} h left"
    )


def _conclude(
    search: Search, course: Course, runs: SearchRuns, file: Path, teller: Teller, *, apply: bool
) -> TuneReport:
    """Write the best settings down, and into ``file``, `maskloop.toml`, if that is asked for."""
    classes, trials = search.facts.critical_classes, list(course.trials.values())
    found = find_best(trials, search.warm.known, search.present, classes)
    text = file.read_text(encoding="utf-8")
    search_id, fragment_file = search.facts.search_id, SearchBook(search.folder).fragment_file
    fragment, difference = describe_found(found, text, search=search_id, data_tag=search.version.tag)
    if fragment:
        write_text(fragment_file, fragment)
    if apply and fragment:
        _apply(file, text, found.values)
    rows = trial_rows(trials, classes)
    if num_waiting := runs.flush():
        teller.say(f"not in MLflow yet: {count(num_waiting, 'trial')}; the same command sends them")
    runs.conclude(fragment, rows, "finished")
    is_full = search.asked.max_trials and len(trials) >= search.asked.max_trials
    return TuneReport(
        search=search_id,
        objective=name_objective(classes),
        data_tag=search.version.tag,
        outcome="trials done" if is_full else "hours used",
        spent_hours=round(course.spent_s / 3600.0, 4),
        hours=search.asked.hours,
        num_known=len(search.warm.known),
        trials=rows,
        found=found,
        difference=difference,
        fragment_file=str(fragment_file) if fragment else "",
        applied=bool(apply and fragment),
        url=runs.url,
    )


def _apply(file: Path, text: str, values: Values) -> None:
    """Write values into a settings file, once it is certain that it can be read after that."""
    changed = apply_values(text, values)
    parse_settings(tomllib.loads(changed), where=str(file))
    write_text(file, changed)
