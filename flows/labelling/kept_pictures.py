"""Kept production pictures, decoded when somebody asks for one; what cannot be had is passed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dataset.ingestion.ingest import read_cells
from dataset.labelled_pictures import DatasetVersion
from dataset.pictures.decoding import DecodedPicture
from dataset.pictures.looks import difference_hash, grey_cells
from dataset.pictures.sandbox import SandboxedDecoder
from evaluation.instances import Detections
from maskloop.errors import PictureError
from models.ports import Predictor
from monitoring.samples.sample_log import SampleLog
from monitoring.samples.values import Sample
from monitoring.selection.candidates import Candidate, Context, with_uncertainty
from monitoring.selection.choice import Look, Looks
from monitoring.selection.uncertainty import measure_uncertainty
from monitoring.selection.views import View


@dataclass(frozen=True)
class KeptPicture:
    """A kept picture.

    Attributes:
        sample: It came with.
        data: Its bytes.
        decoded: Its pixels.
    """

    sample: Sample
    data: bytes
    decoded: DecodedPicture


class KeptPictures:
    """Opens kept pictures, and remembers what each looks like.

    Args:
        samples: Holds them.
        decoder: Decodes them in a process of its own.
    """

    def __init__(self, samples: SampleLog, decoder: SandboxedDecoder) -> None:
        self._samples, self._decoder = samples, decoder
        self._looks: dict[str, Look | None] = {}

    def open(self, sample: Sample) -> KeptPicture | None:
        """Return a sample's picture; None if it is not kept any more, or cannot be decoded."""
        data = self._samples.picture_bytes(sample)
        try:
            picture = KeptPicture(sample, data, self._decoder.open(data)) if data else None
        except PictureError:
            picture = None
        self._looks[sample.sample_id] = _look_at(picture) if picture else None
        return picture

    def take(self, sample: Sample, looks: Looks) -> bool:
        """Take a sample's picture unless it cannot be had, or looks like one of those seen."""
        if sample.sample_id not in self._looks:
            self.open(sample)
        look = self._looks[sample.sample_id]
        return look is not None and looks.take(look)


def labelled_looks(version: DatasetVersion | None, max_mpx: float) -> list[Look]:
    """Return what the pictures of a data version look like; their cells are read when a hash is near."""
    if version is None:
        return []
    hashes = version.difference_hashes
    files = {one.digest: version.path(one) for one in version.pictures}

    def look(digest: str) -> Look:
        return Look(hashes[digest], lambda: read_cells(files[digest], max_mpx))

    return [look(digest) for digest in files]


def view_candidates(
    candidates: Sequence[Candidate],
    pictures: KeptPictures,
    predictor: Predictor,
    views: Sequence[View],
    context: Context,
) -> Iterator[Candidate]:
    """Yield candidates with the uncertainty that views show, but not those whose picture cannot be had."""
    for candidate in candidates:
        picture = pictures.open(candidate.sample)
        if picture is not None:
            found = _answer_in_views(picture, predictor, views, context.min_score)
            uncertainty = measure_uncertainty(
                found, num_classes=len(predictor.class_names), empty_share=context.empty_share
            )
            yield with_uncertainty(candidate, uncertainty)


def _answer_in_views(
    picture: KeptPicture, predictor: Predictor, views: Sequence[View], min_score: float
) -> list[Detections]:
    shown = [view.show(picture.decoded.pixels) for view in views]
    answers = predictor.predict(shown, min_score=min_score)
    return [view.bring_back(answer.detections) for view, answer in zip(views, answers, strict=True)]


def _look_at(picture: KeptPicture) -> Look:
    cells = grey_cells(picture.decoded.pixels)
    return Look(difference_hash(picture.decoded.pixels), lambda: cells)
