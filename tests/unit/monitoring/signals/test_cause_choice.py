"""Which of several changes is named as the cause, and in which words."""

from __future__ import annotations

import pytest

from monitoring.features.table import EMBEDDING, FEATURES
from monitoring.signals.causes import describe_change, likely_cause
from monitoring.signals.feature_signal import FeatureSignal


def signal(
    name: str, effect: float, *, before: float | None = 1.0, after: float | None = 2.0, drifted: bool = True
) -> FeatureSignal:
    feature = EMBEDDING if name == "embedding" else FEATURES.find(name)
    assert feature is not None
    return FeatureSignal(feature, 9, 9, 0.0, effect, 0.0, 0.0, effect, before, after, drifted)


def told(*signals: FeatureSignal) -> list[str]:
    return [part.partition(" (")[0] for part in likely_cause(signals).split("; ")]


def test_of_three_groups_of_pictures_the_two_largest_are_named_whatever_the_order() -> None:
    signals = [signal("noise", 0.5), signal("brightness", 0.9), signal("red_green", 0.7)]
    expected = ["the pictures are brighter", "the colours moved towards red"]
    assert told(*signals) == told(*reversed(signals)) == expected


def test_of_several_predictions_the_largest_is_named_last() -> None:
    signals = [signal("count", 0.6), signal("mean_score", 0.9), signal("noise", 0.4)]
    assert told(*signals) == ["there is more noise", "the model is surer"]


def test_predictions_alone_are_a_cause() -> None:
    assert told(signal("count", 0.6), signal("embedding", 0.9, before=None, after=None)) == [
        "more objects are found"
    ]


def test_a_large_change_that_did_not_drift_does_not_hide_a_smaller_one_of_its_group() -> None:
    signals = [signal("brightness", 0.9, drifted=False), signal("contrast", 0.5)]
    assert told(*signals) == ["the pictures have more contrast"]


def test_no_signals_have_no_cause() -> None:
    assert likely_cause([]) == ""


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (1.0, None, "noise changed"),
        (None, 1.0, "noise changed"),
        (1.0, 2.0, "there is more noise (noise 1 → 2 grey levels on average, effect 0.50)"),
        (2.0, 1.0, "there is less noise (noise 2 → 1 grey levels on average, effect 0.50)"),
        (
            1.0001,
            1.0004,
            "noise is spread differently (noise 1 → 1 grey levels on average, effect 0.50)",
        ),
        (0.0, 1234.5, "there is more noise (noise 0 → 1.23e+03 grey levels on average, effect 0.50)"),
    ],
)
def test_a_change_is_described_by_its_means(before: float | None, after: float | None, said: str) -> None:
    assert describe_change(signal("noise", 0.5, before=before, after=after)) == said
