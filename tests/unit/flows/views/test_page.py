"""The pages of the views over a fake loop: what they show, link and load."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote

import pytest

from flows.deciding.decisions import decide_by_hand
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.pages.loop_report import write_report
from flows.slo.budgets import BudgetReading, Budgets, read_budgets
from flows.views.executive import make_executive
from flows.views.page import SCRIPT_FILE, VIEWS, Header, ViewName, render_view, write_views
from maskloop.files import write_text
from maskloop.records.kinds import write_record
from registry.approval.freeze import Freeze
from tests.fakes.approval_pages import Reader
from tests.fakes.incident_stories import Story
from tests.fakes.loop_world import World
from tests.unit.flows.views.made import facts_of
from tests.unit.flows.views.test_history import candidate, training

EXTERNAL = re.compile(r"(?:https?:)?//[\w.-]+\.\w")


class Balanced(HTMLParser):
    """Checks that every element is closed where it should be."""

    void = frozenset({"meta", "br", "img", "link", "input", "hr", "col"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_startendtag(self, _tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        """Open nothing."""


def with_a_drifted_champion(world: World) -> None:
    """Version 1 serves, two windows were judged, version 2 waits for its decision."""
    run_turn(world.app(), starts_from="first-weights")
    decide_by_hand(world.app(), "1", "approved", by="anna", why="good")
    reconcile(world.app())
    champion = world.state.champion
    assert champion is not None
    story = Story(clock=world.clock, ledger=world.ledger)
    weights = {"weights_digest": champion.weights_digest}
    story.window("quiet", score=0.1, window_id="w1", drifted_features=(), **weights)
    page = world.workspace.reports_dir / "drift" / "w2" / "index.html"
    write_text(page, "<html></html>")
    report = str(page.relative_to(world.workspace.root))
    story.window("drift", score=0.8, window_id="w2", report=report, **weights)
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    reconcile(world.app())


def pages_of(world: World) -> dict[ViewName, str]:
    return {name: one.page.read_text() for name, one in write_views(world.app()).items()}


def test_the_executive_view_says_how_good_the_model_is_and_what_waits(world: World) -> None:
    with_a_drifted_champion(world)
    text = Reader(pages_of(world)["executive"]).text
    assert "Version 1 serves and misses 1 of 4 targets: Model drift score (M9)." in text
    assert "M4 Mean mask IoU 0.900 version 1 target kept at least 0.7 over all classes" in text
    assert "bolt 0.900" in text
    assert "cycle-2: approval of version 2 evidence on version 2 a reviewer" in text
    assert "maskloop approve 2 --by NAME" in text
    assert "incident-1, drift, for" in text
    assert "0 s of it in attempts without a result" in text


def test_error_budgets_stand_on_both_views_with_what_is_left_or_why_not(world: World) -> None:
    with_a_drifted_champion(world)
    pages = pages_of(world)
    budgets = read_budgets(world.app())
    assert budgets.readings
    for name in ("executive", "on-call"):
        text = Reader(pages[name]).text.partition("Error budgets Objective Promised")[2]
        for one in budgets.readings:
            assert f"{one.name} {one.promise}" in text
            told = one.missing or one.window
            assert " ".join(told.replace("`", " ").split()).replace(" ,", ",") in text.replace(" ,", ",")


def test_a_freeze_is_told_with_the_way_back() -> None:
    spent = BudgetReading(
        "quality", "a mean mask IoU of 0.8", good=0.6, left=-1.0, window="28 days", is_share=False
    )
    budgets = Budgets((spent,), Freeze("2", "the masks are poor", "1"))
    found = facts_of(Story(), budgets=budgets)
    header = Header("executive", "parts", "ws", found.now, 0, "2", {}, {})
    text = Reader(render_view(header, make_executive(found))).text
    assert (
        "The policy promotes nothing: the quality budget of version 2 is spent: the masks are poor." in text
    )
    assert "brings version 1 back" in text
    assert "quality a mean mask IoU of 0.8 IoU 0.600 -100 % 28 days" in text


def test_the_on_call_view_says_what_is_wrong_since_when_and_what_to_type(world: World) -> None:
    with_a_drifted_champion(world)
    raw = pages_of(world)["on-call"]
    text = Reader(raw).text
    assert "1 thing is wrong." in text
    assert "source belt shows in brightness" in text
    assert "runbook docs/runbooks/drift.md#production-has-drifted" in text
    assert "belt drift here" in text
    assert "promotion 1 100 anna good" in text
    assert 'aria-label="drift score over time"' in raw


def test_the_debug_view_shows_curves_errors_pictures_and_drift(world: World) -> None:
    with_a_drifted_champion(world)
    raw = pages_of(world)["debug"]
    text = Reader(raw).text
    assert "Version 1, which serves." in text
    for chart in ("loss over steps", "precision over recall, by class", "drift score over time"):
        assert f'aria-label="{chart}"' in raw
    assert "annotated ↓ found → bolt nut nothing bolt 4" in text
    assert "What its errors cost" in text
    assert "Which signals drifted in which window" in text
    assert "brightness · ●" in text
    assert "The gates" in text
    assert raw.count("<img src=") > 0


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_says_when_and_of_what_it_was_made_and_leads_to_the_others(
    world: World, name: ViewName
) -> None:
    with_a_drifted_champion(world)
    write_report(world.app(), None)
    page = Reader(pages_of(world)[name])
    assert "Workspace workspace, version 1 serves. As of 2026-03-02" in page.text
    assert f"from entry {world.state.last_sequence} of the ledger" in page.text
    others = {f"{one}.html" for one in VIEWS if one != name}
    assert {*others, "loop.html", "incidents.html", "drift/w2/index.html"} <= set(page.addresses)


def test_links_are_relative_lead_somewhere_and_nothing_is_loaded_from_outside(world: World) -> None:
    with_a_drifted_champion(world)
    pages_of(world)
    folder = world.workspace.reports_dir
    for name in VIEWS:
        page = (folder / f"{name}.html").read_text()
        Balanced(page)
        assert not EXTERNAL.findall(page)
        for address in Reader(page).addresses:
            if not address.startswith("data:"):
                target = folder / unquote(address.partition("#")[0])
                assert target.exists(), f"{name} links {address}"


def test_the_chart_library_lies_beside_the_pages_as_its_package_ships_it(world: World) -> None:
    pages_of(world)
    script = world.workspace.reports_dir / SCRIPT_FILE
    assert script.read_bytes() == files("plotly").joinpath("package_data", SCRIPT_FILE).read_bytes()
    written_at = script.stat().st_mtime_ns
    pages_of(world)
    assert script.stat().st_mtime_ns == written_at
    write_text(script, "torn")
    pages_of(world)
    assert script.stat().st_size > 1_000_000


def test_all_figures_are_there_without_a_script(world: World) -> None:
    """Each chart's data lie beside its SVG, and nothing is drawn by the script alone."""
    with_a_drifted_champion(world)
    for page in pages_of(world).values():
        charts = re.findall(r'<div class="live"><figure.*?</figure><script[^>]*>(.*?)</script></div>', page)
        assert len(charts) == page.count('class="live"') > 0
        assert all(json.loads(one)["series"] for one in charts)


