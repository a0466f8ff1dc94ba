"""Drift in plain words."""

from __future__ import annotations

from monitoring.features.table import EMBEDDING as EMBEDDING_ROW
from monitoring.features.table import FEATURES
from monitoring.signals.causes import describe_change, likely_cause
from monitoring.signals.feature_signal import FeatureSignal


def signal(
    name: str, before: float | None, after: float | None, effect: float = 0.8, drifted: bool = True
) -> FeatureSignal:
    feature = FEATURES.find(name)
    assert feature is not None
    return FeatureSignal(feature, 9, 9, 0.0, effect, 0.0, 0.0, effect, before, after, drifted)


EMBEDDING = FeatureSignal(EMBEDDING_ROW, 9, 9, 0.0, 1.0, 0.0, 0.0, 0.9, None, None, True)


def test_a_change_is_told_with_its_direction_and_numbers() -> None:
    assert (
        describe_change(signal("brightness", 0.5, 0.21))
        == "the pictures are darker (brightness 0.5 → 0.21 on average, effect 0.80)"
    )
    assert describe_change(signal("noise", 1.0, 7.0)).startswith("there is more noise")
    assert describe_change(signal("count of bolt", 4.0, 1.0)).startswith("fewer of class bolt are found")


def test_a_change_of_shape_alone_is_described_as_such() -> None:
    assert "spread differently" in describe_change(signal("contrast", 0.2, 0.2))


def test_a_value_with_a_unit_is_shown_with_its_unit() -> None:
    assert "(noise 1 → 7 grey levels on average" in describe_change(signal("noise", 1.0, 7.0))


def test_an_embedding_has_no_single_numbers_to_show() -> None:
    assert describe_change(EMBEDDING) == "embedding changed"


def test_the_pictures_come_first_one_per_group_and_then_what_the_model_makes_of_it() -> None:
    cause = likely_cause(
        [
            signal("count", 9.0, 2.0, effect=1.0),
            signal("red_green", 0.0, 0.1, effect=0.7),
            signal("saturation", 0.1, 0.4, effect=0.6),
            signal("noise", 1.0, 7.0, effect=0.5),
            signal("sharpness", 1.0, 2.0, effect=0.4),
        ]
    )
    told = [part.split(" (")[0] for part in cause.split("; ")]
    assert told == ["the colours moved towards red", "there is more noise", "fewer objects are found"]


def test_what_did_not_drift_is_no_cause() -> None:
    assert likely_cause([signal("noise", 1.0, 7.0, drifted=False)]) == ""


def test_an_embedding_alone_is_said_to_be_unexplained() -> None:
    assert "no single property" in likely_cause([EMBEDDING])
