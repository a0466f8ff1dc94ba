"""Ids of verdicts: the same judgement has the same id in every release."""

from __future__ import annotations

from maskloop.records.kinds import Check, VerdictReached
from maskloop.settings.workspace_settings import GateSettings
from registry.gates.blessing import blessing_id_of, make_verdict
from registry.gates.policy import policy_digest

NAMES = (
    *("iou.mean", "iou.class.nut", "iou.class.bolt.m8", "false_positives", "latency_p95", "drop.mean"),
    *("drop.class.nut", "drop.source.belt 2", "slice.cycle-2"),
)


def verdict_of(*names: str) -> VerdictReached:
    checks = [
        Check(name=name, outcome="pass", measured=0.8, required=0.7, reason=f"{name} holds") for name in names
    ]
    return make_verdict(
        checks,
        candidate_version="2",
        candidate_digest="a" * 64,
        champion_digest="c" * 64,
        data_tag="data-v2",
        data_fingerprint="f" * 64,
        policy_digest="d" * 64,
        evaluated_pictures_digest="e" * 64,
    )


def test_a_verdict_has_the_id_it_had_before_checks_named_their_gates() -> None:
    """Written down by the release before: an approval in a ledger fits this id alone."""
    expected = "684350faafff40b0255e53c3220097b599b246a4bd0bdfb7139a9c6b0f5a2c0c"
    assert verdict_of(*NAMES).blessing_id == expected


def test_a_verdict_read_from_before_checks_named_their_gates_still_fits_its_id() -> None:
    written = verdict_of(*NAMES).model_dump(mode="json")
    for check in written["checks"]:
        del check["gate"], check["subject"]
    read = VerdictReached.model_validate(written)
    assert read == verdict_of(*NAMES)
    assert blessing_id_of(read) == read.blessing_id


def test_policies_have_the_digests_they_had_in_the_release_before() -> None:
    gates = GateSettings(max_latency_p95_ms=200.0, class_iou_floors={"nut": 0.65})
    assert policy_digest(gates, ["nut", "bolt.m8"]) == (
        "973ae3770659bd0ef376b07e3eb3b90e6d9cf263d8d10ee95e6d12f792f0a306"
    )
    assert policy_digest(GateSettings(), ["nut"]) == (
        "f7857370ded52d977d316565fc862366fef00802e56c2b8ecf32c3eefe10f3f8"
    )
