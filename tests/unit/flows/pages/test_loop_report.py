"""The page of the loop over fakes: what it shows, what it links, and when it is written again."""

from __future__ import annotations

import re
from pathlib import Path

from flows.deciding.decisions import decide_by_hand
from flows.intake.batch_intake import record_missing_versions
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.pages.loop_page import MAX_HISTORY, VersionFigures, draw_versions
from flows.pages.loop_report import count_data, refresh_report, write_report, written_up_to
from flows.workspace.telling import SilentTeller
from maskloop.files import write_text
from maskloop.records.kinds import DriftJudged, TriggerSuppressed, VersionIngested, write_record
from monitoring.samples.windows import WINDOW_FILE
from tests.fakes.approval_pages import AT, Reader
from tests.fakes.loop_world import World


def page_of(world: World) -> Reader:
    return Reader(write_report(world.app(), None).read_text())


def with_two_versions(world: World) -> None:
    """Version 1 serves; version 2, a little better, waits for its decision."""
    run_turn(world.app(), starts_from="first-weights")
    world.tag_version("1", "approved", by="anna")
    reconcile(world.app())
    world.label(range(12, 24))
    world.trainer.quality = 1.0
    run_turn(world.app(), starts_from="champion")
    reconcile(world.app())


def drift(world: World, window: str = "w1") -> Path:
    """Record a drift verdict, and put its page where it belongs."""
    page = world.workspace.reports_dir / "drift" / window / "index.html"
    write_text(page, "<html></html>")
    write_text(page.with_name(WINDOW_FILE), "[]")
    judged = DriftJudged(
        outcome="drift",
        reason="there is more noise",
        window_id=window,
        num_samples=100,
        missing_percent=0.0,
        baseline_digest="b" * 64,
        weights_digest="a" * 64,
        threshold_digest="t" * 64,
        drifted_features=("noise",),
        report=str(page.relative_to(world.workspace.root)),
    )
    write_record(world.ledger, judged)
    return page


# --- what it shows -----------------------------------------------------------------------------------


def test_the_page_says_what_serves_what_waits_and_how_every_version_fared(world: World) -> None:
    with_two_versions(world)
    text = page_of(world).text
    assert "Serving version 1 since 2026-03-02 09:00 UTC" in text
    assert "Open: cycle-2 Waiting for approval" in text
    table = text.partition("How good it is")[2]
    assert "1 0.900 ✓ pass serves data-v1" in table
    assert "2 1.000 ✓ pass waits for a decision data-v2" in table


def test_the_data_are_counted_by_class_split_and_source(world: World) -> None:
    """Twelve pictures with a bolt and a nut each: of six, three to train on, one to validate, two to test."""
    run_turn(world.app(), starts_from="first-weights")
    record_missing_versions(world.ledger, world.state, world.data)
    text = page_of(world).text.partition("The data: data-v1")[2]
    assert "12 pictures with 24 instances of 2 classes from 1 source" in text
    assert "bolt 6 2 4 12 12" in text
    assert "belt 12 4 8 12 24" in text
    assert "train 6, val 2, test 4" in text
    assert "16 × 16 (12)" in text


def test_loss_precision_recall_and_confusion_of_the_serving_version_are_drawn(world: World) -> None:
    with_two_versions(world)
    raw = write_report(world.app(), None).read_text()
    page = Reader(raw)
    assert "The model in detail: version 1, which serves" in page.text
    assert 'aria-label="loss over steps"' in raw
    assert 'aria-label="precision over recall, by class"' in raw
    assert 'aria-label="mask IoU of each class over versions"' in raw
    assert "version 1: annotated ↓ found → bolt nut nothing bolt 4" in page.text
    chart = raw.partition('aria-label="loss over steps"')[2].partition("</figure>")[0]
    training, validation = re.findall(r'<polyline points="([^"]*)"', chart)
    assert training == "348.0,10.0", "two steps, of which the last is recorded: loss 0.5, the largest"
    assert validation == "348.0,95.0", "0.25, half of it"
    assert chart.index("training loss") < chart.index("validation loss")


def test_iou_over_versions_goes_through_the_figures() -> None:
    """The plot is 44..348 wide and 10..180 high."""
    made = [
        VersionFigures(str(number), AT, "data-v1", "pass", "serves", {"bolt": bolt, "nut": 1.0})
        for number, bolt in ((1, 0.5), (2, None), (3, 1.0))
    ]
    chart = str(draw_versions(made))
    lines = re.findall(r'<polyline points="([^"]*)"', chart)
    assert lines == [
        "44.0,52.5 196.0,10.0 348.0,10.0",
        "44.0,95.0 348.0,10.0",
        "44.0,10.0 196.0,10.0 348.0,10.0",
    ]
    assert made[0].mean_iou == 0.75
    assert draw_versions([]) is None


