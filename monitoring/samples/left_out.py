"""Samples that a drift check cannot judge, and times that cannot be right: told, never passed over. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from maskloop.wording import count
from monitoring.samples.values import Sample

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""Clocks of several machines differ a little."""


def tell_other_versions(
    pending: Sequence[Sample], weights_digest: str, version_of: Callable[[str], str]
) -> list[str]:
    """Say which pending samples other versions than the champion answered, version by version.

    Args:
        pending: Samples neither judged nor skipped, of any version.
        weights_digest: Of the champion.
        version_of: Returns the version that has these weights; empty if the workspace does not know them.
    """
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in pending:
        if sample.weights_digest != weights_digest:
            groups.setdefault((sample.model_version, sample.weights_digest), []).append(sample)
    return [
        f"{count(len(group), 'sample')} of version {name or '?'} {'is' if len(group) == 1 else 'are'} not "
        f"judged: {_why_not(version_of(digest), digest)}"
        for (name, digest), group in sorted(groups.items())
    ]


def tell_clocks(samples: Sequence[Sample], now: datetime) -> list[str]:
    """Say which samples of a window have a time that is not yet; they are judged in the order they came."""
    ahead = [sample.received_at for sample in samples if sample.received_at > now + CLOCK_TOLERANCE]
    if not ahead:
        return []
    have = "has a time" if len(ahead) == 1 else "have times"
    return [
        f"{count(len(ahead), 'sample')} of the newest {have} up to {max(ahead):%Y-%m-%d %H:%M} UTC, which is "
        "not yet: the clock of the machine that answers is ahead; samples are judged in the order they came"
    ]


def tell_expired(num_expired: int, retention_days: float) -> list[str]:
    """Say that samples were forgotten before any check had judged them."""
    if not num_expired:
        return []
    times = "its time is" if num_expired == 1 else "their times are"
    return [
        f"{count(num_expired, 'sample')} expired before a check: {times} longer ago than "
        f"monitoring.retention_days = {retention_days:g}; either the clock of the machine that answers is "
        "behind, or no check ran for so long"
    ]


def _why_not(version: str, digest: str) -> str:
    if version:
        return f"version {version} is not the champion"
    return (
        f"this workspace knows no model with the weights {digest[:12] or '?'}; does the service answer from "
        "another workspace?"
    )
