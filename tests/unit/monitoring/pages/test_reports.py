"""The pages about a verdict: complete, escaped, and readable without a network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.errors import DataError
from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.verdict import judge_drift
from monitoring.pages.drift_page import histogram_svg, write_drift_page
from monitoring.pages.evidently_report import write_drift_report
from tests.fakes.drift_data import baseline_of, draw, noise_picture, window_of

FETCHED = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)\s*=\s*[\"']?(?:https?:)?//")
"""Anything a browser would fetch from another machine."""


def page_of(tmp_path: Path, shift_sd: float, num: int = 60, **pictures: object) -> str:
    rng = np.random.default_rng(0)
    baseline, window = baseline_of(draw(rng, 80)), window_of(draw(rng, num, shift_sd=shift_sd))
    verdict = judge_drift(baseline, window, MonitoringSettings())
    return write_drift_page(tmp_path / "report", verdict, baseline, window, **pictures).read_text()  # type: ignore[arg-type]


def test_a_drift_page_says_what_happened_and_shows_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pictures = [noise_picture(rng, mean=90, sd=20) for _ in range(14)]
    page = page_of(
        tmp_path,
        2.0,
        reference_pictures=pictures,
        current_pictures=pictures[:3],
        links={"Every column in Evidently": "evidently.html"},
    )
    assert "Production has drifted" in page
    assert "Most likely:" in page
    assert page.count("data:image/jpeg;base64,") == 12 + 3
    assert page.count("<svg") == 12
    assert 'href="evidently.html"' in page
    assert not FETCHED.search(page)


@pytest.mark.parametrize(("num", "headline"), [(60, "No drift"), (10, "Cannot tell")])
def test_quiet_and_inconclusive_pages_name_no_cause(tmp_path: Path, num: int, headline: str) -> None:
    page = page_of(tmp_path, 0.0, num)
    assert headline in page
    assert "Most likely" not in page


def test_an_empty_window_has_a_page(tmp_path: Path) -> None:
    assert "0 against 80 validation pictures" in page_of(tmp_path, 0.0, 0)


def test_names_from_outside_cannot_inject_markup(tmp_path: Path) -> None:
    page = page_of(tmp_path, 0.0, links={"<script>alert(1)</script>": '"><script>'})
    assert "<script" not in page
    assert "<script" not in histogram_svg(np.ones(3), np.ones(3), title="<script>")


@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_any_two_samples_draw_as_wellformed_svg_within_its_frame(
    before: list[float], after: list[float]
) -> None:
    root = ElementTree.fromstring(histogram_svg(np.array(before), np.array(after), title="x"))
    paths = [path.attrib["d"] for path in root.iter("path")]
    assert len(paths) == 2
    heights = [float(number) for path in paths for number in re.findall(r"V([-\d.]+)", path)]
    assert all(0 <= height <= 84 for height in heights)


def test_evidently_compares_every_column_with_values_and_needs_no_network(tmp_path: Path) -> None:
    """Columns it cannot compare are named, not crashed on."""
    rng = np.random.default_rng(3)
    reference = baseline_of(draw(rng, 40)).rows()
    spoilt = {"noise": None, "sharpness": float("nan"), "only here": 1.0, "entropy": 1.0}
    current = [{**one.features, **spoilt} for one in draw(rng, 30, shift_sd=3)]
    constant = [{**row, "entropy": 1.0} for row in reference]
    report = write_drift_report(constant, current, tmp_path / "report")
    assert report.left_out == ("noise", "only here", "sharpness")
    assert report.p_values["brightness"] < 1e-6
    assert report.p_values["entropy"] == 1.0
    assert not FETCHED.search(report.html_file.read_text())
    assert json.loads(report.summary_file.read_text())["num_current"] == 30


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of Evidently, about the value that is infinite
def test_the_p_values_are_those_that_evidently_computes_and_its_page_shows_every_column(
    tmp_path: Path,
) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset
    from pandas import DataFrame

    rng = np.random.default_rng(4)
    reference, current = (
        [one.features for one in draw(rng, num, shift_sd=sd)] for num, sd in ((40, 0), (30, 1))
    )
    current[0] = {**current[0], "noise": None, "sharpness": float("inf")}
    columns = sorted(reference[0])
    numeric = DataDefinition(numerical_columns=columns)
    before, after = (
        Dataset.from_pandas(DataFrame(rows, columns=columns, dtype="float64"), data_definition=numeric)
        for rows in (reference, current)
    )
    theirs = Report([DataDriftPreset(num_method="ks")]).run(after, before).dict()["metrics"][1:]
    report = write_drift_report(reference, current, tmp_path)
    assert report.p_values == pytest.approx({one["config"]["column"]: one["value"] for one in theirs})
    page = report.html_file.read_text()
    assert all(f'"{column}"' in page for column in columns)


def test_evidently_is_not_asked_when_nothing_can_be_compared(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_drift_report([{"a": None}], [{"a": 1.0}], tmp_path)
