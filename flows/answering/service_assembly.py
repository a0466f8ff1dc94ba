"""The service of one workspace: its parts put together, and what runs beside the requests."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.version_store import DatasetStore
from flows.answering.engine_book import EngineBook, EngineWish, choose_test_pictures
from flows.answering.feedback import take_feedback
from flows.answering.model_source import LedgerModelSource
from flows.answering.view_pages import ViewPages
from flows.evidence.evaluate import load_picture
from flows.rollouts.rollout import advance_rollout
from flows.workspace.wiring import App, open_app
from maskloop.clock import Clock
from maskloop.memory import spare_the_collector, use_large_pages
from maskloop.settings.workspace_settings import ServingSettings
from maskloop.state.loop_state import LoopState
from maskloop.workspace import Workspace
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
from serving.http.app import create_app
from serving.http.managed import find_platform
from serving.http.server import choose_trusted_hosts, decide_on_keys, stop_noticed
from serving.rollout.comparing import PairRecorder
from serving.sampling.sampler import Sampler
from serving.telemetry.metrics import Metrics
from serving.telemetry.periodic import in_thread, repeat, running
from serving.telemetry.tracing import open_tracer

PRELOADED: Final = (__name__, "models.preload")
"""What workers of the service share: modules that are imported once for all of them, the last one last."""
_log = logging.getLogger("maskloop.serving")
_FIRST_LOOK_S: Final = 60.0
"""A worker without a model by then accepts all the same, to say on /readyz why."""
_LARGE_PAGES_EVERY_S: Final = 30.0
"""What a busy hour has added to the memory made the passes after it 0.4 ms of 13 slower."""


def make_application(root: Path, settings: ServingSettings) -> Any:
    """Return the ASGI application of a workspace.

    Args:
        root: The workspace.
        settings: What the command line made of the workspace's own.

    Raises:
        ConfigurationError: if the settings are wrong, or would open the service to strangers.
    """
    running = create_service(open_app(root, actor="service"), settings)
    tracer = open_tracer(settings.otlp_endpoint)

    @asynccontextmanager
    async def lifespan(_application: object) -> AsyncIterator[None]:
        async with running.for_as_long_as_it_serves():
            yield
        await asyncio.to_thread(tracer.close)

    return create_app(
        running.service,
        lifespan=lifespan,
        needs_keys=decide_on_keys(settings, running.service.keys),
        trusted_hosts=choose_trusted_hosts(settings),
        tracer=tracer,
        platform=find_platform(settings.platform, os.environ),
    )


def open_keys(workspace: Workspace, clock: Clock) -> KeyStore:
    """Return the API keys of a workspace."""
    return KeyStore(workspace.state_dir / "keys.json", clock=clock)


def create_service(app: App, settings: ServingSettings) -> RunningService:
    """Put the parts together. Nothing is loaded yet, and no process is started."""
    metrics = Metrics(app.settings.model_name)
    cores = _Cores(lambda: app.machine, app.settings.training.device)
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
    host = ModelHost(source, metrics, cores=cores, settle=partial(_settle, alone=settings.workers == 1))
    recorder = PairRecorder(app.pairs, metrics, keep_pictures=settings.sampling.keep_pictures)
    batcher = MicroBatcher(settings, cores=cores)
    sampler = Sampler(
        app.samples,
        settings.sampling,
        metrics,
        app.clock,
        is_computing=lambda: batcher.is_computing,
        open_book=lambda: app.quotas,
        least_workers=settings.workers,
    )
    service = Service(
        model_name=app.settings.model_name,
        settings=settings,
        engine=Engine(host, batcher, settings, observer=metrics, on_pair=recorder.take),
        decoders=DecoderPool(settings, max_mpx=app.settings.data.max_picture_mpx),
        keys=open_keys(app.workspace, app.clock),
        limiter=RateLimiter(settings.rate_limit, workers=settings.workers),
        samples=sampler,
        observer=metrics,
        give_feedback=lambda said, by: take_feedback(
            app.samples, app.corrections, said, by=by, now=app.clock.now(), observer=metrics
        ),
        render_metrics=metrics.render,
        read_page=ViewPages(app.workspace, metrics.render).read,
    )

    def measure_quality(state: LoopState) -> Sequence[QualityBudget]:
        return find_quality_budgets(state, app.settings, app.clock.now())

    advance = partial(advance_rollout, app)
    return RunningService(
        advance, app.state, measure_quality, service, host, sampler, recorder, metrics, engines
    )


def _find_wish(settings: ServingSettings, min_parity: float, cores: _Cores) -> EngineWish:
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
class _Cores:
    """The cores that models compute with. Asked only when one is loaded: until then nothing imports torch."""

    open_machine: Callable[[], Machine]
    device: str

    def count(self) -> int:
        return self.open_machine().count_cores(self.device)

    def use(self, count: int) -> None:
        self.open_machine().use_cores(count)


@dataclass(frozen=True)
class RunningService:
    """A service with what runs beside its requests.

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

    @asynccontextmanager
    async def for_as_long_as_it_serves(self) -> AsyncIterator[None]:
        """Keep models and rollout up to date while the body runs; then finish what was accepted."""
        settings, engine = self.service.settings, self.service.engine
        try:
            if settings.workers > 1:
                await self._look_before_accepting()
            with stop_noticed(engine.announce_stop, notice_s=settings.stop_notice_s):
                beside = [
                    self.service.decoders.warm_up(),
                    repeat("keeping the models up to date", self.host.refresh, every_s=settings.refresh_s),
                    repeat("the rollout", in_thread(self._look_at_the_loop), every_s=settings.refresh_s),
                ]
                if settings.workers == 1:
                    large_pages = in_thread(use_large_pages)
                    beside.append(repeat("large pages", large_pages, every_s=_LARGE_PAGES_EVERY_S))
                async with running(*beside):
                    yield
        finally:
            await engine.close()
            await self.service.decoders.close()
            await asyncio.to_thread(self._close)

    async def _look_before_accepting(self) -> None:
        """Load what serves first: a new worker is idle, so it would draw most connections and refuse them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_LOOK_S):
                await self.host.refresh()

    def _look_at_the_loop(self) -> None:
        for sentence in self.advance():
            _log.info("%s", sentence)
        state = self.state()
        self.metrics.show_loop(state, self.measure_quality(state))

    def _close(self) -> None:
        self.recorder.close()
        self.sampler.close()
        self.host.close()
        self.engines.close()