@pytest.mark.parametrize("name", VIEWS)
def test_an_empty_workspace_has_every_view(world: World, name: ViewName) -> None:
    text = Reader(pages_of(world)[name]).text
    assert "nothing serves yet" in text


def test_a_workspace_of_failures_alone_has_every_view(world: World) -> None:
    story = Story(clock=world.clock, ledger=world.ledger)
    story.open_cycle("cycle-1", reason="manual")
    story.write(training(), cycle="cycle-1")
    story.fail_cycle("cycle-1")
    pages = {name: Reader(page).text for name, page in pages_of(world).items()}
    assert "1 thing is wrong. " in pages["on-call"]
    assert "cycle-1 10 min out of memory" in pages["on-call"]
    assert "Cycle-1, the newest; there is no version yet." in pages["debug"]
    assert "Nothing serves yet." in pages["executive"]
    assert "No curve was kept." in pages["debug"]


def test_a_candidate_without_a_verdict_is_shown(world: World) -> None:
    story = Story(clock=world.clock, ledger=world.ledger)
    story.open_cycle("cycle-1", reason="manual")
    write_record(world.ledger, candidate("1"), cycle_id="cycle-1")
    assert "Version 1, the newest; nothing serves yet." in Reader(pages_of(world)["debug"]).text


def test_an_away_mlflow_leaves_the_pages_and_is_said_on_them(world: World) -> None:
    with_a_drifted_champion(world)
    shutil.rmtree(world.workspace.verdict_dir("1"))
    world.tracker.is_offline = True
    text = Reader(pages_of(world)["debug"]).text
    assert "What could not be read Curves and evidence are not in this workspace" in text


def test_a_service_that_does_not_answer_is_said_on_the_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    page = write_views(world.app(), ("on-call",), url="http://127.0.0.1:9")["on-call"].page.read_text()
    assert "The service does not answer" in Reader(page).text


def test_what_people_wrote_is_escaped(world: World) -> None:
    story = Story(clock=world.clock, ledger=world.ledger)
    story.serve("1")
    story.window("drift", source="<b>belt</b>", score=0.5, reason="<script>alert(1)</script>")
    for page in pages_of(world).values():
        assert "<b>belt" not in page
        assert "<script>alert" not in page


def test_a_view_that_was_asked_for_alone_links_no_page_that_is_not_there(
    world: World, tmp_path: Path
) -> None:
    alone = tmp_path / "elsewhere" / "view.html"
    written = write_views(world.app(), ("executive",), output=alone)["executive"]
    assert written.page == alone
    assert (alone.parent / SCRIPT_FILE).exists()
    assert "on-call.html" not in alone.read_text()


def test_another_version_has_a_page_of_its_own_which_the_debug_view_links(world: World) -> None:
    with_a_drifted_champion(world)
    write_views(world.app(), ("debug",), version="2")
    assert (world.workspace.reports_dir / "debug-version-2.html").exists()
    assert "debug-version-2.html" in Reader(pages_of(world)["debug"]).addresses
