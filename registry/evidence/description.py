"""The approval page in short: Markdown for a version's description in MLflow, with a link to it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from registry.evidence.approval_page import ApprovalPage
from registry.evidence.judged_evidence import SIGNS, ClassRow, worst_rows_first
from registry.wording import figure, sentence, signed

MAX_CHARACTERS: Final = 5000
"""MLflow's database keeps no more."""
_LONGEST_CELL: Final = 240
_SPECIAL: Final = frozenset(r"\|[]*_`!#~")


def describe_version(page: ApprovalPage, *, page_route: str) -> str:
    """Write the description: outcome, decision, link, what did not pass, classes worst first.

    Args:
        page: What the approval page says.
        page_route: Where MLflow shows the page, `#/…`; empty for nowhere.
    """
    head, tail = "\n".join(_head(page, page_route)), "\n".join(_tail(page))
    rows = worst_rows_first(page.evidence.rows) if page.evidence else []
    lines: list[str] = []
    for number, row in enumerate(rows):
        left_out = f"| | … {len(rows) - number} more classes | | | | |"
        if len("\n".join([head, *lines, _markdown_row(row), left_out, tail])) > MAX_CHARACTERS:
            lines.append(left_out)
            break
        lines.append(_markdown_row(row))
    return "\n".join([head, *lines, tail])[:MAX_CHARACTERS]


def _head(page: ApprovalPage, page_route: str) -> Iterator[str]:
    yield f"## {SIGNS[page.verdict.outcome]} {page.gates_say}"
    yield ""
    if page.question:
        yield f"**{_plain(page.question)}**"
        yield ""
    if page_route:
        yield f"### [Look at the evidence]({page_route}) (pictures, drift, data, shadow)"
        yield ""
    yield from (f"- {sign} {_plain(sentence(said))}" for sign, said in page.highlights())
    yield f"- {page.decision.sign} {page.decision.headline}. {_plain(page.decision.sentence)}"
    drift = page.drift
    where = f" ([the drift page]({drift.route}))" if drift and drift.route else ""
    yield f"- Asked for by {_plain(page.asked.who)} ({page.reason}): {_plain(page.asked.sentence)}{where}"
    yield ""
    if page.evidence:
        yield "| | class | IoU | champion | change | floor |"
        yield "|---|---|---|---|---|---|"


def _tail(page: ApprovalPage) -> Iterator[str]:
    yield ""
    if page.can_be_approved:
        yield (
            "**To decide:** under *Tags*, add `approved_by` with your name, then click the pencil beside "
            "`approval` and enter `approved` or `rejected`; or run "
            f"`maskloop approve {page.version} --by NAME`."
        )
        yield ""
    yield (
        f"Judged on {_plain(page.verdict.data_tag)} (`{page.verdict.data_fingerprint[:12]}`), blessing "
        f"`{page.verdict.blessing_id[:12]}`."
    )


def _markdown_row(row: ClassRow) -> str:
    cells = (
        row.sign,
        _plain(row.name),
        figure(row.candidate_iou),
        figure(row.champion_iou),
        signed(None if row.drop is None else -row.drop),
        figure(row.floor),
    )
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Keep names that come with the data from becoming table cells, markup or links, and bound them."""
    shown = " ".join(text.split())
    shown = shown if len(shown) <= _LONGEST_CELL else f"{shown[:_LONGEST_CELL]}…"
    escaped = "".join(f"\\{char}" if char in _SPECIAL else char for char in escape(shown, quote=False))
    return escaped.replace("://", "\\://").replace("www.", "www\\.")
