"""What should serve, read from the ledger; the models behind it, from verified copies on disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from flows.workspace.served import ModelCopies
from maskloop.blobs.shared_files import SharedFiles
from maskloop.errors import MaskloopError
from maskloop.ledger.port import Entry, Ledger
from maskloop.state.loop_state import LoopState, Rollout
from maskloop.workspace import Workspace
from models.engines.choice import EngineChoice
from models.ports import Predictor
from monitoring.drift.baseline import load_baseline
from monitoring.drift.novelty import Novelty, NoveltyScorer, fit_novelty
from registry.champion.serving_copy import ServedModel
from serving.answers import IN_TORCH, EngineUse, HostedModel, Role, Traffic, Wanted

_log = logging.getLogger("maskloop.serving")
_LOOK_AGAIN_S: Final = 60.0
"""Another host measures a model's own pictures some minutes after it was promoted."""


class NoveltyOnceMeasured:
    """Tells strange pictures as soon as a model's own were measured, which the monitor does later."""

    def __init__(
        self, baseline_dir: Path, shared: SharedFiles, *, out_of_distribution_percent: float
    ) -> None:
        self._baseline_dir, self._percent = baseline_dir, out_of_distribution_percent
        self._shared, self._next_look = shared, 0.0
        self._scorer: NoveltyScorer | None = None
        self._is_settled = False

    def score(self, embedding: NDArray[np.float32]) -> Novelty | None:
        """Judge one picture by its embedding, float32 (E,); None while the model's own are not measured."""
        return self._scorer.score(embedding) if self._scorer else None

    def look(self) -> None:
        """Look whether they were measured in the meantime. Blocking."""
        if self._is_settled or time.monotonic() < self._next_look:
            return
        files = sorted(self._baseline_dir.glob("*.npz"))
        if not files:
            self._next_look = time.monotonic() + self._bring()
            return
        self._is_settled = True
        try:
            self._scorer = fit_novelty(load_baseline(files[0]), out_of_distribution_percent=self._percent)
        except MaskloopError as error:
            _log.warning("strange pictures cannot be told: %s", error)
            return
        if self._scorer is None:
            _log.warning(
                "strange pictures cannot be told: the model has too few held-out pictures of its own"
            )

    def _bring(self) -> float:
        """Look whether another host has measured them; return in how many seconds to look again."""
        try:
            is_shared = self._shared.bring(self._baseline_dir) > 0
        except MaskloopError as error:
            _log.warning("strange pictures cannot be told yet: %s", error)
            is_shared = False
        return 0.0 if is_shared or not self._shared.is_shared else _LOOK_AGAIN_S


class ChoosesEngines(Protocol):
    """Says what runs a model's networks: see `flows.engines.engine_book.EngineBook`."""

    def find(self, served: ServedModel) -> EngineChoice | None:
        """Return what is decided about a model; None while its trial is under way."""
        ...

    def load(self, served: ServedModel) -> Predictor | None:
        """Load a model into the chosen engine; None if that is torch."""
        ...


class LedgerModelSource:
    """Says what should serve. Cheap to ask every second: while the ledger is unchanged nothing is read."""

    def __init__(
        self,
        ledger: Ledger,
        state: Callable[[], LoopState],
        copies: ModelCopies,
        workspace: Workspace,
        shared: SharedFiles,
        engines: ChoosesEngines,
    ) -> None:
        self._ledger, self._state, self._copies, self._workspace = ledger, state, copies, workspace
        self._shared, self._engines = shared, engines
        self._novelty: dict[str, NoveltyOnceMeasured] = {}
        self._last_sequence = -1
        self._wanted: Wanted | None = None

    def wanted(self) -> Wanted:
        """Return what should serve; see `serving.answers.ModelSource`."""
        for novelty in self._novelty.values():
            novelty.look()
        news: list[Entry] = list(self._ledger.entries(after=max(self._last_sequence, 0)))
        if self._wanted is None or news:
            state = self._state()
            served = self._copies.fetch_champion(state)
            challenger, traffic = self._find_challenger(state)
            self._wanted = Wanted(served, challenger, traffic)
            is_complete = challenger is not None or not self._expects_challenger(state)
            self._last_sequence = state.last_sequence if is_complete else -1  # else: read again, try again
        return self._wanted

    def find_engine(self, served: ServedModel) -> EngineUse | None:
        """Return what should run a model's networks; see `serving.answers.ModelSource`."""
        choice = self._engines.find(served)
        return EngineUse(choice.engine, choice.reason) if choice else None

    def weigh(self, served: ServedModel) -> int:
        """Return the size of a model's files; see `serving.answers.ModelSource`."""
        return size_of(served.directory)

    def load(self, served: ServedModel, role: Role) -> HostedModel:
        """Load a model, and its out-of-distribution detector once its own pictures were measured."""
        predictor = self._engines.load(served)
        engine = self.find_engine(served) or IN_TORCH
        if predictor is None:
            predictor = self._copies.load(served.directory, served.weights_digest)
            engine = engine if engine.name == IN_TORCH.name else IN_TORCH  # decided since
        novelty = NoveltyOnceMeasured(
            self._workspace.baseline_dir(served.weights_digest),
            self._shared,
            out_of_distribution_percent=self._workspace.settings.serving.out_of_distribution_percent,
        )
        self._novelty = {**self._novelty, served.weights_digest: novelty}
        return HostedModel(role, served, predictor, novelty, engine)

    @staticmethod
    def _expects_challenger(state: LoopState) -> bool:
        return state.rollout is not None and state.rollout.phase != "aborting"

    def _find_challenger(self, state: LoopState) -> tuple[ServedModel | None, Traffic]:
        """Return the challenger of the current rollout, or None; its errors do not affect the champion."""
        rollout = state.rollout
        if rollout is None or not self._expects_challenger(state):
            return None, Traffic()
        try:
            challenger = self._copies.fetch_challenger(state, rollout)
        except MaskloopError as error:
            _log.error("the challenger of %s does not answer: %s", rollout.cycle_id, error)
            return None, Traffic()
        return challenger, self._traffic_of(rollout)

    def _traffic_of(self, rollout: Rollout) -> Traffic:
        mirror_percent = self._workspace.settings.rollout.mirror_percent
        return Traffic(rollout.cycle_id, rollout.phase, rollout.share_percent, mirror_percent)


def size_of(folder: Path) -> int:
    """Return the bytes of all files of a folder; 0 if there is none."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
