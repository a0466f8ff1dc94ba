"""How well anchors fit a workspace's boxes, and the lines to paste."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from flows.command.main import main
from flows.learning.anchors import AnchorReport, FittedAnchors, compare_anchors, report_anchors
from flows.loop.turn import run_turn
from maskloop.errors import DataError
from maskloop.settings.model_settings import ModelSettings
from models.training.anchor_fit import AnchorRecall, AnchorShapes
from tests.fakes.loop_world import World
from tests.fakes.opened import opens


def report_of(world: World, tag: str = "") -> AnchorReport:
    return report_anchors(world.data, world.workspace.settings.model, world.trainer, tag)


def test_fitted_anchors_reach_the_training_boxes_no_worse(world: World) -> None:
    app = world.app()
    report = report_of(world)
    version = app.data.current()
    assert version is not None
    num_boxes = sum(len(picture.instances) for picture in version.by_split["train"])
    assert (report.tag, report.num_pictures) == ("data-v1", len(version.by_split["train"]))
    assert report.present.of_all.num_boxes == report.fitted.of_all.num_boxes == num_boxes
    assert (report.fitted.of_all.mean_iou or 0) >= (report.present.of_all.mean_iou or 1)


def test_the_lines_to_paste_are_settings(world: World) -> None:
    report = report_of(world, "data-v1")
    pasted = ModelSettings(**tomllib.loads(report.fitted.as_settings()))
    assert pasted.anchor_sizes_px == report.fitted.shapes.sizes_px
    version = world.app().data.current()
    assert version is not None
    settings = world.app().settings.model.model_copy(
        update={each: getattr(pasted, each) for each in ("anchor_sizes_px", "anchor_aspect_ratios")}
    )
    assert compare_anchors(version, settings, world.trainer).present == report.fitted


def test_a_training_records_how_many_boxes_its_anchors_reach(world: World) -> None:
    report = report_of(world)
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert cycle.candidate is not None
    metrics = world.tracker.runs[cycle.candidate.run_id].metrics
    assert metrics["train/anchors/reach_iou_50"] == [(0, report.present.of_all.at_50)]
    assert metrics["train/anchors/reach_iou_70"] == [(0, report.present.of_all.at_70)]
    assert ("train/anchors/reach_small_iou_50" in metrics) == (report.present.of_small.num_boxes > 0)


def test_without_data_or_boxes_there_is_nothing_to_fit_to(tmp_path: Path, world: World) -> None:
    with pytest.raises(DataError, match="no boxes yet"):
        report_of(World(tmp_path / "empty"))


def test_the_command_answers_people_and_machines(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["data", "anchors"], opener=opens(world))
    told = capsys.readouterr().out
    assert "anchor_sizes_px = [[" in told
    assert "fitted" in told
    with pytest.raises(SystemExit):
        main(["data", "anchors", "--json"], opener=opens(world))
    answer = json.loads(capsys.readouterr().out)
    assert answer["present"]["of_all"]["num_boxes"] == answer["fitted"]["of_all"]["num_boxes"]
    assert answer["settings"].startswith("anchor_sizes_px = ")


def test_boxes_of_which_fitting_reaches_fewer_are_named() -> None:
    def reaching(of_all: float | None, of_small: float | None) -> FittedAnchors:
        shapes = AnchorShapes(((8,),), (1.0,))
        recalls = (AnchorRecall(9, 0.8, 1.0, of_all), AnchorRecall(3, 0.8, 1.0, of_small))
        return FittedAnchors(shapes, *recalls)

    def lost(present: FittedAnchors, fitted: FittedAnchors) -> tuple[str, ...]:
        return AnchorReport("data-v1", 5, present, fitted).what_is_lost()

    assert lost(reaching(0.96, 0.5), reaching(0.92, 0.4)) == ("boxes", "small boxes")
    assert lost(reaching(0.4, 0.5), reaching(0.7, 0.4)) == ("small boxes",)
    assert lost(reaching(0.4, None), reaching(0.4, None)) == ()
