"""What records about data versions do to the state."""

from __future__ import annotations

from maskloop.ledger.port import Entry
from maskloop.records.kinds import ClassesChanging, VersionIngested, VersionRestored
from maskloop.reducing.draft import Draft, Past
from maskloop.reducing.reducers import reduces


@reduces(VersionIngested)
def ingest(draft: Draft, _entry: Entry, record: VersionIngested, _past: Past) -> None:
    """Make the new version the current one."""
    draft.versions.append(record)
    num_before = draft.labels_by_tag.get(record.tag, 0)
    draft.labels_by_tag[record.tag] = num_before + record.num_new_labelled
    draft.data_tag, draft.data = record.tag, record


@reduces(VersionRestored)
def restore(draft: Draft, _entry: Entry, record: VersionRestored, past: Past) -> None:
    """Make an earlier or later version the current one."""
    kept = (one for one in reversed(draft.versions) if one.tag == record.tag)
    draft.data_tag = record.tag
    draft.data = next(kept, None)
    if draft.data is None and record.tag in draft.labels_by_tag:
        draft.data = past.find_version(record.tag)


@reduces(ClassesChanging)
def change_classes(draft: Draft, _entry: Entry, record: ClassesChanging, _past: Past) -> None:
    """Remember what classes are called from the next version on."""
    draft.class_changes.append(record)
