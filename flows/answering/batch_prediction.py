"""Pictures from production go through the champion; every answer is logged as a sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset.pictures.decoding import DecodedPicture, encode_png
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.raw.conversion import PictureConversion
from evaluation.instances import ScoreThreshold
from evaluation.overlays import draw_overlay
from flows.answering.incoming import IncomingFile, PictureAnswer, list_files, overlay_file, tell_passed_over
from flows.evidence.evaluate import BATCH_SIZE
from flows.workspace.wiring import App
from maskloop.clock import Clock
from maskloop.digest import digest_bytes
from maskloop.errors import PictureError
from maskloop.files import write_bytes
from models.answering.instance_json import list_instances
from models.answering.prediction import Prediction
from models.ports import Predictor
from monitoring.samples.sample_log import SampleLog
from monitoring.samples.values import Sample, measure, sample_key
from registry.champion.serving_copy import ServedModel


def predict(
    app: App,
    files: Sequence[Path],
    *,
    source: str = "production",
    overlays_dir: Path | None = None,
    min_score: float | None = None,
) -> list[PictureAnswer]:
    """Answer every picture and log it as a sample; a bad picture costs only itself.

    Args:
        app: The workspace.
        files: Pictures, and folders with pictures.
        source: Where they come from.
        overlays_dir: Draw the answers into this folder.
        min_score: Leave out instances with a lower score. Default: the model's own threshold.

    Returns:
        One answer for each file: the pictures in order, then what was passed over.

    Raises:
        NotFoundError: if no champion serves yet.
        DataError: if there is no picture among the files.
    """
    incoming = list_files(files)
    pictures = [file for file in incoming if not file.passed_over]
    served = app.copies.fetch_champion(app.state())
    predictor = app.copies.load(served.directory, served.weights_digest)
    story = _Answering(app.samples, app.clock, served, predictor, source, overlays_dir, min_score)
    answers: list[PictureAnswer] = []
    with app.teller.progress(f"version {served.version} answers") as progress:
        limits = DecodingLimits(max_mpx=app.settings.data.max_picture_mpx)
        for batch in decode_in_batches(pictures, limits, predictor.conversion):
            answers += story.answer_batch(batch)
            progress(len(answers), len(pictures))
    return [*answers, *tell_passed_over(incoming)]


@dataclass(frozen=True)
class IncomingPicture:
    """A picture as it would be kept, and decoded if that was possible."""

    file: IncomingFile
    data: bytes
    decoded: DecodedPicture | None
    error: str


def decode_in_batches(
    files: Sequence[IncomingFile], limits: DecodingLimits, conversion: PictureConversion
) -> Iterator[list[IncomingPicture]]:
    """Decode outside bytes in a process of their own, in batches small enough for memory."""
    with SandboxedDecoder(limits, conversion) as decoder:
        for start in range(0, len(files), BATCH_SIZE):
            yield [_receive(decoder, file) for file in files[start : start + BATCH_SIZE]]


def _receive(decoder: SandboxedDecoder, file: IncomingFile) -> IncomingPicture:
    try:
        data = file.path.read_bytes()
    except OSError as error:
        return IncomingPicture(file, b"", None, f"cannot be read: {error.strerror}")
    try:
        decoded = decoder.open(data)
        return IncomingPicture(file, decoded.stored or data, decoded, "")
    except PictureError as error:
        return IncomingPicture(file, data, None, str(error))


def log_sample(
    samples: SampleLog,
    served: ServedModel,
    predictor: Predictor,
    *,
    received_at: datetime,
    source: str,
    data: bytes,
    answered: tuple[NDArray[np.uint8], Prediction] | None,
    orientation: int = 1,
    error: str = "",
) -> bool:
    """Log a picture that the champion answered, or could not; False if it was logged before.

    Args:
        samples: The log.
        served: The champion.
        predictor: The same, loaded.
        received_at: When it came.
        source: Where it comes from.
        data: The picture file, as it is kept.
        answered: Its upright pixels, uint8 (H, W, 3), and everything that the model found; None if it could
            not be answered.
        orientation: The EXIF orientation of the file.
        error: Why it could not be answered.
    """
    digest = digest_bytes(data)
    sample = Sample(
        sample_id=sample_key(digest, served.weights_digest),
        received_at=received_at,
        model_version=served.version,
        weights_digest=served.weights_digest,
        picture_digest=digest,
        source=source,
        features={},
        orientation=orientation,
    )
    if answered is None:
        return samples.add(sample, skip_reason=error)
    pixels, prediction = answered
    measured = measure(
        sample,
        pixels,
        prediction.detections,
        predictor.class_names,
        score_threshold=predictor.score_threshold,
        embedding=prediction.embedding,
    )
    return samples.add(measured, data)


@dataclass(frozen=True)
class _Answering:
    """The model and the settings that every batch is answered with."""

    samples: SampleLog
    clock: Clock
    served: ServedModel
    predictor: Predictor
    source: str
    overlays_dir: Path | None
    min_score: float | None

    @property
    def threshold(self) -> ScoreThreshold:
        """Lowest score of an instance that is reported and drawn."""
        return self.predictor.score_threshold if self.min_score is None else self.min_score

    def answer_batch(self, batch: Sequence[IncomingPicture]) -> list[PictureAnswer]:
        """Answer the pictures of a batch, log and draw them."""
        decoded = [picture.decoded for picture in batch if picture.decoded]
        predictions = iter(self.predictor.predict([one.pixels for one in decoded]))
        return [self._answer(picture, next(predictions) if picture.decoded else None) for picture in batch]

    def _answer(self, picture: IncomingPicture, prediction: Prediction | None) -> PictureAnswer:
        self._log_sample(picture, prediction)
        if self.overlays_dir and picture.decoded and prediction:
            self._draw(self.overlays_dir, picture.file.name, picture.decoded.pixels, prediction)
        return PictureAnswer(
            file=str(picture.file.path),
            model_version=self.served.version,
            weights_digest=self.served.weights_digest,
            blessing_id=self.served.blessing_id,
            instances=self._tell(picture, prediction),
            error=picture.error,
            name=picture.file.name,
        )

    def _tell(self, picture: IncomingPicture, prediction: Prediction | None) -> tuple[dict[str, Any], ...]:
        if picture.decoded is None or prediction is None:
            return ()
        told = list_instances(
            prediction.detections,
            self.predictor.class_names,
            orientation=picture.decoded.orientation,
            threshold=self.threshold,
        )
        return tuple(one.to_json() for one in told)

    def _log_sample(self, picture: IncomingPicture, prediction: Prediction | None) -> None:
        decoded = picture.decoded
        log_sample(
            self.samples,
            self.served,
            self.predictor,
            received_at=self.clock.now(),
            source=self.source,
            data=picture.data,
            answered=(decoded.pixels, prediction) if decoded and prediction else None,
            orientation=decoded.orientation if decoded else 1,
            error=picture.error,
        )

    def _draw(self, directory: Path, name: str, pixels: NDArray[np.uint8], prediction: Prediction) -> None:
        shown = prediction.detections.select(prediction.detections.reach(self.threshold))
        drawn = draw_overlay(pixels, shown, None, self.predictor.class_names)
        write_bytes(overlay_file(directory, name), encode_png(drawn))
