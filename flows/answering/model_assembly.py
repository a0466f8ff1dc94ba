"""One model of a service: the parts of its workspace put together, and what it does beside the requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.version_store import DatasetStore
from flows.answering.feedback import take_feedback
from flows.answering.model_source import LedgerModelSource
from flows.answering.view_pages import ViewPages
from flows.engines.engine_book import EngineBook, EngineWish, choose_test_pictures
from flows.evidence.evaluate import load_picture
from flows.rollouts.rollout import advance_rollout
from flows.workspace.wiring import App
from maskloop.memory import spare_the_collector, use_large_pages
from maskloop.settings.workspace_settings import ServingSettings
from maskloop.state.loop_state import LoopState
from models.artifacts.manifest import ArtifactManifest
from models.ports import Machine
from monitoring.slo.label_quality import QualityBudget, find_quality_budgets
from registry.champion.serving_copy import ServedModel
from serving.access.keys import KeyStore
from serving.access.limits import RateLimiter
from serving.answering.batching import MicroBatcher, count_threads
from serving.answering.decoding import DecoderPool
from serving.answering.engine import Engine
from serving.answering.hosting import ModelHost
from serving.answering.service import Service
from serving.residency.memory import Memory
from serving.rollout.comparing import PairRecorder
from serving.sampling.sampler import Sampler
from serving.schemas import FeedbackRequest
from serving.telemetry.metrics import Metrics

_log = logging.getLogger("maskloop.serving")
_OF_THE_SERVICE: Final = (
    "host",
    "port",
    "models",
    "memory_mib",
    "keep_loaded_s",
    "workers",
    "max_batch",
    "batch_wait_ms",
    "drain_s",
    "stop_notice_s",
    "max_connections",
    "require_keys",
    "platform",
    "trusted_hosts",
    "rate_limit",
    "otlp_endpoint",
)
"""Settings that all models of a service share; the others are each workspace's own."""


@dataclass(frozen=True)
class Shared:
    """What all models of a process share.

    Attributes:
        settings: Of the service.
        memory: That models are loaded into.
        batcher: Runs them, each for the same time.
        keys: Who may ask.
        limiter: How often.
    """

    settings: ServingSettings
    memory: Memory
    batcher: MicroBatcher
    keys: KeyStore
    limiter: RateLimiter


def choose_settings(own: ServingSettings, service: ServingSettings) -> ServingSettings:
    """Return the settings of one model: its workspace's own, and the service's where all models share it."""
    return own.model_copy(update={name: getattr(service, name) for name in _OF_THE_SERVICE})


