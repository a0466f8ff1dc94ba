"""The kept production pictures beside the data: which of them, or what in them, the model knew already."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.health.copies import KnownInstances, Sighting
from dataset.health.sent_again import Sent, SentAgain, SentInstances, find_sent_again, group_sightings
from dataset.ingestion.ingest import read_cells
from dataset.labelled_pictures import DatasetVersion
from dataset.pictures.looks import grey_cells
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.version_store import tag_number
from flows.evidence.evaluate import load_picture
from flows.workspace.telling import Teller
from maskloop.errors import IntegrityError, PictureError
from maskloop.ledger.port import Finder
from maskloop.records.kinds import VersionIngested
from maskloop.settings.check_settings import CheckedKind, rule_of
from maskloop.settings.workspace_settings import Settings
from maskloop.state.loop_state import LoopState
from monitoring.samples.values import Sample, SampleLog

_PICTURE_KINDS: Final[tuple[CheckedKind, ...]] = ("sent-held-out", "sent-trained")
_INSTANCE_KINDS: Final[tuple[CheckedKind, ...]] = ("sent-instance-held-out", "sent-instance-trained")
EXAMPLES_OF_A_KIND: Final = 12
"""Findings that the page shows."""
_SHOWN_PX: Final = 320


@dataclass(frozen=True)
class ProductionView:
    """What production sent, as far as it is kept, beside the data.

    Attributes:
        samples: That were compared, newest first.
        found: Pictures of the data that production sends.
        instances: Instances of other pictures of the data that lie in what production sends.
        shown: Small pictures, uint8 (H, W, 3), of the samples beside those of the data, by sample id.
    """

    samples: Sequence[Sample] = ()
    found: tuple[SentAgain, ...] = ()
    instances: tuple[SentInstances, ...] = ()
    shown: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Production:
    """The samples of production that are compared, and how their pictures are read."""

    log: SampleLog
    samples: Sequence[Sample]
    sent: Sequence[Sent]
    decoder: SandboxedDecoder

    def read_pixels(self, row: int) -> NDArray[np.uint8] | None:
        """Return the picture of a sample, uint8 (H, W, 3); None if it cannot be read."""
        data = self.log.picture_bytes(self.samples[row])
        try:
            return self.decoder.open(data).pixels if data else None
        except PictureError:
            return None


def compare_with_production(
    version: DatasetVersion,
    log: SampleLog,
    ledger: Finder,
    state: LoopState,
    settings: Settings,
    teller: Teller,
) -> ProductionView:
    """Look for the pictures of a version, and for their instances, among the kept pictures of production.

    A sample counts only if the model that answered it may have known the picture: its data version held it.
    What production sent first, and was labelled afterwards, does not. Of weights that no record names, the
    versions that were there when the sample came are taken. What the policy ignores is not looked for.

    Args:
        version: The data.
        log: Keeps the samples.
        ledger: Says when each version was made.
        state: Knows which data version each model was trained on.
        settings: How many samples are kept, how alike two pictures may be, and what is ignored.
        teller: Is told how far it is, and which picture of the data cannot be read.
    """
    num_kept, policy = settings.monitoring.keep_pictures, settings.data.check_policy
    wants_pictures, wants_instances = (
        any(rule_of(policy, kind) != "ignore" for kind in kinds)
        for kinds in (_PICTURE_KINDS, _INSTANCE_KINDS)
    )
    if not num_kept or not (wants_pictures or wants_instances):
        return ProductionView()
    samples = log.newest(num_kept, with_picture=True)
    sent = describe_sent(samples, state, _find_times(ledger))
    max_mpx = settings.data.max_picture_mpx
    with SandboxedDecoder(DecodingLimits(max_mpx=max_mpx), version.conversion) as decoder:
        production = _Production(log, samples, sent, decoder)
        found: tuple[SentAgain, ...] = ()
        instances: tuple[SentInstances, ...] = ()
        if wants_pictures:
            found = _find_pictures(version, production, settings)
        if wants_instances:
            sightings = _sight_instances(version, production, max_mpx, teller)
            instances = group_sightings(sightings, sent, found)
        shown = {}
        for row in _choose_shown(found, instances):
            if (pixels := production.read_pixels(row)) is not None:
                shown[samples[row].sample_id] = _reduce(pixels)
    return ProductionView(samples, found, instances, shown)


def _find_pictures(
    version: DatasetVersion, production: _Production, settings: Settings
) -> tuple[SentAgain, ...]:
    @cache  # one sample may look like many pictures
    def read_sent(row: int) -> bytes | None:
        pixels = production.read_pixels(row)
        return None if pixels is None else grey_cells(pixels)

    return find_sent_again(
        version.pictures,
        version.difference_hashes,
        production.sent,
        settings.data.near_duplicate_distance_bits,
        lambda picture: read_cells(version.path(picture), settings.data.max_picture_mpx),
        read_sent,
    )


def _sight_instances(
    version: DatasetVersion, production: _Production, max_mpx: float, teller: Teller
) -> Iterator[tuple[str, Sighting]]:
    """Yield the labelled instances in what production sent, each with the digest of the sent picture.

    Every picture of the data that a model may have known is read, and then every kept one, each file once.
    """
    newest = max((one.known for one in production.sent), default=0)
    pictures = [one for one in version.pictures if one.instances and tag_number(one.added_in) <= newest]
    rows = {one.digest: row for row, one in enumerate(production.sent) if one.known}
    if not pictures or not rows:
        return
    known = KnownInstances()
    with teller.progress("reading labelled instances") as progress:
        for number, picture in enumerate(pictures, start=1):
            progress(number, len(pictures))
            try:
                known.add(picture, load_picture(version.path(picture), max_mpx))
            except (OSError, PictureError, IntegrityError) as error:
                teller.say(f"{picture.name} cannot be compared: {error}")
    with teller.progress("looking for them in production") as progress:
        for number, (digest, row) in enumerate(rows.items(), start=1):
            progress(number, len(rows))
            if (pixels := production.read_pixels(row)) is not None:
                yield from ((digest, sighting) for sighting in known.find_in(pixels))


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


def _choose_shown(found: Sequence[SentAgain], instances: Sequence[SentInstances]) -> set[int]:
    """Return the rows that the page shows: of each kind the first; where the file is the same it says all."""
    shown: set[int] = set()
    for is_trained in (False, True):
        alike = [one for one in found if (one.picture.split == "train") == is_trained]
        within = [one for one in instances if (one.picture.split == "train") == is_trained]
        shown |= {one.row for one in alike[:EXAMPLES_OF_A_KIND] if not one.is_same}
        shown |= {one.row for one in within[:EXAMPLES_OF_A_KIND]}
    return shown


def _find_times(ledger: Finder) -> list[tuple[datetime, int]]:
    entries = ledger.find(kinds=(VersionIngested.kind,))
    return sorted((one.at, tag_number(str(one.payload.get("tag", "")))) for one in entries)


def _reduce(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    image.thumbnail((_SHOWN_PX, _SHOWN_PX))
    return np.array(image)
