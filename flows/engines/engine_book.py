"""Which engine runs each model on this machine: decided once by measuring, then kept in the workspace.

While nothing is decided a champion answers in torch. The trial runs beside the requests, in a process of its
own; several workers and services of a workspace wait for one outcome. Trouble of any kind means torch, and so
does a crash of the service: it is noticed at the next start.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.labelled_pictures import DatasetVersion
from dataset.raw.conversion import PictureConversion
from evaluation.instances import ScoreThreshold
from flows.engines.engine_decisions import EngineDecisions, read_choice
from flows.engines.engine_journal import EngineJournal, EngineUse, taken_ends
from maskloop.errors import (
    IntegrityError,
    MaskloopError,
    NotFoundError,
    PictureError,
    StoppedError,
    UnavailableError,
)
from maskloop.files import locked, write_text
from models.answering.prediction import Prediction
from models.engines.choice import (
    TORCH,
    EngineChoice,
    EngineKey,
    EngineName,
    Trial,
    TrialRequest,
    WantedEngine,
    candidates,
    choose_engine,
    explain_no_trial,
)
from models.exports.manifest import export_digest
from models.ports import Engines, Predictor
from registry.champion.serving_copy import ServedModel
from serving.observing import EngineTrouble, Observer

_log = logging.getLogger("maskloop.serving")
_TRIAL_TIMEOUT_S: Final = 600.0
_TURNS_BUDGET_S: Final = 20.0
_LOOK_AT_LOCK_S: Final = 0.5
_MOST_PICTURES: Final = 16
_MOST_PIXELS: Final = 24_000_000
_PROVEN_AFTER_S: Final = 600.0
"""A process that is killed later than this was not killed for an engine's memory or a call of ``_exit``."""
FindPictures = Callable[[ServedModel], Sequence[NDArray[np.uint8]]]
"""Returns some of a model's own test pictures, uint8 (H, W, 3) each. May raise MaskloopError."""


@dataclass(frozen=True)
class EngineWish:
    """What decides about engines beside the models.

    Attributes:
        engine: The setting `serving.engine`.
        min_parity: The setting `export.min_parity`.
        device: That models compute on in torch.
        thread_counts: That predictions compute with; the largest is measured.
    """

    engine: WantedEngine
    min_parity: float
    device: str
    thread_counts: tuple[int, ...]


