"""The kept production pictures beside the data: which of them the model that answered knew already."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.health.sent_again import Sent, SentAgain, find_sent_again
from dataset.ingestion.ingest import read_cells
from dataset.labelled_pictures import DatasetVersion
from dataset.pictures.looks import grey_cells
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.version_store import tag_number
from maskloop.errors import PictureError
from maskloop.ledger.port import Finder
from maskloop.records.kinds import VersionIngested
from maskloop.settings.check_settings import CheckedKind, rule_of
from maskloop.settings.workspace_settings import Settings
from maskloop.state.loop_state import LoopState
from monitoring.samples.values import Sample, SampleLog

_KINDS: Final[tuple[CheckedKind, ...]] = ("sent-held-out", "sent-trained")
EXAMPLES_OF_A_KIND: Final = 12
"""Findings that the page shows."""
_SHOWN_PX: Final = 320


@dataclass(frozen=True)
class ProductionView:
    """What production sent, as far as it is kept, beside the data.

    Attributes:
        samples: That were compared, newest first.
        found: Pictures of the data that production sends.
        shown: Small pictures, uint8 (H, W, 3), of the samples that look like one of the data, by sample id.
    """

    samples: Sequence[Sample] = ()
    found: tuple[SentAgain, ...] = ()
    shown: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)


def compare_with_production(
    version: DatasetVersion, log: SampleLog, ledger: Finder, state: LoopState, settings: Settings
) -> ProductionView:
    """Look for the pictures of a version among the kept ones of production, unless both kinds are ignored.

    A sample counts only if the model that answered it may have known the picture: its data version held it.
    What production sent first, and was labelled afterwards, does not. Of weights that no record names, the
    versions that were there when the sample came are taken.

    Args:
        version: The data.
        log: Keeps the samples.
        ledger: Says when each version was made.
        state: Knows which data version each model was trained on.
        settings: How many samples are kept, how alike two pictures may be, and what is ignored.
    """
    num_kept, policy = settings.monitoring.keep_pictures, settings.data.check_policy
    if not num_kept or all(rule_of(policy, kind) == "ignore" for kind in _KINDS):
        return ProductionView()
    samples = log.newest(num_kept, with_picture=True)
    sent = describe_sent(samples, state, _find_times(ledger))
    max_mpx = settings.data.max_picture_mpx
    with SandboxedDecoder(DecodingLimits(max_mpx=max_mpx), version.conversion) as decoder:

        def read_pixels(row: int) -> NDArray[np.uint8] | None:
            data = log.picture_bytes(samples[row])
            try:
                return decoder.open(data).pixels if data else None
            except PictureError:
                return None

        @cache  # one sample may look like many pictures
        def read_sent(row: int) -> bytes | None:
            pixels = read_pixels(row)
            return None if pixels is None else grey_cells(pixels)

        found = find_sent_again(
            version.pictures,
            version.difference_hashes,
            sent,
            settings.data.near_duplicate_distance_bits,
            lambda picture: read_cells(version.path(picture), max_mpx),
            read_sent,
        )
        shown = {}
        for row in _choose_shown(found):
            if (pixels := read_pixels(row)) is not None:
                shown[samples[row].sample_id] = _reduce(pixels)
    return ProductionView(samples, found, shown)


def describe_sent(
    samples: Sequence[Sample], state: LoopState, made_at: Sequence[tuple[datetime, int]]
) -> list[Sent]:
    """Return what is compared of samples. Pure.

    Args:
        samples: Of production.
        state: Knows which data version each model was trained on.
        made_at: When each data version was made, and its number, by time.
    """
    tags = {digest: state.data_of(digest) for digest in {one.weights_digest for one in samples}}
    times, newest = [at for at, _ in made_at], np.maximum.accumulate([0, *(number for _, number in made_at)])

    def known(sample: Sample) -> int:
        tag = tags[sample.weights_digest]
        return tag_number(tag) if tag else int(newest[bisect_right(times, sample.received_at)])

    return [Sent(one.picture_digest, one.difference_hash, known(one)) for one in samples]


def _choose_shown(found: Sequence[SentAgain]) -> list[int]:
    """Return the rows that the page shows: of each kind the first; where the file is the same it says all."""
    held_out, trained = (
        [one for one in found if (one.picture.split == "train") == is_trained] for is_trained in (False, True)
    )
    first = [*held_out[:EXAMPLES_OF_A_KIND], *trained[:EXAMPLES_OF_A_KIND]]
    return [one.row for one in first if not one.is_same]


def _find_times(ledger: Finder) -> list[tuple[datetime, int]]:
    entries = ledger.find(kinds=(VersionIngested.kind,))
    return sorted((one.at, tag_number(str(one.payload.get("tag", "")))) for one in entries)


def _reduce(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    image.thumbnail((_SHOWN_PX, _SHOWN_PX))
    return np.array(image)
