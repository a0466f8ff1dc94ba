"""Pictures from production go through the champion; every answer is logged as a sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.evaluate import BATCH_SIZE
from flows.serve import fetch_champion
from flows.wiring import App
from maskloop.digest import digest_bytes
from maskloop.errors import DataError, PictureError

if TYPE_CHECKING:
    import numpy as np

    from dataset.decoding import DecodedPicture
    from models.predict import Prediction, Predictor
    from registry.serving_copy import ServedModel

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True)
class PictureAnswer:
    """What the champion said about one picture, or why it could not.

    Attributes:
        file: The picture's path as given.
        model_version: The registered version that answered.
        weights_digest: Its weights.
        blessing_id: The verdict that let it serve.
        instances: One dict per instance: class_name, score, box_xyxy (px), segmentation (COCO RLE).
        error: Why there is no answer; empty if there is one.
    """

    file: str
    model_version: str
    weights_digest: str
    blessing_id: str
    instances: tuple[dict[str, Any], ...]
    error: str = ""


def predict(
    app: App, files: Sequence[Path], *, source: str = "production", overlays_dir: Path | None = None
) -> list[PictureAnswer]:
    """Answer every picture and log it; a bad picture costs only itself.

    Raises:
        NotFoundError: if no champion serves yet.
        DataError: if there is no picture among the files.
    """
    pictures = list_pictures(files)
    served = fetch_champion(app)
    from models.predict import Predictor

    predictor = Predictor.load(
        served.directory, expected_digest=served.weights_digest, device=app.settings.training.device
    )
    answers: list[PictureAnswer] = []
    with app.teller.progress(f"version {served.version} answers") as progress:
        for batch in decode_in_batches(app, pictures):
            answers += _answer_batch(app, predictor, served, batch, source, overlays_dir)
            progress(len(answers), len(pictures))
    return answers


def list_pictures(files: Sequence[Path]) -> list[Path]:
    """Expand folders into the pictures below them, sorted. Raises DataError if there are none."""
    found: list[Path] = []
    for file in files:
        below = sorted(file.rglob("*")) if file.is_dir() else [file]
        found += [path for path in below if not file.is_dir() or path.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise DataError("there are no pictures here", where=", ".join(str(file) for file in files))
    return found


@dataclass(frozen=True)
class IncomingPicture:
    """A picture as received, and decoded if that was possible."""

    file: Path
    data: bytes
    decoded: DecodedPicture | None
    error: str

    @property
    def pixels(self) -> np.ndarray | None:
        """uint8 (H, W, 3), RGB, upright."""
        return self.decoded.pixels if self.decoded else None


def decode_in_batches(app: App, files: Sequence[Path]) -> Iterator[list[IncomingPicture]]:
    """Decode outside bytes in a process of their own, in batches small enough for memory."""
    from dataset.sandbox import Limits, SandboxedDecoder

    with SandboxedDecoder(Limits(max_mpx=app.settings.data.max_picture_mpx)) as decoder:
        for start in range(0, len(files), BATCH_SIZE):
            yield [_receive(decoder, file) for file in files[start : start + BATCH_SIZE]]


def _receive(decoder: Any, file: Path) -> IncomingPicture:
    try:
        data = file.read_bytes()
    except OSError as error:
        return IncomingPicture(file, b"", None, f"cannot be read: {error.strerror}")
    try:
        return IncomingPicture(file, data, decoder.open(data), "")
    except PictureError as error:
        return IncomingPicture(file, data, None, str(error))


def _answer_batch(
    app: App,
    predictor: Predictor,
    served: ServedModel,
    batch: Sequence[IncomingPicture],
    source: str,
    overlays_dir: Path | None,
) -> list[PictureAnswer]:
    readable = [picture for picture in batch if picture.pixels is not None]
    predictions = predictor.predict([picture.pixels for picture in readable if picture.pixels is not None])
    by_file = dict(zip((picture.file for picture in readable), predictions, strict=True))
    answers = []
    for picture in batch:
        prediction = by_file.get(picture.file)
        _log_sample(app, served, predictor, picture, prediction, source)
        if prediction and overlays_dir and picture.pixels is not None:
            _write_overlay(overlays_dir, picture, prediction, predictor)
        answers.append(
            PictureAnswer(
                file=str(picture.file),
                model_version=served.version,
                weights_digest=served.weights_digest,
                blessing_id=served.blessing_id,
                instances=describe_instances(prediction, predictor.class_names) if prediction else (),
                error=picture.error,
            )
        )
    return answers


def describe_instances(prediction: Prediction, class_names: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Return a prediction's instances as plain JSON data, best score first."""
    found = prediction.detections
    return tuple(
        {
            "class_name": class_names[int(index)],
            "score": round(float(score), 4),
            "box_xyxy": [round(float(side), 2) for side in box],
            "segmentation": mask.to_coco(),
        }
        for index, score, box, mask in zip(
            found.class_indices, found.scores, found.boxes_xyxy, found.masks, strict=True
        )
    )


def _log_sample(
    app: App,
    served: ServedModel,
    predictor: Predictor,
    picture: IncomingPicture,
    prediction: Prediction | None,
    source: str,
) -> None:
    from monitoring.samples import Sample, measure, sample_key

    digest = digest_bytes(picture.data)
    sample = Sample(
        sample_id=sample_key(digest, served.weights_digest),
        received_at=app.clock.now(),
        model_version=served.version,
        weights_digest=served.weights_digest,
        picture_digest=digest,
        source=source,
        features={},
        orientation=picture.decoded.orientation if picture.decoded else 1,
    )
    if prediction is None or picture.pixels is None:
        app.samples.add(sample, skip_reason=picture.error)
        return
    answered = measure(
        sample,
        picture.pixels,
        prediction.detections,
        predictor.class_names,
        score_threshold=predictor.score_threshold,
        embedding=prediction.embedding,
    )
    app.samples.add(answered, picture.data)


def _write_overlay(
    directory: Path, picture: IncomingPicture, prediction: Prediction, predictor: Predictor
) -> None:
    from dataset.decoding import encode_png
    from evaluation.overlays import draw_overlay
    from maskloop.files import write_bytes

    assert picture.pixels is not None  # noqa: S101 - checked by the caller
    confident = prediction.detections.select(prediction.detections.reach(predictor.score_threshold))
    drawn = draw_overlay(picture.pixels, confident, None, predictor.class_names)
    write_bytes(directory / f"{picture.file.stem}.overlay.png", encode_png(drawn))
