"""What the ledger holds about data versions."""

from __future__ import annotations

from typing import ClassVar

from maskloop.records.record import Record
from maskloop.wording import count

__all__ = [
    "ClassesChanging",
    "VersionIngested",
    "VersionRestored",
]


class VersionIngested(Record):
    """A data version was committed, pushed, verified and tagged."""

    kind: ClassVar[str] = "data.ingested"
    tag: str
    fingerprint: str
    dvc_md5: str
    git_commit: str
    source: str
    num_pictures: int
    num_new_pictures: int
    num_new_labelled: int
    """New or relabelled pictures: what counts as fresh labels for retraining."""
    num_quarantined: int
    balance: dict[str, int] = {}  # noqa: RUF012
    """What came with the batch, what was kept, and what was not and why, in numbers."""
    mended: dict[str, int] = {}  # noqa: RUF012
    """Masks that were mended because a person asked for it, by the code of the bend that was undone."""

    def sentence(self) -> str:
        """Say it in plain words."""
        left_out = f", {self.num_quarantined} left out" if self.num_quarantined else ""
        num_relabelled = self.num_new_labelled - self.num_new_pictures
        relabelled = f", {num_relabelled} relabelled" if num_relabelled else ""
        return (
            f"{self.tag}: {count(self.num_new_pictures, 'new picture')} from {self.source}{relabelled}"
            f"{left_out}{self._mends()}; {self.num_pictures} in all"
        )

    def _mends(self) -> str:
        told = ", ".join(f"{number} of {code}" for code, number in sorted(self.mended.items()))
        return f"; masks mended: {told}" if told else ""


class VersionRestored(Record):
    """An earlier or later data version became the current one; trainings and ingests build on it."""

    kind: ClassVar[str] = "data.restored"
    tag: str
    previous_tag: str
    """The version that was current before, as far as the ledger knows."""
    fingerprint: str
    num_pictures: int
    by: str
    why: str = ""

    def sentence(self) -> str:
        """Say it in plain words."""
        instead = f" in place of {self.previous_tag}" if self.previous_tag else ""
        why = f": {self.why}" if self.why else ""
        return f"{self.by} brought back {self.tag}{instead} ({count(self.num_pictures, 'picture')}){why}"


class ClassesChanging(Record):
    """A person decided to drop, rename or merge classes; the data version that follows has the new ones."""

    kind: ClassVar[str] = "classes.changing"
    tag: str
    """The version that is changed."""
    dropped: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    merged: tuple[tuple[str, str], ...] = ()
    """Pairs of a class and the one its instances went to."""
    num_instances_lost: int = 0
    num_pictures_losing: int = 0
    class_names: tuple[str, ...]
    """Afterwards."""
    by: str
    why: str = ""

    def sentence(self) -> str:
        """Say it in plain words."""
        lost = f" with {count(self.num_instances_lost, 'instance')}"
        done = [f"drops {', '.join(map(repr, self.dropped))}{lost}"] if self.dropped else []
        done += [f"renames {old!r} to {new!r}" for old, new in self.renamed]
        done += [f"merges {name!r} into {into!r}" for name, into in self.merged]
        why = f": {self.why}" if self.why else ""
        return f"{self.by} {', '.join(done)} in {self.tag}{why}"

    def name_now(self, name: str) -> str:
        """Return what a class is called afterwards; empty if it was dropped."""
        if name in self.dropped:
            return ""
        into = dict(self.merged).get(name, name)
        return dict(self.renamed).get(into, into)
