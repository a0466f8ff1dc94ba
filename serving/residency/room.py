"""Who makes room for a model that is to be loaded: a pure decision.

Idle models go first, the one that was used longest ago before the others. A model that answers is never
unloaded. If only such ones are left, the one that was loaded first is closed: its new requests wait, those
that it has accepted are answered, and then it goes. A model stays for a while before others may close it, so
that two busy ones do not spend their time on being loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Resident:
    """A served model's part of the memory.

    Attributes:
        name: Of the model.
        kept_bytes: What unloading it would give back.
        loading_bytes: Of what is being loaded for it.
        leaving_bytes: Of what serves no more, and is still held by a request.
        num_using: Requests that it answers now.
        last_used_s: When the last one ended, in seconds of a clock that never goes back.
        loaded_s: When it was loaded, by the same clock.
        is_closing: It accepts nothing more and goes when it has answered.
    """

    name: str
    kept_bytes: int = 0
    loading_bytes: int = 0
    leaving_bytes: int = 0
    num_using: int = 0
    last_used_s: float = 0.0
    loaded_s: float = 0.0
    is_closing: bool = False

    @property
    def all_bytes(self) -> int:
        """What counts against the budget."""
        return self.kept_bytes + self.loading_bytes + self.leaving_bytes


@dataclass(frozen=True)
class Need:
    """Memory that is asked for.

    Attributes:
        name: Of the model that it is for.
        num_bytes: So much.
        may_displace: Others may be unloaded for it.
        may_replace_itself: So may what this model serves with now, if nothing else suffices.
    """

    name: str
    num_bytes: int
    may_displace: bool = True
    may_replace_itself: bool = False


@dataclass(frozen=True)
class Decision:
    """What to do now.

    Attributes:
        outcome: ``grant`` the memory; ``wait`` and decide again; ``refuse``: it never, or not now, fits.
        unload: Idle models to unload first.
        close: Busy models that accept nothing more from now on.
        again_in_s: Decide again after so long, even if nothing has happened; None: only then.
    """

    outcome: Literal["grant", "wait", "refuse"]
    unload: tuple[str, ...] = ()
    close: tuple[str, ...] = ()
    again_in_s: float | None = None


def decide_room(
    need: Need, residents: Sequence[Resident], *, budget_bytes: int, keep_s: float, now_s: float
) -> Decision:
    """Decide how a need gets its memory.

    Args:
        need: The first in line.
        residents: All served models.
        budget_bytes: That must never be exceeded.
        keep_s: A busy model is closed for another one no sooner than so long after it was loaded.
        now_s: By the clock of the residents.

    >>> idle, busy = Resident("a", 60, last_used_s=1.0), Resident("b", 40, num_using=2)
    >>> decide_room(Need("c", 50), [idle, busy], budget_bytes=100, keep_s=0.0, now_s=9.0)
    Decision(outcome='wait', unload=('a',), close=(), again_in_s=None)
    >>> decide_room(Need("c", 100), [idle, busy], budget_bytes=100, keep_s=0.0, now_s=9.0)
    Decision(outcome='wait', unload=('a',), close=('b',), again_in_s=None)
    >>> decide_room(Need("c", 101), [idle, busy], budget_bytes=100, keep_s=0.0, now_s=9.0).outcome
    'refuse'
    """
    free = budget_bytes - sum(one.all_bytes for one in residents)
    if free >= need.num_bytes <= budget_bytes:
        return Decision("grant")
    usable = [one for one in residents if one.name != need.name or need.may_replace_itself]
    lasting = sum(one.kept_bytes for one in residents if one not in usable)
    if not need.may_displace or need.num_bytes + lasting > budget_bytes:
        return Decision("refuse")
    unload = [one.name for one in usable if one.is_closing and not one.num_using and one.kept_bytes]
    coming = sum(one.leaving_bytes for one in residents)
    coming += sum(one.kept_bytes for one in usable if one.is_closing)
    missing = need.num_bytes - free - coming
    chosen: list[Resident] = []
    for one in sorted(usable, key=lambda one: _precedence(one, need)):
        if missing > 0 and one.kept_bytes and not one.is_closing:
            chosen.append(one)
            missing -= one.kept_bytes
    close = [one for one in chosen if one.num_using]
    wait_s = max((one.loaded_s + keep_s - now_s for one in close if one.name != need.name), default=0.0)
    if wait_s > 0:
        return Decision("wait", tuple(unload), (), wait_s)
    unload += [one.name for one in chosen if not one.num_using]
    return Decision("wait", tuple(unload), tuple(one.name for one in close))


def _precedence(one: Resident, need: Need) -> tuple[bool, bool, float, str]:
    """Return what orders those that may go: others first, idle ones first, then by age."""
    age_s = one.loaded_s if one.num_using else one.last_used_s
    return (one.name == need.name, one.num_using > 0, age_s, one.name)


def decide_entry(num_in_flight: int, max_in_flight: int) -> bool:
    """Tell whether a model takes one more request; a limit of 0 is none.

    >>> decide_entry(3, 4), decide_entry(4, 4), decide_entry(4, 0)
    (True, False, True)
    """
    return not max_in_flight or num_in_flight < max_in_flight
