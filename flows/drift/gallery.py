"""The pictures of a drift page: those of the window, and the champion's own beside them."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset.pictures.decoding import decode_picture
from flows.drift.champion_pictures import ServingChampion
from flows.drift.taught_sources import as_taught
from flows.evidence.evaluate import load_picture
from maskloop.errors import MaskloopError
from monitoring.drift.references import POOLED
from monitoring.pages.carrier_gallery import CarrierPicture
from monitoring.pages.drift_page import MAX_THUMBNAILS
from monitoring.samples.sample_log import SampleLog
from monitoring.samples.values import Sample
from monitoring.samples.windows import Window
from monitoring.selection.carriers import Carriers

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Gallery:
    """The pictures of a drift page, uint8 (H, W, 3) each.

    Attributes:
        own: Some of the champion's own, of the reference that the verdict was reached with.
        window: Some of the window's; none with an alarm.
        carriers: Those that carry the alarm.
    """

    own: tuple[Pixels, ...] = ()
    window: tuple[Pixels, ...] = ()
    carriers: tuple[CarrierPicture, ...] = ()


def open_gallery(
    champion: ServingChampion, reference: str, window: Window, carriers: Carriers | None
) -> Gallery:
    """Open the pictures of a verdict's page. One that cannot be had leaves its place empty.

    Args:
        champion: Holds its own pictures, and those of the samples.
        reference: The name of the reference that the verdict was reached with.
        window: That was judged.
        carriers: What carries the alarm; None without one.
    """
    version, max_mpx = champion.compared.version, champion.settings.data.max_picture_mpx
    of_reference = [
        one for one in champion.compared.held_out if reference in (POOLED, one.source, as_taught(one.source))
    ]
    own = (_load(version.path(one), max_mpx) for one in of_reference[:MAX_THUMBNAILS])
    if carriers is None:
        some = (_decode(champion.samples, one, max_mpx) for one in window.samples[:MAX_THUMBNAILS])
        return Gallery(_only_pictures(own), _only_pictures(some))
    of_sample = {sample.sample_id: sample for sample in window.samples}
    files = {one.digest: version.path(one) for one in champion.compared.held_out}
    wanted = {one.nearest for one in carriers.samples if one.nearest}
    nearest = {digest: _load(files[digest], max_mpx) for digest in wanted & files.keys()}
    for sample in _find_kept(champion, wanted - files.keys()):
        nearest[sample.picture_digest] = _decode(champion.samples, sample, max_mpx)
    pairs = [
        CarrierPicture(
            one,
            _decode(champion.samples, of_sample[one.sample_id], max_mpx),
            nearest.get(one.nearest),
        )
        for one in carriers.samples
    ]
    return Gallery(_only_pictures(own), carriers=tuple(pairs))


def _find_kept(champion: ServingChampion, digests: AbstractSet[str]) -> list[Sample]:
    """Return the samples that kept pictures came with: a newly taught source has its references there."""
    if not digests:
        return []
    kept = champion.samples.newest(champion.settings.monitoring.keep_pictures, with_picture=True)
    return [sample for sample in kept if sample.picture_digest in digests]


def _load(file: Path, max_mpx: float) -> Pixels | None:
    try:
        return load_picture(file, max_mpx)
    except (MaskloopError, OSError):
        return None


def _decode(samples: SampleLog, sample: Sample, max_mpx: float) -> Pixels | None:
    try:
        data = samples.picture_bytes(sample)
        return decode_picture(data, max_mpx=max_mpx) if data else None
    except MaskloopError:
        return None


def _only_pictures(pictures: Iterable[Pixels | None]) -> tuple[Pixels, ...]:
    return tuple(one for one in pictures if one is not None)