def test_of_many_classes_the_worst_are_drawn_beside_the_mean() -> None:
    classes = {f"class {number}": number / 10 for number in range(10)}
    chart = str(draw_versions([VersionFigures("1", AT, "data-v1", "pass", "serves", dict(classes))]))
    assert "class 6<" in chart
    assert "class 7<" not in chart


def test_a_workspace_without_anything_has_a_page_too(world: World) -> None:
    text = page_of(world).text
    assert "Serving nothing yet" in text
    assert "no window judged yet" in text


def test_a_long_history_is_cut_newest_first(world: World) -> None:
    for number in range(MAX_HISTORY + 5):
        write_record(world.ledger, TriggerSuppressed(trigger_key=f"k{number}", reason="no"))
    text = page_of(world).text
    assert "5 earlier entries: maskloop history --all" in text
    assert text.index(f"k{MAX_HISTORY + 4}") < text.index("k5 ")
    assert "k4 " not in text


# --- links -------------------------------------------------------------------------------------------


def test_every_link_is_relative_and_leads_somewhere_also_when_the_folder_has_moved(
    world: World, tmp_path: Path
) -> None:
    with_two_versions(world)
    drift(world)
    reconcile(world.app())
    reports = world.workspace.reports_dir
    moved = tmp_path / "elsewhere with spaces"
    reports.rename(moved)
    pages = sorted(moved.rglob("*.html"))
    written = {"loop.html", "incidents.html", "evidence.html", "index.html", "data-check.html"}
    assert {page.name for page in pages} == written
    links = 0
    for page in pages:
        read = Reader(page.read_text())
        for address in read.addresses:
            if address.startswith("#"):
                assert f'id="{address[1:]}"' in page.read_text()
            elif not address.startswith("data:"):
                assert (page.parent / address).resolve().is_file(), (page, address)
                links += 1
    assert links >= 5, "two approval pages and the drift page; and back"


def test_a_page_written_elsewhere_links_the_workspace_from_there(world: World, tmp_path: Path) -> None:
    with_two_versions(world)
    written = write_report(world.app(), tmp_path / "out" / "page.html")
    addresses = [a for a in Reader(written.read_text()).addresses if not a.startswith(("#", "data:"))]
    assert addresses
    assert all((written.parent / address).resolve().is_file() for address in addresses)


def test_the_approval_page_of_a_first_training_links_a_page_that_is_there(world: World) -> None:
    run_turn(world.app(), starts_from="first-weights")
    page = world.workspace.reports_dir / "verdicts" / "version-1" / "evidence.html"
    assert "../../loop.html" in Reader(page.read_text()).addresses
    assert (page.parent / "../../loop.html").resolve().is_file()


# --- when it is written ------------------------------------------------------------------------------


def test_the_reconcile_writes_the_page_when_the_record_has_grown_and_not_otherwise(world: World) -> None:
    run_turn(world.app(), starts_from="first-weights")
    reconcile(world.app())
    page = world.workspace.loop_page
    first = page.read_text()
    assert written_up_to(page) == world.state.last_sequence
    world.clock.advance(hours=1)
    reconcile(world.app())
    assert page.read_text() == first, "nothing is new"
    decide_by_hand(world.app(), "1", "rejected", by="anna", why="misses nuts")
    reconcile(world.app())
    assert "misses nuts" in page.read_text()


def test_a_page_that_cannot_be_made_stops_nothing(world: World) -> None:
    run_turn(world.app(), starts_from="first-weights")
    page = world.workspace.loop_page
    page.unlink(missing_ok=True)
    page.mkdir(parents=True)
    reconcile(world.app())
    assert page.is_dir()


def test_data_that_cannot_be_read_leave_the_rest_of_the_page(world: World) -> None:
    run_turn(world.app(), starts_from="first-weights")
    lost = VersionIngested(
        tag="data-v9",
        fingerprint="f" * 64,
        dvc_md5="m",
        git_commit="c",
        source="belt",
        num_pictures=1,
        num_new_pictures=1,
        num_new_labelled=1,
        num_quarantined=0,
    )
    write_record(world.ledger, lost)
    write_report(world.app(), None)  # raises nothing
    assert count_data(world.data, world.state, SilentTeller()) is None


def test_refreshing_an_empty_ledger_writes_nothing(world: World) -> None:
    refresh_report(world.app())
    assert not (world.workspace.loop_page).exists()
