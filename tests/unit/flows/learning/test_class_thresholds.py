"""Thresholds of single classes: fitted on validation pictures when the settings ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from flows.learning.class_thresholds import calibrate, find_threshold_sources
from flows.workspace.figure_log import FigureLog
from maskloop.errors import IntegrityError
from maskloop.settings.workspace_settings import Settings
from models.artifacts.manifest import ArtifactFacts
from tests.fakes.loop_world import World

PER_CLASS = {"thresholds": {"per_class": True, "min_instances": 7}}


class Trained:
    """A trained model that has found these thresholds after thirty steps."""

    steps_done, seconds = 30, 1.0

    def __init__(self, found: Mapping[str, float]) -> None:
        self.found = found
        self.asked: list[tuple[tuple[LabelledPicture, ...], int]] = []

    def calibrate(self, pictures: Any, pixels_of: Any, *, min_instances: int, **_more: Any) -> Any:
        for picture in pictures:
            assert pixels_of(picture).shape == (picture.height_px, picture.width_px, 3)
        self.asked.append((tuple(pictures), min_instances))
        return self.found

    def save(self, _directory: Any, _facts: ArtifactFacts) -> Any:
        raise AssertionError("nothing is saved here")


class Listening:
    """The figures and the sentences of a calibration."""

    def __init__(self, world: World) -> None:
        self.tracker, self.said = world.tracker, list[str]()
        self.run_id = world.tracker.open_run("t", name="training", tags={})
        self.figures = FigureLog(world.tracker, self.run_id, world.clock, self.said.append)

    def recorded(self) -> dict[str, list[tuple[int, float]]]:
        return self.tracker.runs[self.run_id].metrics


def version_of(world: World) -> DatasetVersion:
    version = world.data.current()
    assert version is not None
    return version


def settings(**sections: Any) -> Settings:
    return Settings.model_validate(sections)


@pytest.fixture
def listening(world: World) -> Listening:
    return Listening(world)


def test_without_the_setting_no_picture_is_looked_at(world: World, listening: Listening) -> None:
    trained = Trained({"bolt": 0.5})
    version = version_of(world)
    assert calibrate(settings(), version, trained, listening.figures, listening.said.append) == {}
    assert (trained.asked, listening.recorded(), listening.said) == ([], {}, [])
    assert find_threshold_sources(settings(), version) == ()


def test_thresholds_are_fitted_on_the_validation_pictures_and_recorded_at_the_last_step(
    world: World, listening: Listening
) -> None:
    trained = Trained({"bolt": 0.25, "nut": 0.75})
    version = version_of(world)
    found = calibrate(settings(**PER_CLASS), version, trained, listening.figures, listening.said.append)

    assert found == {"bolt": 0.25, "nut": 0.75}
    assert trained.asked == [(version.by_split["val"], 7)]
    assert len(version.by_split["val"]) == 2
    assert listening.recorded() == {
        "validation/threshold/bolt": [(30, 0.25)],
        "validation/threshold/nut": [(30, 0.75)],
    }
    assert listening.said == ["thresholds of classes fitted on belt"]


def test_classes_without_an_own_threshold_are_named(world: World, listening: Listening) -> None:
    trained = Trained({"nut": 0.75})
    calibrate(settings(**PER_CLASS), version_of(world), trained, listening.figures, listening.said.append)
    assert listening.said[1:] == [
        "no own threshold for bolt: too few validation instances, or none of them found"
    ]


def test_only_sources_with_annotated_validation_pictures_count(world: World) -> None:
    version = version_of(world)
    assert find_threshold_sources(settings(**PER_CLASS), version) == ("belt",)
    without = DatasetVersion(
        version.tag, version.fingerprint, version.dvc_md5, version.git_commit, version.class_names,
        tuple(picture for picture in version.pictures if picture.split != "val"), version.root,
    )  # fmt: skip
    assert find_threshold_sources(settings(**PER_CLASS), without) == ()


def test_a_source_counts_once_and_not_for_pictures_without_annotations(world: World) -> None:
    version = version_of(world)
    first, second = version.by_split["val"]
    changed = {first.digest: replace(first, source="arm"), second.digest: replace(second, instances=())}
    pictures = tuple(changed.get(picture.digest, picture) for picture in version.pictures)
    assert find_threshold_sources(settings(**PER_CLASS), replace(version, pictures=pictures)) == ("arm",)


def test_without_validation_pictures_people_hear_that_nothing_was_fitted_on(
    world: World, listening: Listening
) -> None:
    version = version_of(world)
    rest = tuple(picture for picture in version.pictures if picture.split != "val")
    without, trained = replace(version, pictures=rest), Trained({})
    assert calibrate(settings(**PER_CLASS), without, trained, listening.figures, listening.said.append) == {}
    assert listening.said[0] == "thresholds of classes fitted on nothing"
    assert "no own threshold for bolt, nut" in listening.said[1]


def test_a_validation_picture_whose_file_was_altered_is_named(world: World, listening: Listening) -> None:
    version = version_of(world)
    broken = version.path(version.by_split["val"][0])
    broken.write_bytes(b"no picture")
    with pytest.raises(IntegrityError) as caught:
        calibrate(settings(**PER_CLASS), version, Trained({}), listening.figures, listening.said.append)
    assert caught.value.where == str(broken)
