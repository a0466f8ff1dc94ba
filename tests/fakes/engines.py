"""Engines in memory: what is installed, how each trial ends, and what was loaded, as a test says."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.engines.choice import EngineChoice, EngineKey, EngineName, Trial, TrialRequest, WantedEngine
from models.exports.manifest import EXPORT_FILE
from registry.champion.serving_copy import ServedModel
from tests.fakes.serving_world import FakePredictor


class TorchAlone:
    """Decides on torch for every model, as where nothing else is installed."""

    def find(self, _served: ServedModel) -> EngineChoice:
        return EngineChoice(reason="no other engine is installed")

    def load(self, _served: ServedModel) -> None:
        return None


@dataclass
class FakeEngines:
    """Trials end as ``trials`` says; an export is a folder with a manifest of one line."""

    trials: dict[EngineName, Trial] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: {"torch": "2"})
    machine: str = "a machine"
    before_trial: Callable[[Callable[[], bool]], None] = lambda _should_stop: None
    load_trouble: Exception | None = None
    predictor: Any = field(default_factory=FakePredictor)
    tried: list[TrialRequest] = field(default_factory=list)
    loaded: list[Path] = field(default_factory=list)

    def installed(self) -> tuple[EngineName, ...]:
        return tuple(self.trials)

    def key(self, weights_digest: str, wanted: WantedEngine, min_parity: float, threads: int) -> EngineKey:
        return EngineKey(
            weights_digest=weights_digest,
            wanted=wanted,
            min_parity=min_parity,
            threads=threads,
            machine=self.machine,
            versions=self.versions,
        )

    def try_out(self, request: TrialRequest, *, timeout_s: float, should_stop: Callable[[], bool]) -> Trial:
        assert request.pictures.is_file()
        self.tried.append(request)
        self.before_trial(should_stop)
        request.export.mkdir(exist_ok=True)
        (request.export / EXPORT_FILE).write_text(request.engine)
        return self.trials[request.engine]

    def load(self, directory: Path, *, expected_digest: str, thread_counts: Collection[int]) -> Any:
        assert (directory / EXPORT_FILE).is_file()
        assert expected_digest
        assert thread_counts
        if self.load_trouble:
            raise self.load_trouble
        self.loaded.append(directory)
        return self.predictor
