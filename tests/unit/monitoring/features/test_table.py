"""The table of features: a row is all it takes, and the rows' order means nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import load_baseline, save_baseline
from monitoring.drift.verdict import DriftVerdict, judge_drift
from monitoring.features.answered_picture import AnsweredPicture
from monitoring.features.feature import ClassFeature, Feature, FeatureTable
from monitoring.features.observation import Observation
from monitoring.features.table import FEATURES, observe
from monitoring.pages.drift_page import write_drift_page
from tests.fakes.drift_data import baseline_of, no_detections, noise_picture, window_of

SETTINGS = MonitoringSettings(min_drifted_features=1)


def brightest(seen: AnsweredPicture) -> float:
    return float(seen.planes.max())


GLARE = Feature(
    "glare",
    "light",
    "picture",
    unit="grey levels",
    falls="highlights are dimmer",
    rises="highlights are brighter",
    measure=brightest,
    lower="has dimmer highlights",
    higher="has brighter highlights",
)


def pictures(num: int, *, with_highlight: bool = False, seed: int = 0) -> list[np.ndarray]:
    """Return dim pictures alike in everything but, if asked for, one bright pixel each."""
    rng = np.random.default_rng(seed)
    drawn = [noise_picture(rng, mean=60 + rng.normal(0, 3), sd=5 + rng.random()) for _ in range(num)]
    for picture in drawn if with_highlight else ():
        picture[0, 0] = 130
    return drawn


def measured(drawn: Sequence[np.ndarray], table: FeatureTable) -> list[Observation]:
    return [observe(one, no_detections(), ["bolt"], table=table) for one in drawn]


def with_row(table: FeatureTable, row: Feature) -> FeatureTable:
    return replace(table, features=(*table.features, row))


def judge(
    before: Sequence[Observation], after: Sequence[Observation], table: FeatureTable = FEATURES
) -> DriftVerdict:
    return judge_drift(baseline_of(before), window_of(after), SETTINGS, table=table)


def test_a_feature_that_is_added_to_the_table_is_judged_named_as_the_cause_and_shown(tmp_path: Path) -> None:
    table = with_row(FEATURES, GLARE)
    before, after = measured(pictures(60), table), measured(pictures(60, with_highlight=True, seed=1), table)
    verdict = judge(before, after, table)
    assert [signal.name for signal in verdict.signals if signal.drifted] == ["glare"]
    assert verdict.cause.startswith("highlights are brighter (glare ")
    assert "→ 130 grey levels on average" in verdict.cause
    page = write_drift_page(tmp_path, verdict, baseline_of(before), window_of(after)).read_text()
    assert "<h3>glare</h3>" in page
    assert "<td>glare<small>grey levels</small></td><td>light</td>" in page
    assert "highlights are brighter" in page


def test_the_order_of_rows_changes_no_measurement_and_no_verdict() -> None:
    turned = replace(FEATURES, features=FEATURES.features[::-1])
    plain = measured(pictures(60), FEATURES), measured(pictures(60, seed=2), FEATURES)
    other = measured(pictures(60), turned), measured(pictures(60, seed=2), turned)
    assert plain == other
    assert judge(*plain) == judge(*other, turned)


def test_a_baseline_from_before_a_feature_existed_is_compared_without_it(tmp_path: Path) -> None:
    save_baseline(baseline_of(measured(pictures(60), FEATURES)), tmp_path / "old.npz")
    table = with_row(FEATURES, GLARE)
    window = window_of(measured(pictures(60, seed=1), table))
    verdict = judge_drift(load_baseline(tmp_path / "old.npz"), window, SETTINGS, table=table)
    assert verdict.outcome == "quiet"
    assert "glare" not in {signal.name for signal in verdict.signals}


def test_a_feature_that_is_not_measured_any_more_is_passed_over() -> None:
    before = measured(pictures(60), with_row(FEATURES, GLARE))
    verdict = judge(before, measured(pictures(60, seed=1), FEATURES))
    assert (verdict.outcome, verdict.missing_percent) == ("quiet", 0.0)
    assert "glare" not in {signal.name for signal in verdict.signals}


def test_a_baseline_of_unknown_features_alone_cannot_be_compared() -> None:
    unknown = [Observation({"glow": 1.0})] * 60
    assert judge(unknown, unknown).reason == "the baseline has no features"


def test_a_feature_of_each_class_is_found_by_its_class() -> None:
    found = FEATURES.find("count of big {bolt}")
    assert found is not None
    assert (found.group, found.falls) == ("detections", "fewer of class big {bolt} are found")
    assert FEATURES.find("glow") is None


def test_two_features_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="noise"):
        with_row(FEATURES, replace(GLARE, name="noise"))
    twice = ClassFeature("count of ", "shape", "answer", "", "", "", lambda seen, index: None, "", "")
    with pytest.raises(ValueError, match="count of"):
        replace(FEATURES, of_classes=(*FEATURES.of_classes, twice))


def test_features_stored_by_earlier_releases_keep_their_names() -> None:
    """Samples and baselines on disk hold these; a name that goes away drops out of their verdicts."""
    stored = "brightness contrast red_green yellow_blue saturation sharpness entropy noise count mean_score"
    stored += " max_score low_score_share mean_relative_area mean_fill mean_aspect"
    assert set(stored.split()) <= {feature.name for feature in FEATURES.features}


def test_every_row_says_what_a_change_means_in_each_direction() -> None:
    """Of the network's own numbers neither the number nor the direction means anything to people."""
    rows = (*FEATURES.features, *(kind.of_class("bolt") for kind in FEATURES.of_classes))
    words = [one for row in rows if row.group != "embedding" for one in (row.falls, row.rises)]
    assert all(words)
    assert len(set(words)) == len(words)
    of_network = {one for row in rows if row.group == "embedding" for one in (row.falls, row.rises)}
    assert of_network == {"class bolt looks different inside its masks"}


def test_the_pause_is_called_before_each_feature() -> None:
    calls: list[int] = []
    seen = observe(pictures(1)[0], no_detections(), ["bolt"], pause=lambda: calls.append(1))
    assert len(calls) == len(seen.features)
