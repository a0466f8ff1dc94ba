from __future__ import annotations

from maskloop.folding.fold import fold
from maskloop.folding.reader import make_snapshot, open_snapshot
from maskloop.records.kinds import (
    ChosenPicture,
    LabelsPulled,
    LabelsPushed,
    LabelsRequested,
    name_request,
    write_record,
)
from maskloop.reducing.draft import KEPT
from tests.fakes.ledger import FakeLedger


def chosen(*names: str) -> tuple[ChosenPicture, ...]:
    return tuple(
        ChosenPicture(sample_id=name, picture_digest=f"digest of {name}", source="belt", reason="it is dark")
        for name in names
    )


def ask(ledger: FakeLedger, *names: str, cycle: str = "") -> str:
    pictures = chosen(*names)
    record = LabelsRequested(request_id=name_request(pictures), cause="a test", chosen=pictures)
    write_record(ledger, record, cycle_id=cycle)
    return record.request_id


def pulled(request_id: str, num_new: int, num_unchanged: int = 0, num_relabelled: int = 0) -> LabelsPulled:
    return LabelsPulled(
        request_id=request_id,
        tool="folder",
        num_new=num_new,
        num_unchanged=num_unchanged,
        num_relabelled=num_relabelled,
        data_tag="data-v2",
    )


def test_the_same_choice_is_the_same_request_in_any_order() -> None:
    first, second = chosen("a", "b")
    assert name_request([first, second]) == name_request([second, first, first])
    assert name_request([first]) != name_request([first, second])


def test_a_request_awaits_every_picture_whose_labels_are_not_in_the_data() -> None:
    ledger = FakeLedger()
    request = ask(ledger, "a", "b", "c", cycle="cycle-7")
    assert fold(ledger.entries()).label_requests[request].num_awaited == 3
    write_record(
        ledger, LabelsPushed(request_id=request, tool="folder", project="/there", num_pictures=3), key="p"
    )
    write_record(ledger, pulled(request, 1))
    write_record(ledger, pulled(request, 1, num_unchanged=0, num_relabelled=1))
    state = fold(ledger.entries())
    (one,) = state.open_requests
    assert one.pushed is not None
    assert (one.num_awaited, one.cycle_id, one.pushed.project) == (1, "cycle-7", "/there")
    write_record(ledger, pulled(request, 1, num_unchanged=2))
    after = fold(ledger.entries())
    assert after.open_requests == ()
    assert after.label_requests[request].num_awaited == 0


def test_a_request_made_twice_keeps_its_progress() -> None:
    ledger = FakeLedger()
    request = ask(ledger, "a")
    write_record(ledger, pulled(request, 1))
    ask(ledger, "a")
    assert fold(ledger.entries()).open_requests == ()


def test_records_of_an_unknown_request_change_nothing() -> None:
    ledger = FakeLedger()
    write_record(ledger, pulled("unknown", 1))
    write_record(ledger, LabelsPushed(request_id="unknown", tool="folder", project="/x", num_pictures=1))
    assert fold(ledger.entries()).label_requests == {}


def test_the_newest_requests_are_kept_whole_and_survive_a_snapshot() -> None:
    ledger = FakeLedger()
    ids = [ask(ledger, f"picture {number}") for number in range(KEPT.label_requests + 2)]
    state = fold(ledger.entries())
    assert list(state.label_requests) == ids[2:]
    snapshot = make_snapshot(state, ledger.entries()[-1].digest)
    assert open_snapshot(ledger, snapshot) == state
