"""F7: two classes change places in the labels of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dataset.ingestion.plan import IngestOptions
from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from flows.gameday.production import as_they_are, current_version, write_labels, write_pictures
from flows.gameday.scenario import Stage, UnhandledError
from flows.health.check import check_data
from flows.intake.batch_intake import ingest

SOURCE: Final = "gameday annotators"
_NUM_PICTURES: Final = 40
_SHARE_SEEN, _SHARE_LEFT = 0.5, 0.1
_CHECK: Final = "maskloop data check"


def play_swapped_labels(stage: Stage) -> None:
    """Take in a batch with two classes swapped; the check must find them, until they are mended."""
    version = current_version(stage)
    one, other = _most_frequent(version)
    both = {version.class_names.index(name) for name in (one, other)}
    pictures = [
        picture
        for picture in sorted(version.by_split["train"], key=lambda each: each.digest)
        if any(instance.class_index in both for instance in picture.instances)
    ][:_NUM_PICTURES]
    folder = write_pictures(stage, version, pictures, as_they_are, "swapped")
    swapped = write_labels(folder, version, pictures, {one: other, other: one})
    stage.inject("maskloop ingest", f"{len(pictures)} pictures in which {one} and {other} are swapped")
    taken = ingest(stage.app, swapped, folder, options=IngestOptions(SOURCE, split="train"))
    stage.look("detected", "maskloop ingest", taken.balance.sentence())
    num_found = _count_swapped(stage, len(pictures))
    said = f"{num_found} of {len(pictures)} pictures hold a label of another class than the champion sees"
    stage.see("detected", _CHECK, said, is_seen=num_found >= _SHARE_SEEN * len(pictures))
    stage.report(f"{one} and {other} are swapped in the labels of {SOURCE}")
    _mend(stage, folder, version, pictures)
    num_left = _count_swapped(stage, len(pictures))
    said = f"{num_left} of {len(pictures)} pictures still do"
    stage.see("restored", _CHECK, said, is_seen=num_left <= _SHARE_LEFT * len(pictures))
    stage.write_up(
        cause=f"the annotators took {one} for {other}",
        action="the labels were mended and taken in again",
        ended="the data check finds no swapped classes",
    )


def _most_frequent(version: DatasetVersion) -> tuple[str, str]:
    seen = Counter(one.class_index for picture in version.by_split["train"] for one in picture.instances)
    if len(seen) < 2:
        raise UnhandledError("there is one class, so none can be swapped", where=version.tag)
    (one, _), (other, _) = seen.most_common(2)
    return version.class_names[one], version.class_names[other]


def _count_swapped(stage: Stage, num_pictures: int) -> int:
    """Count the pictures of the batch with a label that the champion gives another class."""
    check = check_data(stage.app, num_compared=num_pictures)
    found = {one.picture.digest for one in check.of_kind("class") if one.picture.source == SOURCE}
    return len(found)


def _mend(stage: Stage, folder: Path, version: DatasetVersion, pictures: Sequence[LabelledPicture]) -> None:
    right = write_labels(folder, version, pictures, {})
    taken = ingest(
        stage.app, right, folder, options=IngestOptions(SOURCE, split="train", relabelling="replace")
    )
    said = taken.balance.sentence()
    is_seen = taken.version is not None and taken.num_updated == len(pictures)
    stage.see("mitigated", "maskloop ingest LABELS --replace", said, is_seen=is_seen)
