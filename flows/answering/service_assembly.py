"""The service of one workspace or several: their models put together, and what runs beside the requests."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from flows.answering.model_assembly import Cores, RunningModel, Shared, choose_settings, create_model
from flows.answering.model_source import size_of
from flows.workspace.wiring import App, open_app
from maskloop.errors import ConfigurationError, MaskloopError, RefusedError
from maskloop.memory import give_freed_memory_back, use_large_pages
from maskloop.settings.workspace_settings import ServingSettings
from serving.access.keys import READ_EVERY_S
from serving.access.limits import RateLimiter
from serving.answering.batching import MicroBatcher
from serving.http.app import create_app
from serving.http.managed import find_platform
from serving.http.server import choose_trusted_hosts, decide_on_keys, stop_noticed
from serving.residency.memory import Memory
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
    """Return the ASGI application of a workspace, and of the other models that its settings name.

    Args:
        root: The workspace.
        settings: What the command line made of the workspace's own.

    Raises:
        ConfigurationError: if the settings are wrong, or would open the service to strangers.
    """
    app = open_app(root, actor="service")
    others, refused = open_others(root, app.settings.model_name, settings)
    running = create_service(app, settings, others, refused)
    tracer = open_tracer(settings.otlp_endpoint)

    @asynccontextmanager
    async def lifespan(_application: object) -> AsyncIterator[None]:
        async with running.for_as_long_as_it_serves():
            yield
        await asyncio.to_thread(tracer.close)

    first, *beside = (model.service for model in running.models)
    return create_app(
        first,
        lifespan=lifespan,
        needs_keys=decide_on_keys(settings, first.keys),
        trusted_hosts=choose_trusted_hosts(settings),
        tracer=tracer,
        platform=find_platform(settings.platform, os.environ),
        others=beside,
        refused=running.refused,
    )


def open_others(
    root: Path, first_name: str, settings: ServingSettings
) -> tuple[dict[str, App], dict[str, str]]:
    """Open the workspaces of the other models; one that cannot be opened costs only its own model.

    Args:
        root: The workspace of the first model, to which other folders are relative.
        first_name: Of the first model.
        settings: Of the service.

    Returns:
        The workspaces by the name of their model, and by name why one cannot be opened.

    Raises:
        ConfigurationError: if two models have one name, or one workspace.
    """
    others, refused = dict[str, App](), dict[str, str]()
    names = {root.resolve(): first_name}
    for name, folder in settings.models.items():
        place = (root / folder).resolve()
        if name == first_name or place in names:
            raise ConfigurationError(
                f"the model {name} is served already, as {names.get(place, name)}",
                where=str(place),
                hint="serving.models and --model give each other workspace a name of its own; the first "
                "model's is model_name",
            )
        names[place] = name
        try:
            others[name] = open_app(place, actor="service")
        except MaskloopError as error:
            _log.error("the model %s does not answer: %s", name, error)
            refused[name] = error.headline
    return others, refused


def find_what_is_too_large(folders: Mapping[str, Path], settings: ServingSettings) -> dict[str, str]:
    """Return which models the memory for models can never hold, by name, each with the reason.

    Args:
        folders: By name, the copy of the champion on this machine; one not there yet is weighed later.
        settings: Of the service.

    Raises:
        RefusedError: if that is every model.
    """
    memory, refused = open_memory(settings), dict[str, str]()
    for name, folder in folders.items():
        try:
            memory.refuse_if_too_large(name, size_of(folder))
        except RefusedError as error:
            refused[name] = str(error)
            if len(refused) == len(folders):
                raise
    return refused


def open_memory(settings: ServingSettings) -> Memory:
    """Return the memory for models of one process: workers share what the setting allows."""
    return Memory(
        settings.memory_mib / settings.workers,
        keep_s=settings.keep_loaded_s,
        give_back=give_freed_memory_back,
    )


def create_service(
    app: App,
    settings: ServingSettings,
    others: Mapping[str, App] = MappingProxyType({}),
    refused: Mapping[str, str] = MappingProxyType({}),
) -> RunningService:
    """Put the parts together. Nothing is loaded yet, and no process is started.

    Args:
        app: Of the first model, which is asked where a request names none.
        settings: Of the service, and of the first model.
        others: Workspaces of other models, by name.
        refused: Why a model has no workspace, by name.
    """
    cores = Cores(lambda: app.machine, app.settings.training.device)
    shared = Shared(
        settings,
        open_memory(settings),
        MicroBatcher(settings, cores=cores),
        app.keys,
        RateLimiter(settings.rate_limit, workers=settings.workers),
    )
    models, cannot = [create_model(app, app.settings.model_name, settings, shared)], dict(refused)
    for name, other in others.items():
        try:
            own = choose_settings(other.settings.serving, settings)
            models.append(create_model(other, name, own, shared))
        except MaskloopError as error:
            _log.error("the model %s does not answer: %s", name, error)
            cannot[name] = error.headline
    return RunningService(settings, tuple(models), cannot)


@dataclass(frozen=True)
class RunningService:
    """A service with what runs beside its requests.

    Attributes:
        settings: Of the service.
        models: That it answers with; the first is asked where a request names none.
        refused: Why a model is none of them, by name.
    """

    settings: ServingSettings
    models: tuple[RunningModel, ...]
    refused: Mapping[str, str]

    @asynccontextmanager
    async def for_as_long_as_it_serves(self) -> AsyncIterator[None]:
        """Keep models and rollouts up to date while the body runs; then finish what was accepted."""
        settings = self.settings
        try:
            if settings.workers > 1:
                await self._look_before_accepting()
            with stop_noticed(self._announce_stop, notice_s=settings.stop_notice_s):
                read_keys = in_thread(self.models[0].service.keys.refresh)
                beside = [self._keep_up_to_date(), repeat("the API keys", read_keys, every_s=READ_EVERY_S)]
                for model in self.models:
                    look, every_s = in_thread(model.look_at_the_loop), model.service.settings.refresh_s
                    beside += [
                        model.service.decoders.warm_up(),
                        repeat(f"the rollout of {model.service.name}", look, every_s=every_s),
                    ]
                if settings.workers == 1:
                    large_pages = in_thread(use_large_pages)
                    beside.append(repeat("large pages", large_pages, every_s=_LARGE_PAGES_EVERY_S))
                async with running(*beside):
                    yield
        finally:
            await asyncio.gather(*(model.close() for model in self.models))

    async def _look_before_accepting(self) -> None:
        """Load what serves first: a new worker is idle, so it would draw most connections and refuse them."""
        for model in self.models:
            await self._look_first(model)

    async def _look_first(self, model: RunningModel) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_LOOK_S):
                await model.host.refresh()

    async def _keep_up_to_date(self) -> None:
        """Load the models in their order, as many as fit, and look after each of them from then on."""
        async with asyncio.TaskGroup() as group:
            for model in self.models:
                await self._look_first(model)
                name, every_s = model.service.name, model.service.settings.refresh_s
                group.create_task(repeat(f"keeping {name} up to date", model.host.refresh, every_s=every_s))

    def _announce_stop(self) -> None:
        for model in self.models:
            model.service.engine.announce_stop()
