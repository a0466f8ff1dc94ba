"""What stands on the drift page: every figure of the verdict, and where its samples came from."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.references import POOLED
from monitoring.drift.sources import judge_window
from monitoring.drift.verdict import judge_drift
from monitoring.features.observation import Observation
from monitoring.pages.drift_page import write_drift_page, write_p_value
from monitoring.samples.windows import Window
from tests.fakes.drift_data import baseline_of, sample_of

SETTINGS = MonitoringSettings(min_window_samples=50, min_drifted_features=1)
NUM = 60


def observed(noise: float) -> list[Observation]:
    """Return pictures in no order: noise evenly from ``noise`` to 1 grey level more, and one brightness."""
    steps = np.random.default_rng(1).permutation(NUM).tolist()
    return [Observation({"noise": noise + step / NUM, "brightness": 0.25}) for step in steps]


def window(noise: float) -> Window:
    """Return 40 samples of the belt by version 4, and 20 of the gate by version 3, a minute apart."""
    samples = [sample_of(f"s{number}", one) for number, one in enumerate(observed(noise))]
    told = [
        replace(
            sample,
            source="belt" if number < 40 else "gate",
            model_version="4" if number < 40 else "3",
            received_at=sample.received_at + timedelta(minutes=number),
        )
        for number, sample in enumerate(samples)
    ]
    return Window("w1", tuple(told))


def page_text(folder: Path, noise: float, **more: object) -> str:
    baseline, judged = baseline_of(observed(1.0)), window(noise)
    verdict = judge_drift(baseline, judged, SETTINGS)
    file = write_drift_page(folder, verdict, baseline, judged, **more)  # type: ignore[arg-type]
    assert file == folder / "index.html"
    return re.sub(r"\s+", " ", file.read_text())


@pytest.mark.parametrize(
    "said",
    [
        "<h1>Production has drifted</h1>",
        "Most likely: there is more noise (noise 1.49 → 5.49 grey levels on average, effect 1.00).",
        "<p>1 of 2 signals drifted, 1 is required; the largest effect is 1.00 in noise.</p>",
        "<dd>60 against 60 validation pictures</dd>",
        "<dd>belt: 40, gate: 20</dd>",
        "<dd>2026-03-01 12:00 to 2026-03-01 12:59</dd>",
        "<dd>version 3, 4, <code>w1</code></dd>",
        "<dt>Largest share missing</dt><dd>0.0 %</dd>",
        '<div class="chart drifted"> <h3>noise</h3>',
        '<div class="chart"> <h3>brightness</h3>',
        "<td>1.49</td> <td>5.49</td> <td>1.00</td> <td>0.75 to 1.00</td> <td>0.30</td> <td>below 0.001</td>",
        "<td>0.25</td> <td>0.25</td> <td>0.00</td> <td>0.00 to 0.25</td> <td>0.30</td> <td>1.000</td>",
        "<td>below 0.001</td> <td>0 %</td> <td>yes</td>",
        "<td>1.000</td> <td>0 %</td> <td>no</td>",
    ],
)
def test_a_page_about_drift_tells_every_figure(tmp_path: Path, said: str) -> None:
    assert said in page_text(tmp_path, 5.0)


def test_the_largest_effect_is_shown_first(tmp_path: Path) -> None:
    assert re.findall(r"<h3>(\w+)</h3>", page_text(tmp_path, 5.0)) == ["noise", "brightness"]


def test_a_quiet_page_marks_nothing_as_drifted(tmp_path: Path) -> None:
    page = page_text(tmp_path, 1.0)
    assert "<h1>No drift</h1>" in page
    assert 'class="chart drifted"' not in page
    assert "<td>yes</td>" not in page


def test_pictures_are_shown_only_where_there_are_some(tmp_path: Path) -> None:
    grey = np.full((4, 4, 3), 99, dtype=np.uint8)
    page = page_text(tmp_path, 1.0, current_pictures=[grey] * 13)
    assert "<h2>This window</h2>" in page
    assert 'alt="This window, picture 12"' in page
    assert "picture 13" not in page
    assert "<h2>The champion" not in page


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.00099, "below 0.001"), (0.001, "0.001"), (0.05, "0.050"), (0.9996, "1.000"), (1.0, "1.000")],
)
def test_a_p_value_has_three_decimals_and_is_never_zero(value: float, written: str) -> None:
    assert write_p_value(value) == written


def test_a_page_names_the_source_that_drifted_and_shows_its_samples_alone(tmp_path: Path) -> None:
    """60 samples of the belt as ever, among them 30 of a new camera with more noise."""
    baseline = baseline_of(observed(1.0))
    told = [("belt", one) for one in observed(1.0)] + [("gate", one) for one in observed(5.0)[:30]]
    mixed = [told[number] for number in np.random.default_rng(2).permutation(len(told)).tolist()]
    judged = Window(
        "w1",
        tuple(replace(sample_of(f"s{n}", one), source=source) for n, (source, one) in enumerate(mixed)),
    )
    found = judge_window({POOLED: baseline}, judged, SETTINGS)
    verdict = found.deciding.verdict
    file = write_drift_page(tmp_path, verdict, baseline, judged, sources=found.sources)
    page = re.sub(r"\s+", " ", file.read_text())
    assert "gate (30 of 90 samples, 33 %, since 2026-03-01 12:00 UTC or earlier, version 3): " in page
    assert (
        '<td>belt</td> <td class="words">quiet, compared with all sources<small></small></td> <td>60</td>'
        in page
    )
    assert (
        '<td>gate</td> <td class="words">drift, compared with all sources<small>there is more noise (noise'
        in page
    )
