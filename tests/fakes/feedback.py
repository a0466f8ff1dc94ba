"""Answers that were sampled, and what people say of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from dataset.labelled_pictures import LabelledPicture
from dataset.pictures.decoding import orient
from flows.answering.feedback import take_feedback
from maskloop.digest import digest_bytes
from maskloop.masks import Rle, decode_masks, encode_masks
from monitoring.samples.values import Sample
from serving.observing import Observer
from serving.schemas import CorrectedInstance, FeedbackRequest, RleMask
from tests.fakes.loop_world import World
from tests.fakes.model_ports import CLASS_NAMES, SIDE_PX, draw_picture

BACK = {6: 8, 8: 6}


def photograph(number: int, orientation: int = 1) -> bytes:
    """A PNG whose file is turned so that its EXIF orientation turns it upright."""
    pixels = draw_picture(number)[0].transpose(2, 0, 1)
    stored = np.ascontiguousarray(orient(pixels, BACK.get(orientation, orientation)).transpose(1, 2, 0))
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


def answer_was_sampled(
    world: World,
    request_id: str = "r1",
    *,
    number: int = 100,
    orientation: int = 1,
    source: str = "belt",
    keep_picture: bool = True,
) -> bytes:
    data = photograph(number, orientation)
    sample = Sample(
        sample_id=request_id,
        received_at=world.clock.now(),
        model_version="3",
        weights_digest="w",
        picture_digest=digest_bytes(data),
        source=source,
        features={},
        width_px=SIDE_PX,
        height_px=SIDE_PX,
        orientation=orientation,
    )
    world.samples.add(sample, data if keep_picture else None)
    return data


def give(world: World, feedback: FeedbackRequest, by: str, *, observer: Observer | None = None) -> bool:
    """Say something about an answer; tells whether it becomes a label."""
    now = world.clock.now()
    return take_feedback(world.samples, world.corrections, feedback, by=by, now=now, observer=observer)


def wire(mask: Rle) -> RleMask:
    return RleMask(size=(mask.height_px, mask.width_px), counts=mask.counts.decode())


def correct(number: int = 100, orientation: int = 1) -> list[CorrectedInstance]:
    """What truly is in a picture, in the coordinates of its file."""
    instances = draw_picture(number)[1]
    upright = decode_masks([one.mask for one in instances])
    stored = encode_masks(np.ascontiguousarray(orient(upright, BACK.get(orientation, orientation))))
    return [
        CorrectedInstance(class_name=CLASS_NAMES[one.class_index], mask=wire(mask))
        for one, mask in zip(instances, stored, strict=True)
    ]


def said(
    request_id: str = "r1",
    verdict: Any = "wrong",
    instances: Sequence[CorrectedInstance] | None = None,
    note: str = "",
) -> FeedbackRequest:
    given = None if instances is None else list(instances)
    return FeedbackRequest(request_id=request_id, verdict=verdict, instances=given, note=note)


def fate(world: World, request_id: str = "r1") -> tuple[str, str]:
    label = world.corrections.labels([request_id])[request_id]
    return label.fate, label.detail


def labelled(world: World, data: bytes) -> LabelledPicture:
    version = world.data.current()
    assert version is not None
    (picture,) = [one for one in version.pictures if one.digest == digest_bytes(data)]
    return picture
