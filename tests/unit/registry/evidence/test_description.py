from __future__ import annotations

import pytest

from registry.approval.decision_status import DecisionStatus
from registry.evidence.approval_page import DriftCause, Line
from registry.evidence.description import MAX_CHARACTERS, describe_version
from tests.fakes.approval_pages import AT, approval_page, check, evidence, row, verdict

ROUTE = "#/experiments/1/runs/r/artifacts/approval/evidence.html"


def describe(**facts: object) -> str:
    return describe_version(approval_page(**facts), page_route=ROUTE)


def test_the_description_says_the_outcome_links_the_evidence_and_tells_how_to_decide() -> None:
    text = describe()
    assert text.startswith("## ✓ The gates pass this candidate")
    assert f"[Look at the evidence]({ROUTE})" in text
    assert "| ✓ | bolt | 0.810 | 0.820 | -0.010 | 0.600 |" in text
    assert "maskloop approve 7 --by NAME" in text


def test_the_description_begins_with_the_decision_and_then_with_what_did_not_pass() -> None:
    checks = (
        check("iou.mean"),
        check("drop.source.belt 2", "inconclusive", "the IoU of washer on belt 2 fell by 0.090"),
    )
    lines = [line for line in describe(verdict=verdict(*checks)).splitlines() if line]
    assert lines[1] == "**Decide whether version 7 may serve.**"
    assert lines[3] == "- ? The IoU of washer on belt 2 fell by 0.090."


def test_without_a_page_there_is_no_link() -> None:
    assert "evidence](" not in describe_version(approval_page(), page_route="")


def test_the_drift_page_is_linked_where_links_work() -> None:
    cause = DriftCause(Line(AT, "maskloop", "it drifted"), ("noise",), "index.html", route="#/drift")
    assert "([the drift page](#/drift))" in describe(reason="drift", drift=cause)


def test_what_is_decided_is_said_and_nobody_is_asked_again() -> None:
    text = describe(decision=DecisionStatus("no", "It was rejected", "Anna rejected version 7."))
    assert "- ✗ It was rejected. Anna rejected version 7." in text
    assert "Decide" not in text
    assert "To decide" not in text


@pytest.mark.parametrize(
    ("nasty", "harmless"),
    [
        ("nut|<script>x</script>", r"nut\|&lt;script&gt;x&lt;/script&gt;"),
        ("[free](http://evil.example)", r"\[free\](http\://evil.example)"),
        ("www.evil.example", r"www\.evil.example"),
        ("a\n\n# b", r"a \# b"),
        ("`code` *bold* _it_", r"\`code\` \*bold\* \_it\_"),
    ],
)
def test_names_become_no_markup_and_no_links(nasty: str, harmless: str) -> None:
    text = describe(
        evidence=evidence(row(nasty)),
        asked=Line(AT, nasty, nasty),
        verdict=verdict(check(outcome="fail", reason=f"about {nasty}")),
    )
    assert text.count(harmless) >= 4
    assert nasty not in text
    (line,) = [line for line in text.splitlines() if line.startswith(f"| ✓ | {harmless}")]
    assert line.replace(r"\|", "").count("|") == 7


@pytest.mark.parametrize("num_classes", [1, 60, 1000])
def test_the_description_fits_mlflows_database_whatever_the_classes(num_classes: int) -> None:
    rows = [row(f"class number {number} with a rather long name " * 3) for number in range(num_classes)]
    checks = [check(f"iou.class.{r.name}", "fail", f"IoU of {r.name} is too low " * 9) for r in rows]
    text = describe(evidence=evidence(*rows), verdict=verdict(*checks))
    assert len(text) <= MAX_CHARACTERS
    assert text.rstrip().endswith(f"`{verdict(*checks).blessing_id[:12]}`.")
    assert ("more classes" in text) == (num_classes > 1)
