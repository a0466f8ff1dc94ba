"""One picture in, one answer out: which model answers, which one replaces it, and what the other one finds.

The answer never waits for the shadow. Both models' answers about a picture are passed on as a pair.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from maskloop.errors import DeadlineError, MaskloopError, OverloadedError, PictureError, UnavailableError
from maskloop.settings.workspace_settings import ServingSettings
from serving.answering.batching import MicroBatcher
from serving.answering.hosting import Hosted, ModelHost
from serving.answers import Answer, Attempt, HostedModel, PairedAnswer, RequestPicture, Role
from serving.observing import MirrorOutcome, Observer
from serving.routing import Counted, choose_role, wants_mirror

_log = logging.getLogger("maskloop.serving")
_SHADOW_DEADLINE_S: Final = 20.0

OnPair = Callable[[PairedAnswer], None]


class Engine:
    """Answers pictures with the hosted models.

    Args:
        host: The models.
        batcher: Runs them.
        settings: Of the service.
        observer: Is told about answers and mirrored pictures.
        on_pair: Gets what both models said about one picture; must not block.
    """

    def __init__(
        self,
        host: ModelHost,
        batcher: MicroBatcher,
        settings: ServingSettings,
        *,
        observer: Observer,
        on_pair: OnPair,
    ) -> None:
        self._host, self._batcher, self._settings = host, batcher, settings
        self._line = batcher.open_line(observer)
        self._observer, self._on_pair = observer, on_pair
        self._counted = Counted()
        self._is_stopping = False
        self._mirrors: set[asyncio.Task[None]] = set()

    @property
    def host(self) -> ModelHost:
        """The models."""
        return self._host

    @property
    def is_stopping(self) -> bool:
        """Announce that the service ends soon and takes no new requests."""
        return self._is_stopping

    def announce_stop(self) -> None:
        """Say from now on that the service is stopping; requests are still answered."""
        self._is_stopping = True

    def refuse_if_full(self) -> None:
        """Raise OverloadedError if a picture that came now would wait too long; before it is even decoded."""
        self._line.refuse_if_full(self._settings.request_timeout_s)

    async def answer(self, picture: RequestPicture, *, deadline_s: float | None = None) -> Answer:
        """Answer one picture from one version, which the answer names.

        If the challenger fails, the champion answers instead; the client does not see the failure.

        Raises:
            UnavailableError: if no model is ready or the service is stopping.
            OverloadedError: if its turn would come too late.
            DeadlineError: if it was not answered in time.
            PictureError: if the model refuses the picture.
            IntegrityError: if the champion computes something that is not finite.
        """
        hosted = self._host.hosted
        started = time.monotonic()
        deadline_s = deadline_s or self._settings.request_timeout_s
        role = choose_role(hosted.traffic, picture.key, self._counted)
        if role == "challenger" and hosted.challenger:
            try:
                answer = await self._ask(hosted.challenger, picture, deadline_s / 2)
            except (OverloadedError, PictureError):
                raise  # not the challenger's fault
            except Exception as error:  # noqa: BLE001 - whatever a bad model raises
                left_s = max(deadline_s - (time.monotonic() - started), 0.001)
                answer = await self._replace_challenger(hosted, picture, left_s, started, error)
            else:
                self._mirror(hosted, picture, answer, time.monotonic() - started)
        else:
            answer = await self._ask(hosted.champion, picture, deadline_s)
            self._mirror(hosted, picture, answer, time.monotonic() - started)
        return answer

    async def ask_model(self, model: HostedModel, picture: RequestPicture) -> Answer:
        """Ask one certain model, past every rollout; raises what `answer` does."""
        return await self._ask(model, picture, self._settings.request_timeout_s)

    async def close(self) -> None:
        """Give up the shadow work and finish what was accepted."""
        self.announce_stop()
        for task in self._mirrors:
            task.cancel()
        await asyncio.gather(*self._mirrors, return_exceptions=True)
        await self._batcher.drain(self._settings.drain_s)

    async def _ask(
        self, model: HostedModel, picture: RequestPicture, deadline_s: float, *, shadow: bool = False
    ) -> Answer:
        answer = await self._line.submit(model, picture, deadline_s=deadline_s, shadow=shadow)
        if model.novelty is None:
            return answer
        return replace(answer, novelty=model.novelty.score(answer.prediction.embedding))

    async def _replace_challenger(
        self, hosted: Hosted, picture: RequestPicture, left_s: float, started: float, error: Exception
    ) -> Answer:
        answer = await self._ask(hosted.champion, picture, left_s)
        if hosted.challenger:
            failed = _failed(hosted.challenger, error)
            self._hand_on(hosted, picture, _done(answer), failed, "challenger", time.monotonic() - started)
        return answer

    def _mirror(self, hosted: Hosted, picture: RequestPicture, answer: Answer, latency_s: float) -> None:
        """Ask the other model too, in the shadow, if a rollout wants that."""
        other = hosted.challenger if answer.model.role == "champion" else hosted.champion
        if other is None or not wants_mirror(hosted.traffic, picture.request_id):
            return
        task = asyncio.create_task(self._compare(hosted, picture, answer, other, latency_s))
        self._mirrors.add(task)
        task.add_done_callback(self._mirrors.discard)

    async def _compare(
        self, hosted: Hosted, picture: RequestPicture, answer: Answer, other: HostedModel, latency_s: float
    ) -> None:
        try:
            attempt = _done(await self._ask(other, picture, _SHADOW_DEADLINE_S, shadow=True))
        except (OverloadedError, DeadlineError, UnavailableError):
            self._observer.mirrored("dropped")
            return
        except Exception as error:  # noqa: BLE001 - whatever a bad model raises is what we want to know
            attempt = _failed(other, error)
        mine, role = await self._time_alone(answer, picture), answer.model.role
        champion, challenger = (mine, attempt) if role == "champion" else (attempt, mine)
        self._hand_on(hosted, picture, champion, challenger, role, latency_s)

    async def _time_alone(self, answer: Answer, picture: RequestPicture) -> Attempt:
        """Return the answer with the time it takes alone: its part of a large batch is no fair comparison."""
        mine = _done(answer)
        if answer.batch_size == 1:
            return mine
        try:
            alone = _done(await self._ask(answer.model, picture, _SHADOW_DEADLINE_S, shadow=True))
        except MaskloopError:
            return mine  # it is busy: the part of the batch has to do
        return replace(mine, seconds=alone.seconds)

    def _hand_on(
        self,
        hosted: Hosted,
        picture: RequestPicture,
        champion: Attempt,
        challenger: Attempt,
        answered_by: Role,
        latency_s: float,
    ) -> None:
        outcome: MirrorOutcome = "champion_failed" if champion.error else "compared"
        self._observer.mirrored("challenger_failed" if challenger.error else outcome)
        try:
            self._on_pair(
                PairedAnswer(
                    cycle_id=hosted.traffic.cycle_id,
                    picture=picture,
                    answered_by=answered_by,
                    champion=champion,
                    challenger=challenger,
                    latency_s=latency_s,
                )
            )
        except Exception:  # noqa: BLE001 - no client may suffer from what is only recorded
            _log.exception("a pair of answers could not be handed on")


def _done(answer: Answer) -> Attempt:
    seconds = answer.stages_s.get("model", 0.0) / max(answer.batch_size, 1)
    return Attempt(answer.model.served.weights_digest, answer, "", seconds)


def _failed(model: HostedModel, error: Exception) -> Attempt:
    reason = error.headline if isinstance(error, MaskloopError) else f"{type(error).__name__}: {error}"
    return Attempt(model.served.weights_digest, None, reason or type(error).__name__, 0.0)
