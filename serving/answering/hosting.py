"""The models in memory. What should be there is asked again and again; what changed is loaded, then swapped.

A request keeps the model it began with until it is answered, so the old model is freed with the last such
request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from maskloop.errors import MaskloopError, RefusedError, UnavailableError
from serving.answering.cores import Cores, OneCore, open_thread
from serving.answers import HostedModel, ModelSource, Role, Traffic, Wanted
from serving.observing import Observer
from serving.residency.memory import Memory, NoRoomError, Place
from serving.schemas import ModelState

if TYPE_CHECKING:
    from dataset.raw.conversion import PictureConversion
    from registry.champion.serving_copy import ServedModel

_Result = TypeVar("_Result")
_log = logging.getLogger("maskloop.serving")
_TRY_AGAIN_S: Final = 30.0
"""Pause before a challenger that could not be loaded is tried again."""
_WARM_UP_SIDES_PX: Final = (128, 128, 256)


@dataclass(frozen=True, eq=False)
class Hosted:
    """The models that answer now, as one consistent value."""

    champion: HostedModel
    challenger: HostedModel | None
    traffic: Traffic


class ModelHost:
    """Keeps the wanted models loaded and warm, while memory allows.

    Args:
        source: Says what should serve, and loads it.
        observer: Is told when that changes.
        cores: Loading takes one of them: it takes the least from the requests that are answered meanwhile.
        settle: Is called when a model is loaded and warm, before it answers.
        place: In the memory; by default one without limits.
    """

    def __init__(
        self,
        source: ModelSource,
        observer: Observer,
        *,
        cores: Cores | None = None,
        settle: Callable[[], object] = lambda: None,
        place: Place | None = None,
    ) -> None:
        self._source, self._observer, self._settle = source, observer, settle
        self.place = place or Memory().open_place("model")
        self.place.attach(self)
        self._hosted: Hosted | None = None
        self._wanted: Wanted | None = None
        self._shown: tuple[object, ...] = ()
        self._problem, self._said = "no model has been loaded yet", ""
        self._given_up, self._try_again_at = "", 0.0
        self._is_asleep, self._is_loading, self._has_looked = False, False, False
        self._lock = asyncio.Lock()
        self._thread = open_thread("loading", cores or OneCore(), 1)

    @property
    def hosted(self) -> Hosted:
        """What answers now. Raises UnavailableError as long as there is nothing."""
        if self._hosted is None:
            raise UnavailableError(f"the service is not ready: {self._problem}")
        return self._hosted

    @property
    def wanted(self) -> Wanted | None:
        """What should serve, as of the last look; None before the first one that succeeded."""
        return self._wanted

    @property
    def is_ready(self) -> bool:
        """A warmed champion is there."""
        return self._hosted is not None

    @property
    def is_asleep(self) -> bool:
        """Nothing is loaded because others have the memory; the next request loads it."""
        return self._is_asleep

    @property
    def can_answer(self) -> bool:
        """A request would be answered, though it may have to wait until the model is loaded."""
        return self.is_ready or self._is_asleep

    @property
    def state(self) -> ModelState:
        """What a list of models says."""
        if self.is_ready:
            return "loaded"
        if self._is_loading or not self._has_looked:
            return "loading"
        return "refused" if self._problem and not self._is_asleep else "not_loaded"

    @property
    def problem(self) -> str:
        """Why the service is not ready, or why what is wanted is not what serves; empty if all is well."""
        return self._problem

    async def refresh(self) -> None:
        """Bring memory in line with what is wanted. Whatever goes wrong, what serves now serves on.

        What others left no room for is not loaded here, but when it is asked for.
        """
        await self._refresh(is_asked_for=self.is_ready)

    async def wake(self) -> None:
        """Load what is wanted now; idle models are unloaded for it, and busy ones when they have answered."""
        await self._refresh(is_asked_for=True)

    def unload(self) -> None:
        """Let everything go until it is asked for again."""
        if self._hosted is not None:
            _log.info("version %s is unloaded", self._hosted.champion.served.version)
            self._observer.unloaded()
        self._hosted, self._is_asleep, self._shown = None, True, ()
        self._keep()

    def close(self) -> None:
        """Stop loading."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _refresh(self, *, is_asked_for: bool) -> None:
        async with self._lock:
            try:
                self._wanted = await self._in_thread(self._source.wanted)
                if is_asked_for or self._hosted or not self._is_asleep:
                    await self._load_wanted(self._wanted, may_displace=is_asked_for)
            except NoRoomError:
                self._is_asleep = self._hosted is None
                self._problem = self._said = ""
            except Exception as error:  # noqa: BLE001 - whatever loading a model may raise
                self._is_asleep = False
                self._say(error)
            else:
                self._problem = self._said = ""
            finally:
                self._has_looked, self._is_loading = True, False

    async def _load_wanted(self, wanted: Wanted, *, may_displace: bool) -> None:
        """Load missing models; after a restart the first requests need only the champion."""
        champion = await self._find_or_load(
            wanted.champion, "champion", may_displace=may_displace, may_replace_itself=True
        )
        before = self._hosted.challenger if self._hosted else None
        self._show(wanted, champion, before if before and _is_wanted(before, wanted.challenger) else None)
        conversion = champion.predictor.conversion
        del champion  # who waits for memory must not hold any: it may be unloaded meanwhile
        challenger = await self._load_challenger(wanted.challenger, conversion)
        if self._hosted is not None:
            self._show(wanted, self._hosted.champion, challenger)

    def _show(self, wanted: Wanted, champion: HostedModel, challenger: HostedModel | None) -> None:
        """Let these answer from now on."""
        traffic = wanted.traffic if challenger else Traffic()
        is_first, shown = self._hosted is None, (champion, challenger, traffic)
        self._is_asleep = False
        if is_first:
            self.place.mark_loaded()
        if not is_first and shown == self._shown:
            return
        self._hosted, self._shown = Hosted(champion, challenger, traffic), shown
        self._keep()
        answering = wanted.challenger if challenger else None
        self._observer.serving_changed(Wanted(wanted.champion, answering, traffic))
        self._observer.engines_changed([champion, *([challenger] if challenger else [])])

    def _keep(self) -> None:
        """Give the memory back of all that serves no more, as soon as its last request is answered."""
        models = (self._hosted.champion, self._hosted.challenger) if self._hosted else ()
        self.place.keep_only([model.predictor for model in models if model])
        self._observer.memory_changed(self.place.describe().kept_bytes)

    async def _load_challenger(
        self, served: ServedModel | None, conversion: PictureConversion
    ) -> HostedModel | None:
        """Load a challenger; its errors do not affect the champion."""
        if served is None:
            return None
        if served.weights_digest == self._given_up and time.monotonic() < self._try_again_at:
            return None
        try:
            if await self._in_thread(self._source.find_engine, served) is None:
                return None  # in another engine than the champion's it would look slow
            challenger = await self._find_or_load(served, "challenger", may_displace=True)
            _refuse_other_conversion(challenger, conversion)
            return challenger
        except Exception:  # noqa: BLE001 - whatever loading a model may raise
            _log.exception("version %s cannot be loaded as challenger", served.version)
            self._given_up, self._try_again_at = served.weights_digest, time.monotonic() + _TRY_AGAIN_S
            return None

    async def _find_or_load(
        self, served: ServedModel, role: Role, *, may_displace: bool, may_replace_itself: bool = False
    ) -> HostedModel:
        known = await self._in_thread(self._find, served, role)
        if known is not None:
            return known
        num_bytes = await self._in_thread(self._source.weigh, served)
        lease = await self.place.reserve(
            num_bytes, may_displace=may_displace, may_replace_itself=may_replace_itself
        )
        self._is_loading, started = True, time.monotonic()
        try:
            model = await self._in_thread(self._load, served, role)
        except BaseException:
            lease.end()
            raise
        finally:
            self._is_loading = False
        lease.hold(model.predictor)
        self.place.load_s = time.monotonic() - started
        self._observer.loaded(seconds=self.place.load_s)
        return model

    def _find(self, served: ServedModel, role: Role) -> HostedModel | None:
        """Return a wanted model that is loaded already, in its role from now on. On the loading thread."""
        known = (self._hosted.champion, self._hosted.challenger) if self._hosted else ()
        engine = self._source.find_engine(served)
        for model in known:
            if model and model.served.weights_digest == served.weights_digest:
                wanted = engine or model.engine
                if wanted.name != model.engine.name:
                    return None
                same = (model.role, model.served, model.engine) == (role, served, wanted)
                return model if same else replace(model, role=role, served=served, engine=wanted)
        return None

    def _load(self, served: ServedModel, role: Role) -> HostedModel:
        """Load and warm a model, on the loading thread."""
        model = self._source.load(served, role)
        warm_up(model)
        self._settle()
        _log.info("version %s is loaded as %s, in %s", served.version, role, model.engine.name)
        return model

    async def _in_thread(self, call: Callable[..., _Result], *arguments: object) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(call, *arguments))

    def _say(self, error: Exception) -> None:
        """Log the same error once; keep the part that clients may read."""
        if str(error) != self._said:
            serves_on = "; what serves now serves on" if self._hosted else ""
            _log.warning("%s%s", error, serves_on, exc_info=not isinstance(error, MaskloopError))
        self._said = str(error)
        self._problem = error.headline if isinstance(error, MaskloopError) else "the model cannot be loaded"


def _is_wanted(model: HostedModel, served: ServedModel | None) -> bool:
    return served is not None and model.served.weights_digest == served.weights_digest


def _refuse_other_conversion(challenger: HostedModel, ours: PictureConversion) -> None:
    """Refuse a challenger that reads pictures otherwise: a picture is decoded once, for both.

    Raises:
        RefusedError: naming both conversions.
    """
    theirs = challenger.predictor.conversion
    if ours != theirs:
        raise RefusedError(
            f"version {challenger.served.version} was trained on pictures converted under "
            f"{theirs.sentence()}, and the champion under {ours.sentence()}",
            hint="promote it without a rollout (rollout.enabled = false)",
        )


def warm_up(model: HostedModel) -> None:
    """Answer a few pictures of noise, so that no client pays for what happens only the first times."""
    random = np.random.default_rng(0)
    for side_px in _WARM_UP_SIDES_PX:
        model.predictor.predict([random.integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)])