def create_model(app: App, name: str, settings: ServingSettings, shared: Shared) -> RunningModel:
    """Put the parts of one model together. Nothing is loaded yet, and no process is started.

    Args:
        app: Of its workspace.
        name: Under which clients and keys name it.
        settings: Of this model.
        shared: What it has in common with the others.
    """
    metrics = Metrics(app.settings.model_name, name)
    cores = Cores(lambda: app.machine, app.settings.training.device)
    engines = EngineBook(
        app.workspace.engines_dir,
        app.workspace.models_dir,
        open_engines=lambda: app.engines,
        find_wish=partial(_find_wish, settings, app.settings.export.min_parity, cores),
        find_pictures=partial(
            _find_pictures,
            open_data=lambda: replace(app).data,  # of an app of its own: what is opened is not kept in memory
            verify=lambda folder, digest: app.predictors.verify(folder, expected_digest=digest),
            max_mpx=app.settings.data.max_picture_mpx,
        ),
        observer=metrics,
    )
    source = LedgerModelSource(app.ledger, app.state, app.copies, app.workspace, app.shared_files, engines)
    place = shared.memory.open_place(
        name,
        max_in_flight=-(-settings.max_in_flight // settings.workers),
        wait_s=settings.load_wait_s,
    )
    host = ModelHost(
        source, metrics, cores=cores, settle=partial(_settle, alone=settings.workers == 1), place=place
    )
    recorder = PairRecorder(app.pairs, metrics, keep_pictures=settings.sampling.keep_pictures)
    sampler = Sampler(
        app.samples,
        settings.sampling,
        metrics,
        app.clock,
        is_computing=lambda: shared.batcher.is_computing,
        open_book=lambda: app.quotas,
        least_workers=settings.workers,
    )

    def give_feedback(said: FeedbackRequest, by: str) -> bool:
        sampler.wait_until_written(said.request_id)
        return take_feedback(app.samples, app.corrections, said, by=by, now=app.clock.now(), observer=metrics)

    service = Service(
        model_name=app.settings.model_name,
        name=name,
        settings=settings,
        engine=Engine(host, shared.batcher, settings, observer=metrics, on_pair=recorder.take),
        decoders=DecoderPool(settings, max_mpx=app.settings.data.max_picture_mpx),
        keys=shared.keys,
        limiter=shared.limiter,
        samples=sampler,
        observer=metrics,
        give_feedback=give_feedback,
        render_metrics=metrics.render,
        read_page=ViewPages(app.workspace, metrics.render).read,
    )

    def measure_quality(state: LoopState) -> Sequence[QualityBudget]:
        return find_quality_budgets(state, app.settings, app.clock.now())

    advance = partial(advance_rollout, app)
    return RunningModel(
        advance, app.state, measure_quality, service, host, sampler, recorder, metrics, engines
    )


def _find_wish(settings: ServingSettings, min_parity: float, cores: Cores) -> EngineWish:
    device = cores.open_machine().device(cores.device)
    return EngineWish(settings.engine, min_parity, device, count_threads(cores.count()))


def _find_pictures(
    served: ServedModel,
    *,
    open_data: Callable[[], DatasetStore],
    verify: Callable[[Path, str], ArtifactManifest],
    max_mpx: float,
) -> Sequence[NDArray[np.uint8]]:
    """Return test pictures of the data version that a model was trained on."""
    tag = verify(served.directory, served.weights_digest).dataset_tag
    return choose_test_pictures(open_data().open(tag), lambda file: load_picture(file, max_mpx))


def _settle(*, alone: bool) -> None:
    spare_the_collector()
    if alone:  # a large page is one process's own, and workers share most of the small ones
        use_large_pages()


@dataclass(frozen=True)
class Cores:
    """The cores that models compute with. Asked only when one is loaded: until then nothing imports torch."""

    open_machine: Callable[[], Machine]
    device: str

    def count(self) -> int:
        """Return how many there are; 1 where an accelerator computes."""
        return self.open_machine().count_cores(self.device)

    def use(self, count: int) -> None:
        """Set the number of cores for the computations of the calling thread."""
        self.open_machine().use_cores(count)


@dataclass(frozen=True)
class RunningModel:
    """One model of a service, with what runs beside its requests.

    Attributes:
        advance: Makes the due transitions of the rollout and returns them as sentences.
        state: Returns the state of the loop as of now.
        measure_quality: Returns how the champion of a state keeps the objectives of quality.
        service: Answers requests.
        host: Holds the models in memory.
        sampler: Keeps samples of what was answered.
        recorder: Keeps pairs of answers during a rollout.
        metrics: Counts requests and answers.
        engines: Finds out what runs the models fastest.
    """

    advance: Callable[[], Sequence[str]]
    state: Callable[[], LoopState]
    measure_quality: Callable[[LoopState], Sequence[QualityBudget]]
    service: Service
    host: ModelHost
    sampler: Sampler
    recorder: PairRecorder
    metrics: Metrics
    engines: EngineBook

    async def close(self) -> None:
        """Finish what was accepted."""
        self.host.place.close()
        await self.service.engine.close()
        await self.service.decoders.close()
        await asyncio.to_thread(self._close)

    def look_at_the_loop(self) -> None:
        """Make the transitions of the rollout that are due, and show the state of the loop. Blocking."""
        for sentence in self.advance():
            _log.info("%s", sentence)
        state = self.state()
        self.metrics.show_loop(state, self.measure_quality(state))

    def _close(self) -> None:
        self.recorder.close()
        self.sampler.close()
        self.host.close()
        self.engines.close()
