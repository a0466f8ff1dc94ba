"""How figures, times and sentences are written for reviewers."""

from __future__ import annotations

from datetime import datetime


def figure(value: float | None) -> str:
    """Write a share with three decimals; a dash for nothing."""
    return "–" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Write a difference with its sign; a dash for nothing.

    >>> signed(0.0123), signed(-0.0001), signed(None)
    ('+0.012', '0.000', '–')
    """
    if value is None:
        return "–"
    return "0.000" if f"{abs(value):.3f}" == "0.000" else f"{value:+.3f}"


def when(time: datetime) -> str:
    """Write a time for people."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def sentence(text: str) -> str:
    """Begin with a capital and end with a full stop.

    >>> sentence("it serves"), sentence("")
    ('It serves.', '')
    """
    said = text.strip()
    return f"{said[:1].upper()}{said[1:]}{'' if said.endswith('.') else '.'}" if said else ""
