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
from typing import TYPE_CHECKING, Final

import numpy as np

from maskloop.errors import MaskloopError, RefusedError, UnavailableError
from serving.answering.cores import Cores, OneCore, open_thread
from serving.answers import HostedModel, ModelSource, Role, Traffic, Wanted
from serving.observing import Observer

if TYPE_CHECKING:
    from registry.champion.serving_copy import ServedModel

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
    """Keeps the wanted models loaded and warm.

    Args:
        source: Says what should serve, and loads it.
        observer: Is told when that changes.
        cores: Loading takes one of them: it takes the least from the requests that are answered meanwhile.
        settle: Is called when a model is loaded and warm, before it answers.
    """

    def __init__(
        self,
        source: ModelSource,
        observer: Observer,
        *,
        cores: Cores | None = None,
        settle: Callable[[], object] = lambda: None,
    ) -> None:
        self._source, self._observer, self._settle = source, observer, settle
        self._hosted: Hosted | None = None
        self._problem, self._said = "no model has been loaded yet", ""
        self._given_up, self._try_again_at = "", 0.0
        self._thread = open_thread("loading", cores or OneCore(), 1)

    @property
    def hosted(self) -> Hosted:
        """What answers now. Raises UnavailableError as long as there is nothing."""
        if self._hosted is None:
            raise UnavailableError(f"the service is not ready: {self._problem}")
        return self._hosted

    @property
    def is_ready(self) -> bool:
        """A warmed champion is there."""
        return self._hosted is not None

    @property
    def problem(self) -> str:
        """Why the service is not ready, or why what is wanted is not what serves; empty if all is well."""
        return self._problem

    async def refresh(self) -> None:
        """Bring memory in line with what is wanted. Whatever goes wrong, what serves now serves on."""
        loop = asyncio.get_running_loop()
        try:
            if self._hosted is None:  # after a restart the first requests need only the champion
                self._hosted = await loop.run_in_executor(self._thread, self._load_wanted, False)
            self._hosted = await loop.run_in_executor(self._thread, self._load_wanted, True)
        except Exception as error:  # noqa: BLE001 - whatever loading a model may raise
            self._say(error)
        else:
            self._problem = self._said = ""

    def close(self) -> None:
        """Stop loading."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _load_wanted(self, with_challenger: bool) -> Hosted:
        """Load missing models on the loading thread; the challenger's errors do not affect the champion."""
        wanted = self._source.wanted()
        now = self._hosted
        champion = self._find_or_load(wanted.champion, "champion")
        challenger = self._load_challenger(wanted.challenger, champion) if with_challenger else None
        traffic = wanted.traffic if challenger else Traffic()
        is_same = now and (now.champion, now.challenger, now.traffic) == (champion, challenger, traffic)
        if now and is_same:
            return now
        answering = wanted.challenger if challenger else None
        self._observer.serving_changed(Wanted(wanted.champion, answering, traffic))
        self._observer.engines_changed([champion, *([challenger] if challenger else [])])
        return Hosted(champion, challenger, traffic)

    def _load_challenger(self, served: ServedModel | None, champion: HostedModel) -> HostedModel | None:
        if served is None:
            return None
        if served.weights_digest == self._given_up and time.monotonic() < self._try_again_at:
            return None
        if self._source.find_engine(served) is None:
            return None  # in another engine than the champion's it would look slow
        try:
            challenger = self._find_or_load(served, "challenger")
            _refuse_other_conversion(challenger, champion)
            return challenger
        except Exception:  # noqa: BLE001 - whatever loading a model may raise
            _log.exception("version %s cannot be loaded as challenger", served.version)
            self._given_up, self._try_again_at = served.weights_digest, time.monotonic() + _TRY_AGAIN_S
            return None

    def _find_or_load(self, served: ServedModel, role: Role) -> HostedModel:
        known = (self._hosted.champion, self._hosted.challenger) if self._hosted else ()
        engine = self._source.find_engine(served)
        for model in known:
            if model and model.served.weights_digest == served.weights_digest:
                wanted = engine or model.engine
                if wanted.name != model.engine.name:
                    break
                same = (model.role, model.served, model.engine) == (role, served, wanted)
                return model if same else replace(model, role=role, served=served, engine=wanted)
        model = self._source.load(served, role)
        warm_up(model)
        self._settle()
        _log.info("version %s is loaded as %s, in %s", served.version, role, model.engine.name)
        return model

    def _say(self, error: Exception) -> None:
        """Log the same error once; keep the part that clients may read."""
        if str(error) != self._said:
            serves_on = "; what serves now serves on" if self._hosted else ""
            _log.warning("%s%s", error, serves_on, exc_info=not isinstance(error, MaskloopError))
        self._said = str(error)
        self._problem = error.headline if isinstance(error, MaskloopError) else "the model cannot be loaded"


def _refuse_other_conversion(challenger: HostedModel, champion: HostedModel) -> None:
    """Refuse a challenger that reads pictures otherwise: a picture is decoded once, for both.

    Raises:
        RefusedError: naming both conversions.
    """
    ours, theirs = champion.predictor.conversion, challenger.predictor.conversion
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
