"""Pictures go to a running service; the answers look like those of `flows.predict`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows.predict import PictureAnswer, list_pictures
from flows.telling import Teller
from maskloop.errors import DataError
from maskloop.files import write_bytes

if TYPE_CHECKING:
    from serving.client import Client
    from serving.schemas import PredictAnswer


def ask_service(
    client: Client,
    files: Sequence[Path],
    teller: Teller,
    *,
    source: str = "production",
    overlays_dir: Path | None = None,
) -> list[PictureAnswer]:
    """Let a service answer every picture; a bad picture costs only itself.

    Raises:
        DataError: if there is no picture among the files.
        UnavailableError: if the service cannot be reached, or stays too busy.
        UnauthorisedError, ForbiddenError: if the key is missing, not valid, or may not do this.
    """
    pictures = list_pictures(files)
    answers = []
    with teller.progress("the service answers") as progress:
        for number, picture in enumerate(pictures, start=1):
            answers.append(_ask(client, picture, source, overlays_dir))
            progress(number, len(pictures))
    return answers


def _ask(client: Client, picture: Path, source: str, overlays_dir: Path | None) -> PictureAnswer:
    request_id = uuid.uuid4().hex  # of both requests: the picture is one sample
    try:
        answer = client.predict(picture, source=source, request_id=request_id)
        if overlays_dir:
            drawn = client.overlay(picture, source=source, request_id=request_id)
            write_bytes(overlays_dir / f"{picture.stem}.overlay.png", drawn)
    except DataError as error:
        return PictureAnswer(str(picture), "", "", "", (), error.headline)
    return _describe(picture, answer)


def _describe(picture: Path, answer: PredictAnswer) -> PictureAnswer:
    return PictureAnswer(
        file=str(picture),
        model_version=answer.model.version,
        weights_digest=answer.model.weights_digest,
        blessing_id=answer.model.blessing_id,
        instances=tuple(
            {
                "class_name": one.class_name,
                "score": one.score,
                "box_xyxy": list(one.box_xyxy),
                "segmentation": one.model_dump(mode="json")["mask"],
            }
            for one in answer.instances
        ),
    )
