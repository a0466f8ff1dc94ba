"""The service of a bundle: the same parts as in the cloud, with a model that never changes and an outbox."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskloop.clock import SystemClock
from maskloop.errors import NotFoundError
from maskloop.memory import spare_the_collector
from maskloop.settings.workspace_settings import ServingSettings
from models.ports import Predictor
from registry.champion.serving_copy import ServedModel
from serving.access.keys import KeyStore
from serving.access.limits import RateLimiter
from serving.answering.batching import MicroBatcher
from serving.answering.decoding import DecoderPool
from serving.answering.engine import Engine
from serving.answering.hosting import ModelHost
from serving.answering.service import Service
from serving.answers import Answer, EngineUse, HostedModel, Role, Wanted
from serving.client import Client
from serving.edge.cloud import CloudLink, CloudOpinion, send_oldest
from serving.edge.doubt import measure_doubt
from serving.edge.figures import EdgeFigures
from serving.edge.key_file import KeyFile
from serving.edge.manifest import EXPORT_FOLDER, BundleManifest
from serving.edge.outbox import Outbox
from serving.http.app import create_app
from serving.http.server import choose_trusted_hosts, decide_on_keys, stop_noticed
from serving.schemas import FeedbackRequest
from serving.telemetry.metrics import Metrics
from serving.telemetry.periodic import in_thread, repeat, running

_SEND_EVERY_S = 1.0
"""Sixty samples a minute: half of what the cloud service keeps by default."""

_LOOK_AT_KEYS_EVERY_S = 5.0


@dataclass(frozen=True)
class EdgeOptions:
    """What the device says, where the bundle cannot know it.

    Attributes:
        state: A folder that stays: keys, and samples that wait.
        cloud_url: The cloud service; empty for none.
        cloud_key: Its API key.
        cloud_timeout_s: An uncertain picture waits no longer for it.
        max_outbox_mb: Of the samples that wait.
    """

    state: Path
    cloud_url: str = ""
    cloud_key: str = ""
    cloud_timeout_s: float = 5.0
    max_outbox_mb: float = 200.0


@dataclass(frozen=True)
class BundleSource:
    """Fulfils `serving.answers.ModelSource`: one model, loaded and checked already."""

    bundle: Path
    manifest: BundleManifest
    predictor: Predictor

    def wanted(self) -> Wanted:
        """Return the bundle's model."""
        told = self.manifest
        folder = self.bundle / EXPORT_FOLDER
        return Wanted(ServedModel(folder, told.version, told.weights_digest, told.blessing_id))

    def find_engine(self, _served: ServedModel) -> EngineUse:
        """Return the library of the bundle's format."""
        return EngineUse(self.manifest.format, "the bundle holds no other")

    def weigh(self, served: ServedModel) -> int:
        """Return the bytes of the model's files."""
        return sum(file.stat().st_size for file in served.directory.glob("*"))

    def load(self, served: ServedModel, role: Role) -> HostedModel:
        """Return the model."""
        return HostedModel(role, served, self.predictor, None, self.find_engine(served))


def make_application(
    bundle: Path,
    manifest: BundleManifest,
    predictor: Predictor,
    settings: ServingSettings,
    options: EdgeOptions,
) -> Any:
    """Return the ASGI application of a bundle.

    Raises:
        ConfigurationError: if it would be open to strangers.
    """
    metrics = Metrics(manifest.model_name)
    figures, rule = EdgeFigures(metrics), manifest.rule
    link = _open_link(options)

    def is_uncertain(answer: Answer) -> bool:
        threshold = answer.model.predictor.score_threshold
        return rule is not None and measure_doubt(answer.prediction.detections, threshold) > rule.max_doubt

    outbox = Outbox(
        options.state / "outbox",
        max_bytes=int(options.max_outbox_mb * 1e6),
        rate=manifest.sampling_rate,
        is_uncertain=is_uncertain,
        clock=SystemClock(),
        tell=metrics.sampled,
    )
    figures.watch(outbox)
    host = ModelHost(BundleSource(bundle, manifest, predictor), metrics, settle=spare_the_collector)
    engine = Engine(host, MicroBatcher(settings), settings, observer=metrics, on_pair=lambda _pair: None)
    service = Service(
        model_name=manifest.model_name,
        name=manifest.model_name,
        settings=settings,
        engine=engine,
        decoders=DecoderPool(settings, max_mpx=manifest.max_picture_mpx),
        keys=open_keys(options.state),
        limiter=RateLimiter(settings.rate_limit),
        samples=outbox,
        observer=metrics,
        give_feedback=_refuse_feedback,
        render_metrics=figures.render,
        second_opinion=CloudOpinion(link, rule, outbox, figures.answered) if rule else None,
    )

    @asynccontextmanager
    async def lifespan(_application: object) -> AsyncIterator[None]:
        await host.refresh()
        keys = repeat("the API keys", in_thread(service.keys.refresh), every_s=_LOOK_AT_KEYS_EVERY_S)
        jobs = [service.decoders.warm_up(), keys]
        if link:
            sending = in_thread(lambda: send_oldest(link, outbox, figures.sent))
            jobs.append(repeat("the samples for the cloud service", sending, every_s=_SEND_EVERY_S))
        try:
            with stop_noticed(engine.announce_stop, notice_s=settings.stop_notice_s):
                async with running(*jobs):
                    yield
        finally:
            await engine.close()
            await service.decoders.close()
            await asyncio.to_thread(outbox.close)
            host.close()
            if link:
                link.close()

    return create_app(
        service,
        lifespan=lifespan,
        needs_keys=decide_on_keys(settings, service.keys),
        trusted_hosts=choose_trusted_hosts(settings),
    )


def open_keys(state: Path) -> KeyStore:
    """Return the API keys of a device."""
    keys = KeyStore(KeyFile(state / "keys.json"))
    keys.refresh()
    return keys


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open_link(options: EdgeOptions) -> CloudLink | None:
    if not options.cloud_url:
        return None
    return CloudLink(
        Client(options.cloud_url, key=options.cloud_key, timeout_s=options.cloud_timeout_s, attempts=1)
    )


def _refuse_feedback(_said: FeedbackRequest, _by: str) -> bool:
    raise NotFoundError("a device keeps no feedback", hint="send it to the cloud service, under the same id")
