"""The verdict over a candidate, and the blessing it can become.

A blessing is a verdict that lets its weights serve: the gates passed, or could not tell and a person
approved. Its id is the digest of everything that was judged, so it fits one candidate, one champion and one
policy only.
"""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.instances import IouTable
from maskloop.digest import digest_value
from maskloop.errors import RefusedError
from maskloop.records.kinds import ApprovalDecided, Check, VerdictReached
from maskloop.state.loop_state import LoopState
from registry.gates.outcomes import outcome_of


def make_verdict(
    checks: Sequence[Check],
    *,
    candidate_version: str,
    candidate_digest: str,
    champion_digest: str,
    data_tag: str,
    data_fingerprint: str,
    policy_digest: str,
    evaluated_pictures_digest: str,
) -> VerdictReached:
    """Put the checks and what they were made on together; ``champion_digest`` is empty for no champion."""
    verdict = VerdictReached(
        blessing_id="",
        outcome=outcome_of(checks),
        checks=tuple(checks),
        candidate_version=candidate_version,
        candidate_digest=candidate_digest,
        champion_digest=champion_digest,
        data_tag=data_tag,
        data_fingerprint=data_fingerprint,
        policy_digest=policy_digest,
        evaluated_pictures_digest=evaluated_pictures_digest,
    )
    return verdict.model_copy(update={"blessing_id": blessing_id_of(verdict)})


def blessing_id_of(verdict: VerdictReached) -> str:
    """Return the digest of everything in a verdict except the id itself.

    A check's gate and subject are left out: its name says both, and ids from before they were written hold.
    """
    said_by_name = {"checks": {"__all__": {"gate", "subject"}}}
    return digest_value(verdict.model_dump(mode="json", exclude={"blessing_id": True, **said_by_name}))


def evaluated_pictures_digest(table: IouTable) -> str:
    """Return the digest of the pictures and annotations a table was measured on."""
    pictures = zip(table.picture_ids, table.num_instances.tolist(), strict=True)
    return digest_value({"classes": list(table.class_names), "pictures": [list(one) for one in pictures]})


def check_blessing(state: LoopState, weights_digest: str) -> VerdictReached:
    """Return the verdict that lets these weights serve.

    It was made by the gates of its time, which its `policy_digest` names. Gates edited since do not void it:
    a verdict never changes, the person who approved it saw those gates, and settings are files that may
    differ between the machines that promote. Evidence shows the difference; a no and a retraining apply it.

    Raises:
        RefusedError: naming the rule that is not met.
    """
    verdict = state.verdicts.get(weights_digest)
    if verdict is None:
        raise _refused("the gates have not judged these weights", weights_digest)
    if blessing_id_of(verdict) != verdict.blessing_id or outcome_of(verdict.checks) != verdict.outcome:
        raise _refused("the verdict does not fit its own digest", weights_digest)
    if verdict.outcome == "fail":
        raise _refused("the gates failed them", weights_digest)
    return verdict


def check_approval(state: LoopState, verdict: VerdictReached) -> ApprovalDecided:
    """Return the decision that approves exactly this verdict.

    Raises:
        RefusedError: if there is none, it says no, belongs to another verdict, or the policy alone approved
            what the gates left to a person.
    """
    digest = verdict.candidate_digest
    decided = state.approvals.get(digest)
    if decided is None:
        raise _refused("nobody has approved these weights", digest)
    approval = decided[1]
    if approval.decision != "approved":
        raise _refused(f"{approval.by} rejected these weights", digest)
    if approval.blessing_id != verdict.blessing_id or approval.version != verdict.candidate_version:
        raise _refused("the approval belongs to another verdict", digest)
    if verdict.outcome == "inconclusive" and approval.via == "policy":
        raise _refused("an inconclusive verdict needs a person", digest)
    return approval


def _refused(headline: str, weights_digest: str) -> RefusedError:
    return RefusedError(
        headline, where=f"weights {weights_digest[:12]}", hint="`maskloop history` shows what was decided"
    )
