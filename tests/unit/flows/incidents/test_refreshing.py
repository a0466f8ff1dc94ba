from __future__ import annotations

from pathlib import Path

from flows.incidents.additions import acknowledge_incident
from flows.pages.loop_report import refresh_report
from flows.pages.status import describe_status
from tests.fakes.incident_stories import Story
from tests.fakes.loop_world import World


def test_the_page_of_incidents_is_written_again_when_an_incident_has_news_and_only_then(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "workspace")
    story = Story(world.clock)
    world.ledger = story.ledger
    page = world.workspace.incident_page
    story.serve("1")
    refresh_report(world.app())
    assert not page.exists()
    story.window("drift")
    refresh_report(world.app())
    first = page.read_text(encoding="utf-8")
    assert "nobody looked yet" in first
    loop = world.workspace.loop_page.read_text(encoding="utf-8")
    assert "incident-1, drift, since" in loop
    assert '<a href="incidents.html">All incidents</a>' in loop
    assert describe_status(world.app()).pages["incidents"] == page

    story.serve("1", instead="0", epoch=9)
    refresh_report(world.app())
    assert page.read_text(encoding="utf-8") == first
    acknowledge_incident(world.app(), "1", by="anna")
    refresh_report(world.app())
    assert "by anna" in page.read_text(encoding="utf-8")
