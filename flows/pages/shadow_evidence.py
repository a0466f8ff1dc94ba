"""The report of a rollout, for the approval page.

The pair log drops a rollout's pairs when the next rollout begins. The newest report is therefore kept beside
the verdict's evidence and used from then on. Without that file the checks come from the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from dataset.pictures.decoding import decode_picture
from evaluation.overlays import draw_overlay
from flows.evidence.examples import PANEL_PX
from flows.workspace.telling import Teller
from maskloop.errors import MaskloopError
from maskloop.files import write_text
from maskloop.pages.embedded_pictures import embed_picture
from maskloop.workspace import Workspace
from registry.evidence.approval_page import Line, RolloutReport
from registry.evidence.judged_evidence import MAX_SIDE_PX, Latency, Panel, ShownPicture
from serving.rollout.analysis import Analysis
from serving.rollout.checks import CHECKS

if TYPE_CHECKING:
    import numpy as np

    from evaluation.instances import Detections
    from maskloop.state.loop_state import Rollout
    from serving.rollout.pairs import KeptPair, PairLog

FILE: Final = "rollout.json"
NUM_PICTURES: Final = 3


def report_rollout(
    rollout: Rollout,
    analysis: Analysis,
    version: str,
    pairs: PairLog,
    workspace: Workspace,
    teller: Teller,
) -> RolloutReport:
    """Return the report of a rollout so far.

    Args:
        rollout: The rollout.
        analysis: The analysis of all pairs so far.
        version: The challenger's version.
        pairs: The pair log; empty once the next rollout has begun.
        workspace: The workspace with the kept report and the settings.
        teller: Reports pictures that cannot be drawn.
    """
    file = workspace.verdict_dir(version) / FILE
    if analysis.num_compared:
        can_show = workspace.settings.serving.sampling.keep_pictures
        max_mpx = workspace.settings.data.max_picture_mpx
        pictures = _show_worst(pairs, rollout, max_mpx, teller) if can_show else ()
        return _from_pairs(rollout, analysis, pictures)
    kept = _read(file.read_text(encoding="utf-8")) if file.exists() else None
    return _brought_up_to_date(kept, rollout) if kept else _from_ledger(rollout)


def keep_report(workspace: Workspace, version: str, report: RolloutReport) -> None:
    """Write a report beside the verdict's evidence, where `report_rollout` finds it without the pairs."""
    if report.champion is not None:  # else it holds nothing that the ledger does not
        write_text(workspace.verdict_dir(version) / FILE, _adapter().dump_json(report).decode())


def stage_of(analysis: Analysis) -> list[str]:
    """Return how far a rollout's evidence has come, coarsely: it changes whenever the page should."""
    if not analysis.num_compared:
        return []
    doublings = analysis.num_compared.bit_length()
    return [str(doublings), *(f"{check.name} {check.outcome}" for check in analysis.checks)]


def _from_pairs(rollout: Rollout, analysis: Analysis, pictures: tuple[ShownPicture, ...]) -> RolloutReport:
    return replace(
        _from_ledger(rollout, analysis),
        champion=Latency(analysis.champion_p50_ms, analysis.champion_p95_ms),
        challenger=Latency(analysis.challenger_p50_ms, analysis.challenger_p95_ms),
        pictures=pictures,
    )


def _from_ledger(rollout: Rollout, analysis: Analysis | None = None) -> RolloutReport:
    """Report from the ledger; the checks that ended a rollout are not evaluated again."""
    moved = rollout.moved
    if moved and (analysis is None or rollout.is_over or rollout.phase == "aborting"):
        analysis = Analysis(moved.checks, moved.num_compared)
    analysis = analysis or Analysis()
    last = moved or rollout.started
    return RolloutReport(
        champion_version=rollout.started.champion_version,
        phase=rollout.phase,
        share_percent=rollout.share_percent,
        line=Line(rollout.since, "maskloop", last.sentence()),
        num_compared=analysis.num_compared,
        checks=analysis.checks,
        outcome=analysis.outcome,
        rare=tuple(check.name for check in CHECKS if check.is_rare),
        questions={check.name: check.question for check in CHECKS},
    )


def _brought_up_to_date(kept: RolloutReport, rollout: Rollout) -> RolloutReport:
    now = _from_ledger(rollout)
    newer = now if now.num_compared >= kept.num_compared else kept
    return replace(
        kept,
        phase=now.phase,
        share_percent=now.share_percent,
        line=now.line,
        num_compared=newer.num_compared,
        checks=newer.checks,
        outcome=newer.outcome,
        rare=now.rare,
        questions=now.questions,
    )


def _show_worst(pairs: PairLog, rollout: Rollout, max_mpx: float, teller: Teller) -> tuple[ShownPicture, ...]:
    """Draw the pictures the two disagree about most; one that cannot be drawn is left out."""
    shown = []
    for pair in pairs.worst(rollout.cycle_id, NUM_PICTURES):
        if pair.picture is None or pair.comparison.difference == 0:
            continue
        try:
            shown.append(_show_pair(pair, pair.picture, max_mpx))
        except (MaskloopError, ValueError, IndexError) as error:
            teller.say(f"one picture of the rollout cannot be shown: {error}")
    return tuple(shown)


def _show_pair(pair: KeptPair, picture: bytes, max_mpx: float) -> ShownPicture:
    pixels, seen = decode_picture(picture, max_mpx=max_mpx), pair.comparison
    sides = (
        ("champion", pair.champion, seen.champion_error),
        ("challenger", pair.challenger, seen.challenger_error),
    )
    panels = tuple(_show_side(pixels, *side, class_names=pair.class_names) for side in sides)
    caption = "the challenger had no answer" if seen.challenger_error else f"agreement {seen.agreement:.2f}"
    return ShownPicture(f"{caption}, request {seen.request_id}", panels)


def _show_side(
    pixels: np.ndarray, who: str, found: Detections | None, error: str, *, class_names: Sequence[str]
) -> Panel:
    if found is None:
        return Panel(f"{who}: no answer ({error})", embed_picture(pixels, max_side_px=MAX_SIDE_PX))
    drawn = draw_overlay(pixels, found, None, class_names, long_side_px=PANEL_PX)
    return Panel(f"{who}: {len(found)} found", embed_picture(drawn, max_side_px=MAX_SIDE_PX))


def _read(text: str) -> RolloutReport | None:
    try:
        report: RolloutReport = _adapter().validate_json(text)
    except ValidationError:
        return None
    return report


@cache
def _adapter() -> Any:
    return TypeAdapter(RolloutReport)