class EngineBook:
    """Decides which engine runs a model, and loads models into other engines than torch.

    Args:
        directory: Holds one folder for each weights digest: decisions, and the export that the engine runs.
        models_dir: Holds the models' copies; what belongs to none of them is removed.
        open_engines: Opens the engines.
        find_wish: Returns the settings; asked when the first model is loaded, since it needs torch.
        find_pictures: Returns what both engines have to agree on.
        observer: Is told about trouble.
        journal: Of the engines that this process has in use.
        now: The time, with its zone.
        elapsed_s: Seconds of a clock that is never set.
    """

    def __init__(
        self,
        directory: Path,
        models_dir: Path,
        *,
        open_engines: Callable[[], Engines],
        find_wish: Callable[[], EngineWish],
        find_pictures: FindPictures,
        observer: Observer,
        journal: EngineJournal | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory, self._models_dir = directory, models_dir
        self._decisions, self._journal = EngineDecisions(directory), journal or EngineJournal(directory)
        self._now, self._elapsed_s = now, elapsed_s
        self._unproven: dict[str, tuple[int, float]] = {}
        self._knows_ends = False
        self._open_engines, self._find_wish = open_engines, find_wish
        self._find_pictures, self._observer = find_pictures, observer
        self._choices: dict[str, EngineChoice] = {}
        self._asked: set[str] = set()
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1, "engines")

    def find(self, served: ServedModel) -> EngineChoice | None:
        """Return what is decided about a model; None while its trial is under way."""
        digest = served.weights_digest
        if choice := self._choices.get(digest):
            self._note_if_proven(digest, choice)
            return choice
        wish, engines = self._find_wish(), self._open_engines()
        if reason := explain_no_trial(wish.engine, wish.device, engines.installed()):
            return self._choices.setdefault(digest, EngineChoice(reason=reason))
        self._learn_from_ends()
        if kept := self._read(self._key(served)):
            _log.info("version %s runs in %s: %s", served.version, kept.engine, kept.reason)
            return self._choices.setdefault(digest, kept)
        if digest not in self._asked:
            self._asked.add(digest)
            self._thread.submit(self._decide, served)
        return None

    def load(self, served: ServedModel) -> Predictor | None:
        """Load a model into the chosen engine; None if that is torch, as it is when loading fails."""
        choice = self.find(served)
        if choice is None or choice.key is None or choice.engine == TORCH:
            return None
        name = self._decisions.name(choice.key.digest)
        use = self._journal.note_in_use(EngineUse(served.weights_digest, name, choice.engine))
        try:
            predictor = self._open_engines().load(
                self._export_dir(self._key(served), choice.engine),
                expected_digest=choice.export_digest,
                thread_counts=self._find_wish().thread_counts,
            )
        except Exception as error:  # noqa: BLE001 - whatever a library raises
            self._journal.note_put_away(use)
            if isinstance(error, (IntegrityError, NotFoundError)):
                self._file(choice.key).unlink(missing_ok=True)  # the next start makes the export again
            self._give_up(served, choice.engine, "load", error)
            return None
        self._unproven[served.weights_digest] = (use, self._elapsed_s())
        watched = _Watched(predictor, lambda error: self._give_up(served, choice.engine, "answer", error))
        weakref.finalize(watched, self._journal.note_put_away, use).atexit = False
        return watched

    def close(self) -> None:
        """End a trial that is under way, of which nothing is kept. A stop like this proves the engines."""
        self._stop.set()
        self._thread.shutdown(wait=True, cancel_futures=True)
        for digest in self._unproven:
            self._forget_silent_ends(digest, self._choices.get(digest))
        self._journal.close()

    def _learn_from_ends(self) -> None:
        """Take engines out of use with which the service ended without a clean stop; once in a process."""
        if self._knows_ends:
            return
        self._knows_ends = True
        try:
            with taken_ends(self._directory) as ends:
                for engine, said in self._decisions.note_ends(ends, self._now()):
                    _log.warning(
                        "%s; torch answers in its place. `maskloop engines --retry` has it tried again", said
                    )
                    self._observer.engine_failed(engine, "crash")
        except MaskloopError as error:
            _log.warning("whether an engine ended the service before is not known: %s", error)

    def _note_if_proven(self, digest: str, choice: EngineChoice) -> None:
        use, since_s = self._unproven.get(digest, (0, 0.0))
        if use and self._elapsed_s() - since_s >= _PROVEN_AFTER_S:
            del self._unproven[digest]
            self._journal.note_proven(use)
            self._forget_silent_ends(digest, choice)

    def _forget_silent_ends(self, digest: str, choice: EngineChoice | None) -> None:
        if choice is None or choice.key is None:
            return
        with suppress(MaskloopError):  # then they count for longer
            self._decisions.change(
                digest,
                self._decisions.name(choice.key.digest),
                lambda kept: kept.model_copy(update={"silent_ends": 0}),
            )

    def _give_up(
        self, served: ServedModel, engine: EngineName, trouble: EngineTrouble, error: Exception
    ) -> None:
        """Run a model in torch from now on, until the service is started again."""
        before = self._choices.get(served.weights_digest)
        if before and before.engine == TORCH:
            return
        said = f"{engine} failed ({trouble}): {error}"
        _log.warning("version %s runs in torch again: %s", served.version, said)
        self._observer.engine_failed(engine, trouble)
        self._choices[served.weights_digest] = EngineChoice(reason=said)

    def _decide(self, served: ServedModel) -> None:
        key = self._key(served)
        try:
            choice = self._wait_or_try(served, key)
        except StoppedError:
            return
        except Exception as error:  # noqa: BLE001 - whatever a library raises
            is_ours = isinstance(error, MaskloopError)
            _log.warning("no engine could be tried: %s", error, exc_info=not is_ours)
            self._observer.engine_failed(TORCH, "trial")
            choice = EngineChoice(reason=f"no engine could be tried: {error}")
        self._choices[served.weights_digest] = choice
        _log.info("version %s runs in %s: %s", served.version, choice.engine, choice.reason)

    def _wait_or_try(self, served: ServedModel, key: EngineKey) -> EngineChoice:
        """Return what another process decided meanwhile, or decide, as the only one that does."""
        with self._wait_for_turn():
            return self._read(key) or self._try_all(served, key)

    def _wait_for_turn(self) -> ExitStack:
        """Return a hold on the lock between processes. Raises StoppedError if the service stops first."""
        lock = self._directory / ".lock"
        while not self._stop.is_set():
            hold = ExitStack()
            with suppress(UnavailableError):
                hold.enter_context(locked(lock, what="the trial of engines", timeout_s=_LOOK_AT_LOCK_S))
                return hold
        raise StoppedError("the service is stopping")

    def _try_all(self, served: ServedModel, key: EngineKey) -> EngineChoice:
        self._remove_what_belongs_to_no_model()
        engines = self._open_engines()
        pictures = self._find_pictures(served)
        if not pictures:
            raise NotFoundError("the model's data version has no test pictures")
        folder = self._directory / served.weights_digest
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            file = Path(scratch) / "pictures.npz"
            np.savez(file, allow_pickle=False, **{f"{at:04d}": each for at, each in enumerate(pictures)})
            trials = []
            for engine in candidates(key.wanted, engines.installed()):
                request = TrialRequest(
                    artifact=served.directory,
                    weights_digest=served.weights_digest,
                    engine=engine,
                    export=self._export_dir(key, engine),
                    pictures=file,
                    threads=key.threads,
                    min_parity=key.min_parity,
                    budget_s=_TURNS_BUDGET_S,
                    outcome=Path(scratch) / f"{engine}.json",
                )
                trials.append(self._try(engines, request))
        return self._keep(key, trials)

    def _try(self, engines: Engines, request: TrialRequest) -> Trial:
        trial = engines.try_out(request, timeout_s=_TRIAL_TIMEOUT_S, should_stop=self._stop.is_set)
        if self._stop.is_set():
            raise StoppedError("the service is stopping")
        if trial.obstacles:
            _log.warning("%s may not answer in torch's place: %s", trial.engine, "; ".join(trial.obstacles))
            self._observer.engine_failed(trial.engine, "trial")
        return trial

    def _keep(self, key: EngineKey, trials: Sequence[Trial]) -> EngineChoice:
        """Write the decision down, and remove what it replaces and the exports that no engine runs."""
        engine, reason = choose_engine(key.wanted, trials)
        for trial in trials:
            if trial.engine != engine:
                shutil.rmtree(self._export_dir(key, trial.engine), ignore_errors=True)
        choice = EngineChoice(
            key=key,
            engine=engine,
            reason=reason,
            trials=tuple(trials),
            export_digest="" if engine == TORCH else export_digest(self._export_dir(key, engine)),
            decided_at=self._now().isoformat(timespec="seconds"),
        )
        if engine == TORCH and not all(trial.is_lasting for trial in trials):
            return choice  # the next start tries again
        write_text(self._file(key), choice.model_dump_json(indent=1) + "\n")
        for file in self._file(key).parent.glob("*.json"):
            before = read_choice(file)
            if before and before.key and before.key.machine == key.machine and before.key != key:
                file.unlink(missing_ok=True)
                shutil.rmtree(self._export_dir(before.key, before.engine), ignore_errors=True)
        return choice

    def _read(self, key: EngineKey) -> EngineChoice | None:
        """Return a decision that was kept and still holds."""
        choice = read_choice(self._file(key))
        if choice is None or choice.key != key or not choice.holds_at(self._now()):
            return None
        is_there = choice.engine == TORCH or self._export_dir(key, choice.engine).is_dir()
        return choice if is_there else None

    def _remove_what_belongs_to_no_model(self) -> None:
        for folder in self._directory.iterdir():
            if folder.is_dir() and not (self._models_dir / folder.name).is_dir():
                shutil.rmtree(folder, ignore_errors=True)

    def _key(self, served: ServedModel) -> EngineKey:
        wish = self._find_wish()
        return self._open_engines().key(
            served.weights_digest, wish.engine, wish.min_parity, max(wish.thread_counts)
        )

    def _file(self, key: EngineKey) -> Path:
        return self._decisions.file(key.weights_digest, self._decisions.name(key.digest))

    def _export_dir(self, key: EngineKey, engine: EngineName) -> Path:
        return self._decisions.export(key.weights_digest, self._decisions.name(key.digest), engine)


