"""The aliases ``champion`` and ``challenger`` follow the ledger: where they belong, and putting them back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from maskloop.errors import NotFoundError
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import AliasTampered, ChampionChanged, ChampionChanging, write_record
from maskloop.state.loop_state import LoopState
from registry.ports import CHALLENGER, CHAMPION, STATUS_TAG, ModelStore, VersionStatus


def expected_aliases(state: LoopState) -> Mapping[str, str]:
    """Return where the aliases belong: a version, or an empty string for nowhere.

    ``challenger`` is the newest candidate of an open cycle that the gates did not fail.
    """
    champion = state.champion.version if state.champion else ""
    judged = [
        cycle.verdict.candidate_version
        for cycle in state.open_cycles
        if cycle.verdict and cycle.verdict.outcome != "fail" and cycle.phase in ("judged", "approved")
    ]
    challenger = judged[-1] if judged and judged[-1] != champion else ""
    return {CHAMPION: champion, CHALLENGER: challenger}


def point_alias(store: ModelStore, alias: str, version: str) -> None:
    """Point an alias at a version, or remove it if that is empty or was deleted."""
    if version:
        try:
            store.set_alias(alias, version)
        except NotFoundError:
            pass
        else:
            return
    store.delete_alias(alias)


def mark_statuses(store: ModelStore, change: ChampionChanging | ChampionChanged) -> None:
    """Show on the versions who is champion and who was until then. Raises NotFoundError for the champion."""
    store.set_tag(change.version, STATUS_TAG, VersionStatus.CHAMPION.value)
    if change.previous_version:
        with suppress(NotFoundError):  # deleted by hand: nothing is left to mark
            store.set_tag(change.previous_version, STATUS_TAG, VersionStatus.RETIRED.value)


def restore_aliases(ledger: Ledger, store: ModelStore, state: LoopState) -> list[AliasTampered]:
    """Put the aliases where the ledger says, record each that somebody had moved, and return the records.

    An alias whose version was deleted is recorded once; serving goes on from the copy on disk. A challenger
    that is merely missing, or left over from an ended cycle, is set or dropped without a record.
    """
    tampered = []
    for alias, expected in expected_aliases(state).items():
        found = store.with_alias(alias)
        found_version = found.version if found else ""
        if found_version == expected:
            continue
        record = AliasTampered(alias=alias, found_version=found_version, expected_version=expected)
        if _is_tampering(state, record) and _record_once(ledger, store, state, record):
            tampered.append(record)
        if alias == CHAMPION and state.champion:  # a rollback without the registry left this to us
            with suppress(NotFoundError):
                mark_statuses(store, state.champion)
        point_alias(store, alias, expected)
    return tampered


def _is_tampering(state: LoopState, found: AliasTampered) -> bool:
    if found.alias == CHAMPION:
        return state.champion is None or state.champion.alias_moved
    if not found.found_version:
        return False
    is_left_over = state.candidate_of(found.found_version) is not None and not state.was_promoted(
        found.found_version
    )
    return bool(found.expected_version) or not is_left_over


def _record_once(ledger: Ledger, store: ModelStore, state: LoopState, record: AliasTampered) -> bool:
    """Record a moved alias; one that cannot be put back, because its version is gone, only the first time."""
    key = ""
    try:
        if record.expected_version:
            store.version(record.expected_version)
    except NotFoundError:
        key = f"alias.lost:{record.alias}:{record.expected_version}:{record.found_version}:{state.epoch}"
    return write_record(ledger, record, key=key).sequence > state.last_sequence
