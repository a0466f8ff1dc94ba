"""Which requests for labels there are, and the one lease under which they are worked on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from maskloop.errors import NotFoundError
from maskloop.folding.fold import fold
from maskloop.ledger.leases import leased
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import LabelsPulled, LabelsPushed, LabelsRequested
from maskloop.settings.workspace_settings import RetrainingSettings
from maskloop.state.loop_state import LabelRequest, LoopState


def find_requests(ledger: Ledger, state: LoopState, request_id: str = "") -> Sequence[LabelRequest]:
    """Return the newest requests, or one, however old it is.

    Raises:
        NotFoundError: if there is none with this id.
    """
    if not request_id:
        return tuple(state.label_requests.values())
    if request_id in state.label_requests:
        return (state.label_requests[request_id],)
    kinds = (LabelsRequested.kind, LabelsPushed.kind, LabelsPulled.kind)
    entries = [one for one in ledger.find(kinds=kinds) if one.payload.get("request_id") == request_id]
    found = fold(entries).label_requests
    if request_id not in found:
        raise NotFoundError(f"there is no request {request_id}", hint="`maskloop label status` lists them")
    return (found[request_id],)


def labelling_lease(
    ledger: Ledger, settings: RetrainingSettings
) -> AbstractContextManager[Callable[[], None]]:
    """Return the one lease on pushing and pulling, so that no picture is pushed twice."""
    return leased(ledger, "labelling", ttl_s=settings.lease_s)
