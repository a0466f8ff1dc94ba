"""The cloud service behind a device: asked about uncertain pictures, and sent the samples of the outbox."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from maskloop.errors import (
    DataError,
    ForbiddenError,
    MaskloopError,
    PictureError,
    UnauthorisedError,
    UnavailableError,
)
from serving.answers import Answer
from serving.client import Client, PredictOptions
from serving.edge.doubt import measure_doubt
from serving.edge.manifest import CloudRule
from serving.edge.outbox import Outbox
from serving.schemas import Asked, EdgeNote, PredictAnswer

_log = logging.getLogger("maskloop.serving")
REST_S: Final = 30.0
"""After a failure the cloud is not asked for so long: no answer must wait for it each time."""


class CloudLink:
    """The cloud service, left alone for a while after it did not answer. Safe to use from several threads.

    Args:
        client: Of the cloud service, with one attempt.
        now: Seconds of a clock that never goes back, for tests.
    """

    def __init__(self, client: Client, *, now: Callable[[], float] = time.monotonic) -> None:
        self._client, self._now = client, now
        self._rests_until, self._trouble = 0.0, ""

    def ask(self, data: bytes, options: PredictOptions) -> PredictAnswer:
        """Let the cloud answer a picture. Blocking.

        Raises:
            UnavailableError: if it does not answer, or did not a moment ago.
            UnauthorisedError, ForbiddenError: if the device's key is not accepted.
            DataError: if it does not take the picture.
        """
        if self._now() < self._rests_until:
            raise UnavailableError(f"it did not answer a moment ago: {self._trouble}")
        try:
            return self._client.predict(data, **options)
        except (UnavailableError, UnauthorisedError, ForbiddenError) as error:
            self._rests_until, self._trouble = self._now() + REST_S, error.headline
            raise

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class CloudOpinion:
    """Fulfils `serving.answering.service.SecondOpinion`: the cloud answers what is uncertain here.

    Args:
        link: The cloud; None where none is named.
        rule: Which answers are uncertain.
        outbox: Forgets pictures that the cloud has got.
        tell: Is told who answered, and in a word why.
    """

    def __init__(
        self,
        link: CloudLink | None,
        rule: CloudRule,
        outbox: Outbox,
        tell: Callable[[str, str], None],
    ) -> None:
        self._link, self._rule, self._outbox, self._tell = link, rule, outbox, tell

    async def hear(self, rendered: PredictAnswer, answer: Answer, data: bytes, asked: Asked) -> PredictAnswer:
        """Return the cloud's answer if the device's is uncertain and the cloud gives one. Never raises."""
        doubt = measure_doubt(answer.prediction.detections, answer.model.predictor.score_threshold)
        limit = self._rule.max_doubt
        if doubt <= limit:
            return self._by_edge(rendered, doubt, "certain", f"the doubt {doubt:.3f} is at most {limit:.3f}")
        uncertain = f"the doubt {doubt:.3f} is above {limit:.3f}"
        if self._link is None:
            return self._by_edge(rendered, doubt, "no_cloud", f"{uncertain}, and no cloud service is named")
        options = _options_of(asked, rendered.request_id)
        try:
            found = await asyncio.to_thread(self._link.ask, data, options)
        except MaskloopError as error:
            why = f"{uncertain}, but the cloud service gave no answer: {error.headline}"
            return self._by_edge(rendered, doubt, "cloud_failed", why)
        except Exception as error:  # noqa: BLE001 - whatever happens there, the answer from here is ready
            _log.exception("the cloud service could not be asked")
            why = f"{uncertain}, but the cloud service could not be asked: {type(error).__name__}"
            return self._by_edge(rendered, doubt, "cloud_failed", why)
        self._outbox.forget(rendered.request_id)
        self._tell("cloud", "uncertain")
        note = EdgeNote(answered_by="cloud", doubt=round(doubt, 4), reason=uncertain)
        return found.model_copy(update={"edge": note})

    def _by_edge(self, rendered: PredictAnswer, doubt: float, cause: str, reason: str) -> PredictAnswer:
        self._tell("edge", cause)
        note = EdgeNote(answered_by="edge", doubt=round(doubt, 4), reason=reason)
        return rendered.model_copy(update={"edge": note})


def send_oldest(link: CloudLink, outbox: Outbox, tell: Callable[[str], None]) -> None:
    """Send the sample that waits longest under its own id: the cloud counts an id once. Blocking.

    Killed before it is taken out, the sample is sent again.

    Raises:
        UnavailableError, UnauthorisedError, ForbiddenError: if it cannot be sent now; it stays.
    """
    oldest = outbox.oldest()
    if oldest is None:
        return
    name, sample = oldest
    options: PredictOptions = {"request_id": sample.request_id, "source": sample.source, "masks": "none"}
    try:
        link.ask(sample.data, options)
        tell("sent")
    except (DataError, PictureError) as error:
        _log.warning("the cloud service does not take a sample, which is dropped: %s", error)
        tell("refused")
    outbox.remove(name)


def _options_of(asked: Asked, request_id: str) -> PredictOptions:
    options: PredictOptions = {
        "request_id": request_id,
        "masks": asked.masks,
        "max_instances": asked.max_instances,
        "source": asked.source,
    }
    if asked.min_score is not None:
        options["min_score"] = asked.min_score
    if asked.tile_px:
        options["tile_px"] = asked.tile_px
    if asked.tile_overlap_px is not None:
        options["tile_overlap_px"] = asked.tile_overlap_px
    return options
