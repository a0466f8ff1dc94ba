"""Which frames of a video become production samples: some, apart in time.

Neighbouring frames show the same, and a drift verdict counts scenes, not pictures (ADR 0023): more frames of
a scene would only fill the log. Those that lie a gap apart and still show one scene are left to the verdict.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dataset.pictures.decoding import encode_png
from dataset.videos.frames import Frame
from flows.answering.batch_prediction import log_sample
from maskloop.clock import Clock
from models.answering.prediction import Prediction
from models.ports import Predictor
from monitoring.samples.sample_log import SampleLog
from registry.champion.serving_copy import ServedModel


class FrameSamples(Protocol):
    """Takes some of the frames."""

    @property
    def last_s(self) -> float | None:
        """Time of the newest frame that was taken; None before the first."""
        ...

    def go_on_from(self, last_s: float | None) -> None:
        """Take up the work of a run that was killed."""
        ...

    def is_due(self, frame: Frame) -> bool:
        """Tell whether a frame is to be taken."""
        ...

    def log(self, frame: Frame, pixels: NDArray[np.uint8], prediction: Prediction) -> None:
        """Take it, uint8 (H, W, 3), with all that the model found in it. Taking it again changes nothing."""
        ...


class NoSamples:
    """Takes none: the model that answers is not the champion, or nobody asked for samples."""

    last_s: float | None = None

    def go_on_from(self, last_s: float | None) -> None:
        """See the port."""

    def is_due(self, frame: Frame) -> bool:
        """See the port."""
        return False

    def log(self, frame: Frame, pixels: NDArray[np.uint8], prediction: Prediction) -> None:
        """See the port; pixels are uint8 (H, W, 3)."""


class SpacedSamples:
    """Takes frames that lie a gap or more apart. Frames that may be smeared are left out.

    Args:
        samples: The log.
        clock: Says when a sample came.
        served: The champion, which answers.
        predictor: The same, loaded.
        source: Where the video comes from.
        gap_s: The least time between two of them.
    """

    def __init__(
        self,
        samples: SampleLog,
        clock: Clock,
        served: ServedModel,
        predictor: Predictor,
        source: str,
        gap_s: float,
    ) -> None:
        self._samples, self._clock, self._served, self._predictor = samples, clock, served, predictor
        self._source, self._gap_s = source, gap_s
        self.last_s: float | None = None

    def go_on_from(self, last_s: float | None) -> None:
        """See the port."""
        self.last_s = last_s

    def is_due(self, frame: Frame) -> bool:
        """See the port."""
        return not frame.is_doubtful and is_apart(frame.time_s, self.last_s, self._gap_s)

    def log(self, frame: Frame, pixels: NDArray[np.uint8], prediction: Prediction) -> None:
        """See the port; pixels are uint8 (H, W, 3)."""
        log_sample(
            self._samples,
            self._served,
            self._predictor,
            received_at=self._clock.now(),
            source=self._source,
            data=encode_png(pixels),
            answered=(pixels, prediction),
        )
        self.last_s = frame.time_s


def is_apart(time_s: float, last_s: float | None, gap_s: float) -> bool:
    """Tell whether a frame lies a gap or more behind the last sample.

    >>> is_apart(0.0, None, 10.0), is_apart(9.9, 0.0, 10.0), is_apart(0.6, 0.4, 0.2)
    (True, False, True)
    """
    return last_s is None or round(time_s - last_s, 6) >= gap_s
