"""Pictures go to a running service; the answers look like those of `flows.answering.batch_prediction`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from flows.answering.incoming import IncomingFile, PictureAnswer, list_files, overlay_file, tell_passed_over
from flows.workspace.telling import Teller
from maskloop.errors import DataError
from maskloop.files import write_bytes
from maskloop.masks import rle_from_coco
from models.answering.instance_json import FoundInstance
from serving.client import Client, PredictOptions
from serving.schemas import Instance, PictureSize, PredictAnswer


def ask_service(
    client: Client,
    files: Sequence[Path],
    teller: Teller,
    *,
    source: str = "production",
    overlays_dir: Path | None = None,
    min_score: float | None = None,
) -> list[PictureAnswer]:
    """Let a service answer every picture; a bad picture costs only itself. Answers as `predict` does.

    Raises:
        DataError: if there is no picture among the files.
        UnavailableError: if the service cannot be reached, or stays too busy.
        UnauthorisedError, ForbiddenError: if the key is missing, not valid, or may not do this.
    """
    incoming = list_files(files)
    pictures = [file for file in incoming if not file.passed_over]
    options = PredictOptions(source=source)
    if min_score is not None:
        options["min_score"] = min_score
    answers = []
    with teller.progress("the service answers") as progress:
        for number, picture in enumerate(pictures, start=1):
            answers.append(_ask(client, picture, options, overlays_dir))
            progress(number, len(pictures))
    return [*answers, *tell_passed_over(incoming)]


def _ask(
    client: Client, picture: IncomingFile, options: PredictOptions, overlays_dir: Path | None
) -> PictureAnswer:
    named = PredictOptions(**options, request_id=uuid.uuid4().hex)  # of both requests: it is one sample
    try:
        answer = client.predict(picture.path, **named)
        if overlays_dir:
            write_bytes(overlay_file(overlays_dir, picture.name), client.overlay(picture.path, **named))
        return _describe(picture, answer)
    except DataError as error:
        return PictureAnswer(str(picture.path), "", "", "", (), error.headline, picture.name)


def _describe(picture: IncomingFile, answer: PredictAnswer) -> PictureAnswer:
    return PictureAnswer(
        file=str(picture.path),
        model_version=answer.model.version,
        weights_digest=answer.model.weights_digest,
        blessing_id=answer.model.blessing_id,
        instances=tuple(_read_instance(one, answer.picture).to_json() for one in answer.instances),
        name=picture.name,
    )


def _read_instance(one: Instance, picture: PictureSize) -> FoundInstance:
    """Return an instance of an answer whose masks were asked for as RLE, the default."""
    coco = one.model_dump(mode="json")["mask"]
    mask = rle_from_coco(coco, picture.height_px, picture.width_px)
    return FoundInstance(one.class_name, one.score, one.box_xyxy, mask)
