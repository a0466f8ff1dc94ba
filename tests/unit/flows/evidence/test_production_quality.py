"""The champion is held against labels of production pictures as they arrive, once for each data version."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import pytest

from dataset.labelled_pictures import LabelOrigin
from flows.evidence.production_quality import add_up, choose_production_pictures, measure_production_quality
from flows.loop.reconcile import reconcile
from maskloop.errors import IntegrityError
from maskloop.records.kinds import ChosenPicture, LabelsRequested, QualityMeasured, write_record
from tests.fakes.iou_tables import iou_table
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World
from tests.fakes.model_ports import FakePredictors
from tests.fakes.selection_data import kept_sample


@pytest.fixture
def served(world: World) -> World:
    first_champion(world)
    return world


def label_production(world: World, numbers: range, *, random: int = 0) -> None:
    """Label pictures that the service answered; the first of them a request drew at random."""
    version = world.label(numbers)
    new = [one for one in version.pictures if one.added_in == version.tag]
    chosen = []
    for number, one in enumerate(new):
        sample = replace(kept_sample(one.digest), sample_id=f"{version.tag}-{number}")
        world.samples.add(sample, picture_bytes=b"kept")
        about = {"sample_id": sample.sample_id, "picture_digest": one.digest, "source": "belt"}
        is_random = number < random
        chosen.append(ChosenPicture.model_validate(about | {"reason": "a look", "is_random": is_random}))
    if random:
        request = LabelsRequested(request_id=version.tag, cause="a test", chosen=tuple(chosen))
        write_record(world.ledger, request)


def test_labels_of_production_pictures_are_measured_once_when_they_come(served: World) -> None:
    label_production(served, range(12, 24))
    done = reconcile(served.app()).done
    (record,) = served.of_kind(QualityMeasured)
    assert record.sentence() in done
    assert (record.version, record.data_tag, record.num_pictures) == ("1", "data-v2", 12)
    assert {one.class_name: one.num_instances for one in record.classes} == {"bolt": 12, "nut": 12}
    assert all(0.5 < one.iou_sum / one.num_instances < 1 for one in record.classes)
    reconcile(served.app())
    assert len(served.of_kind(QualityMeasured)) == 1


def test_only_what_came_since_the_last_measurement_is_measured(served: World) -> None:
    for numbers in (range(12, 18), range(18, 20)):
        label_production(served, numbers)
        reconcile(served.app())
    assert [one.num_pictures for one in served.of_kind(QualityMeasured)] == [6, 2]


def test_pictures_drawn_at_random_are_added_up_by_themselves(served: World) -> None:
    label_production(served, range(12, 24), random=4)
    reconcile(served.app())
    (record,) = served.of_kind(QualityMeasured)
    assert record.num_random == 4
    assert [one.num_instances for one in record.random_classes] == [4, 4]
    assert ", 4 of them at random" in record.sentence()


def test_random_pictures_with_labels_say_the_iou_with_an_interval(served: World) -> None:
    label_production(served, range(12, 24), random=8)
    reconcile(served.app())
    (record,) = served.of_kind(QualityMeasured)
    assert [(one.class_name, one.num_labelled) for one in record.checked] == [("bolt", 8), ("nut", 8)]
    for checked, summed in zip(record.checked, record.random_classes, strict=True):
        assert checked.low is not None
        assert checked.high is not None
        assert checked.low <= summed.iou_sum / summed.num_instances <= checked.high
    assert "; by the random ones: bolt: 0." in record.sentence()


def test_pictures_that_production_never_showed_are_no_measure_of_it(served: World) -> None:
    served.label(range(12, 24))
    reconcile(served.app())
    (record,) = served.of_kind(QualityMeasured)
    assert (record.num_pictures, record.classes) == (0, ())
    num_entries = len(served.ledger.entries())
    reconcile(served.app())
    assert len(served.ledger.entries()) == num_entries


def test_what_clients_corrected_and_reviewers_accepted_is_production(served: World) -> None:
    version = served.label(range(12, 18))
    new = [one for one in version.pictures if one.added_in == "data-v2"]
    origins: tuple[LabelOrigin, ...] = ("corrected", "model-reviewed", "human", "human", "human", "human")
    labelled = [replace(one, label_origin=origin) for one, origin in zip(new, origins, strict=True)]
    found = choose_production_pictures(replace(version, pictures=tuple(labelled)), "data-v1", {new[2].digest})
    assert {one.digest for one in found} == {one.digest for one in new[:3]}


class RefusingPredictors(FakePredictors):
    def load(self, *_: object, **__: object) -> NoReturn:
        raise IntegrityError("these are other weights")


def test_a_champion_that_cannot_be_loaded_is_told_and_stops_nothing(served: World) -> None:
    label_production(served, range(12, 24))
    served.predictors = RefusingPredictors()
    assert not any("mask IoU" in one for one in reconcile(served.app()).done)
    assert served.of_kind(QualityMeasured) == []
    served.predictors = FakePredictors()
    reconcile(served.app())
    assert len(served.of_kind(QualityMeasured)) == 1


def test_nothing_is_measured_before_something_serves(world: World) -> None:
    assert measure_production_quality(world.app()) == []


def test_sums_of_a_table_are_those_over_its_pictures() -> None:
    """Pictures with IoU sums 0.8 and 1.2 of one and two instances of the only class that is there."""
    table = iou_table([[0.8], [0.6]], class_names=("bolt",), num_instances=1)
    table.num_instances[1, 0], table.iou_sum[1, 0] = 2, 1.2
    (found,) = add_up(table, set(table.picture_ids))
    assert (found.num_pictures, found.num_instances, found.instances_squared) == (2, 3, 5)
    assert found.iou_sum == pytest.approx(2.0)
    assert found.iou_sum_squared == pytest.approx(0.64 + 1.44)
    assert found.iou_sum_by_instances == pytest.approx(0.8 + 2.4)
    assert add_up(table, set()) == ()
