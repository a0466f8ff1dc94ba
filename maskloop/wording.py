"""How counts are written in sentences."""

from __future__ import annotations


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
