"""What the newest data check found, kept beside its page: for the page of the data and before a training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, cast

from maskloop.files import write_text
from maskloop.settings.check_settings import CheckedKind, Rule, rule_of

_SCHEMA_VERSION: Final = 1


@dataclass(frozen=True)
class FoundKind:
    """What was found of one kind.

    Attributes:
        number: Of findings.
        said: The gravest, as a sentence.
    """

    number: int
    said: str


@dataclass(frozen=True)
class KeptCheck:
    """The outcome of one check in short.

    Attributes:
        tag: The data version that was checked.
        fingerprint: Of that version.
        checked_at: UTC, ISO 8601.
        champion: The version that was asked about labels; empty if none was.
        num_compared: Pictures that it was asked about.
        found: By kind, in the order of the check.
    """

    tag: str
    fingerprint: str
    checked_at: str
    champion: str
    num_compared: int
    found: Mapping[str, FoundKind]


def find_blocking(check: KeptCheck, policy: Mapping[CheckedKind, Rule]) -> tuple[str, ...]:
    """Return the kinds of findings that no training begins with."""
    return tuple(kind for kind in check.found if rule_of(policy, cast(CheckedKind, kind)) == "block")


def keep_check(file: Path, check: KeptCheck) -> None:
    """Write a check in place of the one before. Raises StorageError."""
    write_text(file, json.dumps({"schema_version": _SCHEMA_VERSION, **asdict(check)}, indent=1))


def read_check(file: Path) -> KeptCheck | None:
    """Return the newest check; None if there is none, or it cannot be read: a check can be made again."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept.pop("schema_version") != _SCHEMA_VERSION:
            return None
        found = {kind: FoundKind(**one) for kind, one in kept.pop("found").items()}
        return KeptCheck(found=found, **kept)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
