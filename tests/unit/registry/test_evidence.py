from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from evaluation.instances import IouTable
from maskloop.records import Outcome, VerdictReached
from maskloop.settings import GateSettings
from registry.blessing import evaluated_pictures_digest, make_verdict
from registry.evidence import ClassRow, class_rows, verdict_markdown, verdict_page
from registry.gates import judge
from registry.policy import policy_digest
from tests.fakes.iou_tables import iou_table

GATES = GateSettings(resamples=200)
NASTY = "nut|<script>alert(1)</script>"


def judged(candidate: IouTable, champion: IouTable | None) -> tuple[VerdictReached, tuple[ClassRow, ...]]:
    checks = judge(candidate, champion, GATES, latency_p95_ms=None, seed=0)
    verdict = make_verdict(
        checks,
        candidate_version="7",
        candidate_digest="a" * 64,
        champion_digest="c" * 64 if champion else "",
        data_tag="data-v3",
        data_fingerprint="f" * 64,
        policy_digest=policy_digest(GATES, candidate.class_names),
        evaluated_pictures_digest=evaluated_pictures_digest(candidate),
    )
    return verdict, class_rows(candidate, champion, checks, GATES, seed=0)


def table(iou: float) -> IouTable:
    return iou_table([[iou, 0.9]] * 30, class_names=("bolt", NASTY))


class TextOf(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize(
    ("iou", "outcome", "words"),
    [
        (0.9, "pass", "The gates pass this candidate"),
        (0.7, "fail", "Nobody can approve a version the gates failed"),
    ],
)
def test_the_page_says_the_outcome_the_reasons_and_what_to_do(
    iou: float, outcome: Outcome, words: str
) -> None:
    verdict, rows = judged(table(iou), table(0.9))
    page = TextOf()
    page.feed(verdict_page(verdict, rows=rows, model_name="parts"))
    text = " ".join(" ".join(page.text).split())
    assert verdict.outcome == outcome
    assert words in text
    assert all(check.reason in text for check in verdict.checks)
    assert verdict.blessing_id in text
    assert ("maskloop approve 7 --by NAME" in text) == (outcome == "pass")


def test_names_from_the_data_become_no_markup() -> None:
    verdict, rows = judged(table(0.9), None)
    page = TextOf()
    page.feed(verdict_page(verdict, rows=rows))
    assert "script" not in page.tags
    assert NASTY in "".join(page.text)
    markdown = verdict_markdown(verdict, rows=rows)
    assert "<script>" not in markdown.replace("\\<", "")
    (line,) = [line for line in markdown.splitlines() if line.startswith("| ✓ | nut")]
    assert line.replace("\\|", "").count("|") == 7


def test_pictures_are_part_of_the_page() -> None:
    verdict, rows = judged(table(0.9), None)
    picture = np.zeros((4, 6, 3), dtype=np.uint8)
    page = verdict_page(verdict, rows=rows, pictures=[("worst bolt", picture)])
    assert page.count("data:image/png;base64,") == 1
    assert "worst bolt" in page
    assert "http" not in page, "the page needs no network"


def test_rows_hold_what_the_gates_saw() -> None:
    _, (bolt, nut) = judged(table(0.7), table(0.9))
    assert (bolt.name, bolt.outcome, nut.outcome) == ("bolt", "fail", "pass")
    assert bolt.candidate_iou == pytest.approx(0.7)
    assert bolt.drop == pytest.approx(0.2)
    assert bolt.drop_low is not None
    assert bolt.drop_low <= 0.2 + 1e-9
    assert (bolt.num_instances, bolt.floor) == (150, 0.6)


def test_a_class_without_instances_has_no_figures_and_no_pass() -> None:
    counts = np.array([[5, 0]] * 30)
    verdict, (_, missing) = judged(iou_table([[0.9, 0.9]] * 30, num_instances=counts), None)
    assert (missing.candidate_iou, missing.outcome) == (None, "inconclusive")
    assert "| ? | b | – | – | – | 0.600 |" in verdict_markdown(verdict, rows=[missing])


def test_the_same_judgement_has_the_same_blessing_and_another_has_another() -> None:
    first, again, other = (judged(table(iou), None)[0].blessing_id for iou in (0.9, 0.9, 0.91))
    assert first == again
    assert first != other


def test_the_policy_digest_follows_gates_and_classes() -> None:
    digests = {
        policy_digest(GATES, ["a", "b"]),
        policy_digest(GATES, ["b", "a"]),
        policy_digest(GateSettings(resamples=200, min_mean_iou=0.71), ["a", "b"]),
    }
    assert len(digests) == 3