def choose_test_pictures(
    data: DatasetVersion, load: Callable[[Path], NDArray[np.uint8]]
) -> list[NDArray[np.uint8]]:
    """Return test pictures of a data version, the same ones each time: the first by digest.

    Args:
        data: The version a model was judged on.
        load: Reads a picture, uint8 (H, W, 3).
    """
    chosen, pixels = list[NDArray[np.uint8]](), 0
    for picture in sorted(data.by_split["test"], key=lambda picture: picture.digest)[:_MOST_PICTURES]:
        pixels += picture.height_px * picture.width_px
        if chosen and pixels > _MOST_PIXELS:
            break
        chosen.append(load(data.path(picture)))
    return chosen


class _Watched:
    """A model in another engine than torch, whose failures are told: `models.ports.Predictor`."""

    def __init__(self, predictor: Predictor, on_failure: Callable[[Exception], None]) -> None:
        self._predictor, self._on_failure = predictor, on_failure
        self.class_names = predictor.class_names
        self.weights_digest = predictor.weights_digest
        self.score_threshold: ScoreThreshold = predictor.score_threshold
        self.conversion: PictureConversion = predictor.conversion

    def predict(
        self, pictures: Sequence[NDArray[np.uint8]], *, min_score: float | None = None
    ) -> list[Prediction]:
        try:
            return self._predictor.predict(pictures, min_score=min_score)
        except PictureError:
            raise  # the picture's fault
        except Exception as error:
            self._on_failure(error)
            raise
