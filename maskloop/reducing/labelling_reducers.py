"""What records about requested labels do to the state."""

from __future__ import annotations

from dataclasses import replace

from maskloop.ledger.port import Entry
from maskloop.records.kinds import LabelsPulled, LabelsPushed, LabelsRequested
from maskloop.reducing.draft import Draft, Past
from maskloop.reducing.reducers import reduces
from maskloop.state.loop_state import LabelRequest


@reduces(LabelsRequested)
def request_labels(draft: Draft, entry: Entry, record: LabelsRequested, _past: Past) -> None:
    """Open a request; the same choice again is the same request."""
    if record.request_id not in draft.label_requests:
        draft.label_requests[record.request_id] = LabelRequest(entry.at, record, entry.cycle_id)


@reduces(LabelsPushed)
def push_labels(draft: Draft, _entry: Entry, record: LabelsPushed, _past: Past) -> None:
    """Remember where the pictures of a request are labelled."""
    if request := draft.label_requests.get(record.request_id):
        draft.label_requests[record.request_id] = replace(request, pushed=record)


@reduces(LabelsPulled)
def pull_labels(draft: Draft, _entry: Entry, record: LabelsPulled, _past: Past) -> None:
    """Count the labels of a request that are in the data."""
    if request := draft.label_requests.get(record.request_id):
        draft.label_requests[record.request_id] = replace(request, pulled=record)
