"""The page of a simulation: the stated budget beside the measured one, and how soon each change is seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from markupsafe import Markup

from maskloop.files import write_text
from maskloop.pages.templates import open_template
from monitoring.sequential.findings import Simulation, quarter_days

_TEMPLATE: Final = Path(__file__).with_name("simulation.html.j2")
_WIDTH, _HEIGHT = 640, 240
_LEFT, _BOTTOM = 44, 26


def write_simulation_page(file: Path, found: Simulation, *, model_name: str, now: datetime) -> Path:
    """Write the page and return its path. Raises StorageError if it cannot be written."""
    page = open_template(_TEMPLATE).render(
        found=found,
        model_name=model_name,
        now=f"{now:%Y-%m-%d %H:%M} UTC",
        rows=[delay.as_row() for delay in found.delays],
        plot=draw_alarms(found.alarm_days, stated_percent=found.stated_percent),
    )
    write_text(file, page)
    return file


def draw_alarms(alarm_days: Sequence[float | None], *, stated_percent: float) -> Markup:
    """Draw the share of runs with a false alarm up to each day of a quarter, below the stated bound."""
    days, total = quarter_days(), max(1, len(alarm_days))
    rising = sorted(day for day in alarm_days if day is not None)
    top = max(stated_percent, 100.0 * len(rising) / total, 1.0)
    width, height = _WIDTH - _LEFT - 8, _HEIGHT - _BOTTOM - 8

    def x(day: float) -> float:
        return _LEFT + width * min(day / days, 1.0)

    def y(percent: float) -> float:
        return 8 + height * (1.0 - percent / top)

    steps = [f"M{x(0):.1f} {y(0):.1f}"]
    for number, day in enumerate(rising, start=1):
        steps.append(f"H{x(day):.1f} V{y(100.0 * number / total):.1f}")
    steps.append(f"H{x(days):.1f}")
    return Markup(
        '<svg viewBox="0 0 {w} {h}" role="img" aria-label="{title}"><title>{title}</title>'
        '<line class="axis" x1="{left}" y1="{base}" x2="{right}" y2="{base}"/>'
        '<path class="stated" d="M{left} {base} L{right} {stated}"/><path class="measured" d="{steps}"/>'
        '<text x="{left}" y="{h}">0</text><text x="{right}" y="{h}" text-anchor="end">{days} days</text>'
        '<text x="0" y="18">{top} %</text><text x="0" y="{base}">0 %</text></svg>'
    ).format(
        w=_WIDTH,
        h=_HEIGHT - 4,
        title="Share of runs with a false alarm, measured and at most",
        left=_LEFT,
        right=_LEFT + width,
        base=f"{y(0):.1f}",
        stated=f"{y(stated_percent):.1f}",
        steps=" ".join(steps),
        days=f"{days:.0f}",
        top=f"{top:.0f}",
    )
