"""How counts and durations are written in sentences."""

from __future__ import annotations

from datetime import timedelta


def count(number: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun in the right number.

    >>> count(1, "remark"), count(0, "remark"), count(2, "class", "classes")
    ('1 remark', '0 remarks', '2 classes')
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def times(number: int) -> str:
    """Say how often something was done.

    >>> times(1), times(2), times(3)
    ('once', 'twice', '3 times')
    """
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def span(time: timedelta | None) -> str:
    """Write how long something took; a dash for nothing.

    >>> span(timedelta(seconds=40)), span(timedelta(minutes=75)), span(timedelta(days=3)), span(None)
    ('40 s', '75 min', '3.0 d', '–')
    """
    if time is None:
        return "–"
    seconds = time.total_seconds()
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} d"
