"""What one request goes through: decode, ask the engine (by tiles if wanted), render, sample."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

import numpy as np

from dataset.pictures.decoding import encode_png
from dataset.pictures.orientation import orient_size, undo
from evaluation.instances import Detections
from evaluation.overlays import draw_overlay
from maskloop.errors import DataError, DeadlineError, MaskloopError, NotFoundError, UnavailableError
from maskloop.settings.workspace_settings import ServingSettings
from models.answering.instance_json import list_instances
from serving.access.keys import KeyStore
from serving.access.limits import RateLimiter
from serving.answering.decoding import DecoderPool
from serving.answering.engine import Engine
from serving.answering.hosting import Hosted
from serving.answering.rendering import (
    describe_traffic,
    make_smaller,
    name_model,
    render_instances,
    render_novelty,
)
from serving.answering.tiling import cut_tiles, merge_best
from serving.answers import Answer, RequestPicture
from serving.observing import Observer, Stage
from serving.residency.memory import MIB
from serving.schemas import (
    Asked,
    FeedbackRequest,
    ModelAnswer,
    ModelName,
    PictureSize,
    PredictAnswer,
    ServedModelAnswer,
)
from serving.telemetry.spans import current_trace_id, record_stages

_LONGEST_DRAWN_PX: Final = 2048


class OutOfDistributionError(DataError):
    """The picture is unlike everything the model knows, and settings say to refuse such ones."""


class SampleTaker(Protocol):
    """Takes answers as samples; never blocks, never raises."""

    def offer(
        self, picture: RequestPicture, answer: Answer | None, *, error: str = "", source: str = ""
    ) -> None:
        """Take one answer, or one failure, if quotas allow."""
        ...


class SecondOpinion(Protocol):
    """May put another answer in the place of one that is ready."""

    async def hear(self, rendered: PredictAnswer, answer: Answer, data: bytes, asked: Asked) -> PredictAnswer:
        """Return the answer that the client gets. Never raises.

        Args:
            rendered: It, as it would go out.
            answer: What the model said.
            data: The picture's bytes as they came.
            asked: What the client asked for.
        """
        ...


GiveFeedback = Callable[[FeedbackRequest, str], bool]
"""Takes what a person said and who (the key's name); tells whether it becomes a label. Blocking."""


@dataclass(frozen=True)
class Service:
    """The parts behind the routes.

    Attributes:
        model_name: The registered model's name.
        name: Under which clients and keys name it.
        settings: Of the service.
        engine: Answers pictures.
        decoders: Decode them.
        keys: Who may ask.
        limiter: How often.
        samples: Takes answers as samples.
        observer: Is told about everything.
        give_feedback: Takes what people say.
        render_metrics: Returns the metrics page and its content type.
        read_page: Returns a page for people and its kind, by its path; None where there are none.
        second_opinion: Is heard about each answer before it goes out; None for none.
    """

    model_name: str
    name: str
    settings: ServingSettings
    engine: Engine
    decoders: DecoderPool
    keys: KeyStore
    limiter: RateLimiter
    samples: SampleTaker
    observer: Observer
    give_feedback: GiveFeedback
    render_metrics: Callable[[], tuple[bytes, str]]
    read_page: Callable[[str], tuple[bytes, str]] | None = None
    second_opinion: SecondOpinion | None = None

    async def predict(self, data: bytes, asked: Asked, *, request_id: str, key: str) -> PredictAnswer:
        """Answer one picture.

        Raises:
            PictureError: if it cannot be decoded or is too large.
            OutOfDistributionError: if it is unlike everything the model knows and settings refuse such.
            QuotaError: if so many pictures of this model are in flight already.
            UnavailableError: if it cannot be answered in time, or no model is ready.
        """
        picture, answer = await self.ask(data, asked, request_id=request_id, key=key)
        started = time.perf_counter()
        is_at_hand = asked.masks in ("rle", "none") and picture.orientation == 1
        if is_at_hand:  # a thread would cost more than it saves
            rendered = self._render(picture, answer, asked)
        else:
            rendered = await asyncio.to_thread(self._render, picture, answer, asked)
        stages_s = {**answer.stages_s, "encode": time.perf_counter() - started}
        record_stages(stages_s)
        _later(partial(self._tell, answer, stages_s))
        rendered.timings_ms.update({name: round(seconds * 1000, 3) for name, seconds in stages_s.items()})
        if self.second_opinion:
            return await self.second_opinion.hear(rendered, answer, data, asked)
        return rendered

    async def draw(self, data: bytes, asked: Asked, *, request_id: str, key: str) -> tuple[bytes, ModelName]:
        """Answer one picture as a PNG with the instances drawn on it, upright; raises what `predict` does."""
        picture, answer = await self.ask(data, asked, request_id=request_id, key=key)
        record_stages(answer.stages_s)
        self._tell(answer, answer.stages_s)
        png = await asyncio.to_thread(_draw, picture, answer, asked.min_score)
        return png, name_model(answer.model, self.model_name)

    async def ask(
        self, data: bytes, asked: Asked, *, request_id: str, key: str
    ) -> tuple[RequestPicture, Answer]:
        """Decode one picture and let the engine answer it; what comes of it is offered as a sample."""
        nothing = np.zeros((0, 0, 3), np.uint8)
        picture = RequestPicture(request_id, key, data, nothing, trace_id=current_trace_id())
        limit_s = self.settings.request_timeout_s
        try:
            async with self.engine.host.place.use(), asyncio.timeout(limit_s):
                self.engine.refuse_if_full()
                started = time.perf_counter()
                conversion = self.engine.host.hosted.champion.predictor.conversion
                decoded = await self.decoders.decode(data, conversion)
                decode_s = time.perf_counter() - started
                picture = replace(
                    picture,
                    data=decoded.stored or data,
                    pixels=decoded.pixels,
                    orientation=decoded.orientation,
                )
                answer = await self._ask_engine(picture, asked)
        except TimeoutError as error:
            raise DeadlineError(f"there was no answer within {limit_s:g} s") from error
        except UnavailableError:
            raise  # which says nothing about the picture
        except Exception as error:
            reason = error.headline if isinstance(error, MaskloopError) else type(error).__name__
            self.samples.offer(picture, None, error=reason, source=asked.source)
            raise
        answer = replace(answer, stages_s={"decode": decode_s, **answer.stages_s})
        _later(partial(self.samples.offer, picture, answer, source=asked.source))
        self._refuse_if_strange(answer)
        return picture, answer

    async def _ask_engine(self, picture: RequestPicture, asked: Asked) -> Answer:
        if not asked.tile_px:
            return await self.engine.answer(picture)
        started = time.perf_counter()
        overlap_px = asked.tile_px // 4 if asked.tile_overlap_px is None else asked.tile_overlap_px
        tiles = cut_tiles(picture.pixels, tile_px=asked.tile_px, overlap_px=overlap_px)
        parts = [
            replace(picture, request_id=f"{picture.request_id}/{number}", pixels=tile.pixels)
            for number, tile in enumerate(tiles)
        ]
        answers = await self._ask_parts(parts, self.engine.answer)
        if len({answer.model.served.version for answer in answers}) > 1:  # the champion changed in between
            champion = self.engine.host.hosted.champion
            answers = await self._ask_parts(parts, lambda part: self.engine.ask_model(champion, part))
        found = [(tile, answer.prediction.detections) for tile, answer in zip(tiles, answers, strict=True)]
        height_px, width_px = picture.pixels.shape[:2]
        merged = await asyncio.to_thread(merge_best, found, height_px=height_px, width_px=width_px)
        return _join(answers, merged, time.perf_counter() - started)

    async def _ask_parts(
        self, parts: Sequence[RequestPicture], ask: Callable[[RequestPicture], Awaitable[Answer]]
    ) -> list[Answer]:
        """Ask about one pass's worth of parts after the other, so that others get their turn in between."""
        answers: list[Answer] = []
        for start in range(0, len(parts), self.settings.max_batch):
            answers += await asyncio.gather(*map(ask, parts[start : start + self.settings.max_batch]))
        return answers

    def _render(self, picture: RequestPicture, answer: Answer, asked: Asked) -> PredictAnswer:
        found, predictor = answer.prediction.detections, answer.model.predictor
        height_px, width_px = orient_size(found.height_px, found.width_px, undo(picture.orientation))
        told = list_instances(
            found,
            predictor.class_names,
            orientation=picture.orientation,
            threshold=predictor.score_threshold if asked.min_score is None else asked.min_score,
            max_instances=asked.max_instances,
        )
        return PredictAnswer(
            request_id=picture.request_id,
            model=name_model(answer.model, self.model_name),
            picture=PictureSize(width_px=width_px, height_px=height_px),
            instances=render_instances(told, asked.masks),
            novelty=render_novelty(answer),
            timings_ms={},
            batch_size=answer.batch_size,
        )

    def _refuse_if_strange(self, answer: Answer) -> None:
        is_strange = answer.novelty is not None and answer.novelty.is_out_of_distribution
        if is_strange and self.settings.when_out_of_distribution == "refuse":
            raise OutOfDistributionError(
                "the picture is unlike everything the model was trained on",
                hint='send one of the kind it was trained on; serving.when_out_of_distribution = "flag" '
                "answers such pictures and marks them",
            )

    def _tell(self, answer: Answer, stages_s: Mapping[str, float]) -> None:
        version = answer.model.served.version
        stages: tuple[Stage, ...] = ("decode", "queue", "model", "encode")
        for stage in stages:
            if stage in stages_s:
                self.observer.stage_ended(stage, version=version, seconds=stages_s[stage])
        self.observer.answered(answer, score_threshold=answer.model.predictor.score_threshold)

    def why_not_ready(self) -> str:
        """Return why no request can be answered now, or an empty string."""
        if self.engine.is_stopping:
            return "the service is stopping"
        return "" if self.engine.host.can_answer else self.engine.host.problem

    async def describe_model(self) -> ModelAnswer:
        """Say which model serves, having loaded it. Raises UnavailableError before there is one."""
        async with self.engine.host.place.use():
            return self._describe(self.engine.host.hosted)

    def describe_place(self) -> ServedModelAnswer:
        """Say whether the model is loaded, which version it is, and what it takes; loads nothing."""
        host = self.engine.host
        served = host.wanted.champion if host.wanted else None
        return ServedModelAnswer(
            name=self.name,
            state=host.state,
            version=served.version if served else "",
            weights_digest=served.weights_digest if served else "",
            blessing_id=served.blessing_id if served else "",
            memory_mib=round(host.place.num_bytes / MIB, 3),
            in_flight=host.place.num_in_flight,
            problem=host.problem,
        )

    def _describe(self, hosted: Hosted) -> ModelAnswer:
        predictor = hosted.champion.predictor
        threshold = predictor.score_threshold
        own = threshold if isinstance(threshold, tuple) else ()
        return ModelAnswer(
            model=name_model(hosted.champion, self.model_name),
            class_names=list(predictor.class_names),
            score_threshold=min(own) if isinstance(threshold, tuple) else threshold,
            class_score_thresholds=dict(zip(predictor.class_names, own, strict=False)),
            picture_conversion=predictor.conversion.sentence(),
            engine_reason=hosted.champion.engine.reason,
            rollout=describe_traffic(hosted.traffic) if hosted.challenger else None,
        )

    async def take_feedback(self, feedback: FeedbackRequest, by: str) -> bool:
        """Check a person's feedback and record it; returns whether it becomes a label.

        Raises:
            DataError: if a class is none of the model's.
            NotFoundError: if the request was not sampled.
            UnavailableError: if no model is ready.
        """
        async with self.engine.host.place.use():
            known = tuple(self.engine.host.hosted.champion.predictor.class_names)
        unknown = sorted({one.class_name for one in feedback.instances or ()} - set(known))
        if unknown:
            names = ", ".join(known)
            raise DataError(f"no class is called {', '.join(unknown)[:200]}", hint=f"the classes are {names}")
        if not feedback.request_id.isprintable():
            raise NotFoundError("there is no such request")
        return await asyncio.to_thread(self.give_feedback, feedback, by)


def _later(tell: Callable[[], None]) -> None:
    """Report an answer after it was sent, so that no client waits for that."""
    asyncio.get_running_loop().call_soon(tell)


def _draw(picture: RequestPicture, answer: Answer, min_score: float | None) -> bytes:
    predictor, detections = answer.model.predictor, answer.prediction.detections
    threshold = predictor.score_threshold if min_score is None else min_score
    shown = detections.select(detections.reach(threshold))
    pixels, shown = make_smaller(picture.pixels, shown, longest_px=_LONGEST_DRAWN_PX)
    return encode_png(draw_overlay(pixels, shown, None, predictor.class_names))


def _join(answers: Sequence[Answer], merged: Detections, seconds: float) -> Answer:
    """Make one answer of the tiles', with the strangest one's novelty and the seconds of all together."""
    first = answers[0]
    known = [answer.novelty for answer in answers if answer.novelty is not None]
    strangest = max(known, key=lambda novelty: (novelty.is_out_of_distribution, novelty.score), default=None)
    queue_s = first.stages_s["queue"]
    return replace(
        first,
        prediction=replace(first.prediction, detections=merged),
        novelty=strangest,
        stages_s={"queue": queue_s, "model": max(seconds - queue_s, 0.0)},
        batch_size=max(answer.batch_size for answer in answers),
    )
