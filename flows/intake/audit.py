"""Look over the current data version for what its splits and files should not hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dataset.ingestion.audit import find_alike_across_splits, find_name_leaks, find_torn, largest_group
from dataset.ingestion.ingest import read_cells
from dataset.pictures.location import tells_place
from dataset.version_store import DatasetStore
from flows.workspace.telling import Teller
from maskloop.errors import DataError, NotFoundError
from maskloop.settings.workspace_settings import DataSettings

if TYPE_CHECKING:
    from dataset.ingestion.audit import LargestGroup, NameLeaks
    from dataset.labelled_pictures import DatasetVersion, LabelledPicture

_MAX_NAMED = 3
AuditKind = Literal["large-group", "alike", "torn", "names", "location"]


@dataclass(frozen=True)
class DataAudit:
    """The findings of an audit.

    Attributes:
        tag: The version.
        num_pictures: In it.
        largest: Its largest group.
        alike: Pairs of names that look alike, in different splits.
        torn: Pairs of names in different splits that ``data.group_pattern`` ties.
        names: What names say that no group follows; None if a pattern is set, or they say nothing.
        telling_place: Names of pictures whose stored files tell where they were taken.
    """

    tag: str
    num_pictures: int
    largest: LargestGroup | None
    alike: tuple[tuple[str, str], ...]
    torn: tuple[tuple[str, str], ...]
    names: NameLeaks | None
    telling_place: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Nothing was found that a person should act on."""
        return not self.counts

    @property
    def counts(self) -> dict[AuditKind, int]:
        """Findings of each kind that has some."""
        numbers: dict[AuditKind, int] = {
            "large-group": int(self.largest is not None and self.largest.is_large),
            "alike": len(self.alike),
            "torn": len(self.torn),
            "names": self.names.num_apart if self.names else 0,
            "location": len(self.telling_place),
        }
        return {kind: number for kind, number in numbers.items() if number}

    @property
    def told(self) -> dict[AuditKind, str]:
        """The findings of each kind as a sentence that says what to do."""
        said: dict[AuditKind, str] = {}
        if self.largest and self.largest.is_large:
            said["large-group"] = (
                f"{self.largest.num_pictures} of {self.num_pictures} pictures are one group, all in "
                f"{self.largest.split}: {', '.join(self.largest.example)}, ... If these are different "
                f"pictures, {_again('data.near_duplicate_distance_bits = -1')}"
            )
        if self.alike:
            said["alike"] = (
                f"pictures that look alike are in different splits ({len(self.alike)} pairs): "
                f"{_pairs(self.alike)}. To keep them together, {_again()}"
            )
        if self.torn:
            said["torn"] = (
                f"groups of data.group_pattern are in different splits ({len(self.torn)}), as they came in "
                f"before it was set: {_pairs(self.torn)}. To keep them together, {_again('that pattern')}"
            )
        if self.names:
            said["names"] = f"{self.names.sentence()}. {self._way_out_of_names(self.names)}"
        if self.telling_place:
            named = ", ".join(self.telling_place[:_MAX_NAMED])
            said["location"] = (
                f"stored files contain a location ({len(self.telling_place)}): {named}. To store them "
                f"without it, {_again()}; versions already pushed keep it"
            )
        return said

    def sentences(self) -> list[str]:
        """Return the findings for people, each with what to do."""
        return list(self.told.values()) or [
            f"{self.tag} is clean: of its {self.num_pictures} pictures, those that belong together are in "
            "one split, and no file contains a location"
        ]

    def _way_out_of_names(self, names: NameLeaks) -> str:
        setting = names.pattern.setting
        if names.num_torn:
            return f"To keep each in one split, {_again(setting)}"
        return f"Set {setting} under [data] before more of them come in"


def audit_data(store: DatasetStore, settings: DataSettings, teller: Teller) -> DataAudit:
    """Look over the current version. Raises NotFoundError if there is none."""
    version = store.current()
    if version is None:
        raise NotFoundError("there is no data version yet", hint="run `maskloop ingest` first")

    def cells_of(picture: LabelledPicture) -> bytes | None:
        return read_cells(version.path(picture), settings.max_picture_mpx)

    alike = find_alike_across_splits(
        version.pictures,
        version.difference_hashes,
        cells_of,
        settings.near_duplicate_distance_bits,
    )
    with teller.progress("reading the files") as progress:
        telling = []
        for number, picture in enumerate(version.pictures, start=1):
            if tells_place(version.path(picture).read_bytes()):
                telling.append(picture.name)
            progress(number, len(version.pictures))
    pattern = settings.group_pattern
    return DataAudit(
        tag=version.tag,
        num_pictures=len(version.pictures),
        largest=largest_group(version.pictures),
        alike=tuple((one.name, other.name) for one, other in alike),
        torn=find_torn(version.pictures, pattern) if pattern else (),
        names=None if pattern else find_name_leaks(version.pictures),
        telling_place=tuple(telling),
    )


def refuse_without_test_pictures(version: DatasetVersion) -> None:
    """Raise DataError, saying how to get some, if there is nothing to judge a candidate by."""
    if version.by_split["test"]:
        return
    hint = "raise data.test_percent and ingest more pictures"
    largest = largest_group(version.pictures)
    if largest and largest.is_large:
        hint = (
            f"{largest.num_pictures} of its {len(version.pictures)} pictures are one group and stay in one "
            f"split, among them {' and '.join(largest.example)}; `maskloop data audit` says what to do"
        )
    raise DataError(
        "the data version has no test pictures, so no candidate could be judged", where=version.tag, hint=hint
    )


def _again(setting: str = "") -> str:
    with_setting = f" with {setting}" if setting else ""
    return f"start a new workspace{with_setting} and ingest the batches there: places once given stand"


def _pairs(pairs: tuple[tuple[str, str], ...]) -> str:
    named = [f"{one} and {other}" for one, other in pairs[:_MAX_NAMED]]
    return "; ".join([*named, "..."] if len(pairs) > _MAX_NAMED else named)
