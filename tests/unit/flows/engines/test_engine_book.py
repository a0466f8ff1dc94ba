"""Which engine runs a model: measured once, kept, and torch wherever something is amiss."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.engines.engine_book import EngineWish, choose_test_pictures
from maskloop.errors import IntegrityError, PictureError, UnavailableError
from models.engines.choice import Trial
from registry.champion.serving_copy import ServedModel
from tests.fakes.engine_shelf import DIGEST, FAST, Shelf
from tests.fakes.loop_world import World
from tests.fakes.serving_world import FakePredictor

FASTER = Trial(engine="onnx", times_faster=2.5, num_pictures=1, num_instances=3, mask_iou=1.0)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_nothing_is_decided_until_the_trial_is_over_and_then_the_fastest_engine_runs_the_model(
    shelf: Shelf,
) -> None:
    shelf.engines.trials["onnx"] = FASTER
    arrived, go_on = threading.Event(), threading.Event()

    def hold(_should_stop: Any) -> None:
        arrived.set()
        assert go_on.wait(20)

    shelf.engines.before_trial = hold
    book = shelf.open()
    assert book.find(shelf.served) is None
    assert arrived.wait(20)
    assert book.find(shelf.served) is None
    assert book.load(shelf.served) is None
    go_on.set()
    choice = shelf.decide(book)
    assert (choice.engine, [trial.engine for trial in choice.trials]) == ("onnx", ["openvino", "onnx"])
    assert book.load(shelf.served) is not None
    (folder,) = shelf.engines.loaded
    assert [one.name for one in folder.parent.iterdir() if one.is_dir()] == [folder.name]
    book.close()


def test_a_decision_is_kept_for_the_next_start_and_for_other_workers(shelf: Shelf) -> None:
    first = shelf.open()
    shelf.decide(first)
    second = shelf.open()
    choice = second.find(shelf.served)
    assert choice is not None
    assert choice.engine == "openvino"
    assert len(shelf.engines.tried) == 1
    first.close()
    second.close()


@pytest.mark.parametrize("change", ["version", "machine", "setting", "weights"])
def test_a_decision_holds_for_one_model_machine_version_and_setting(shelf: Shelf, change: str) -> None:
    before = shelf.open()
    shelf.decide(before)
    before.close()
    if change == "version":
        shelf.engines.versions = {"torch": "2", "openvino": "2"}
    elif change == "machine":
        shelf.engines.machine = "another machine"
    elif change == "setting":
        shelf.wish = EngineWish("openvino", 0.98, "cpu", (2, 1))
    else:
        shelf.served = shelf.add_model("c" * 64)
    book = shelf.open()
    assert book.find(shelf.served) is None
    assert shelf.decide(book).engine == "openvino"
    assert len(shelf.engines.tried) == 2
    kept = sorted(file.name for file in (shelf.directory / DIGEST).glob("*.json"))
    assert len(kept) == (2 if change == "machine" else 1)  # of this machine only the newest
    book.close()


def test_an_engine_that_answers_otherwise_leaves_the_model_in_torch_and_no_files(shelf: Shelf) -> None:
    differs = FAST.model_copy(update={"obstacles": ("the mask IoU is 0.9", "the share is 0.8")})
    shelf.engines.trials = {"openvino": differs}
    book = shelf.open()
    choice = shelf.decide(book)
    assert (choice.engine, choice.reason) == ("torch", "openvino: the mask IoU is 0.9")
    assert book.load(shelf.served) is None
    assert shelf.observer.failures == [("openvino", "trial")]
    assert not [one for one in (shelf.directory / DIGEST).iterdir() if one.is_dir()]
    book.close()


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (EngineWish("torch", 0.98, "cpu", (2,)), 'serving.engine = "torch"'),
        (EngineWish("onnx", 0.98, "cpu", (2,)), "onnx is not installed"),
        (EngineWish("auto", 0.98, "cuda", (1,)), "engines are for CPUs, and the model computes on cuda"),
    ],
)
def test_where_there_is_nothing_to_try_torch_is_decided_at_once_and_says_why(
    shelf: Shelf, wish: EngineWish, reason: str
) -> None:
    shelf.wish = wish
    book = shelf.open()
    choice = book.find(shelf.served)
    assert choice is not None
    assert (choice.engine, choice.reason, shelf.engines.tried) == ("torch", reason, [])
    book.close()


def test_without_pictures_torch_answers_and_the_next_start_tries_again(shelf: Shelf) -> None:
    def fail(_served: ServedModel) -> Any:
        raise UnavailableError("the remote does not answer")

    shelf.pictures = fail
    book = shelf.open()
    choice = shelf.decide(book)
    assert (choice.engine, choice.reason) == (
        "torch",
        "no engine could be tried: the remote does not answer",
    )
    assert shelf.observer.failures == [("torch", "trial")]
    book.close()
    shelf.pictures = lambda _served: [np.zeros((8, 8, 3), np.uint8)]
    again = shelf.open()
    assert shelf.decide(again).engine == "openvino"
    again.close()


def test_an_export_that_was_damaged_is_not_run_and_is_made_again_at_the_next_start(shelf: Shelf) -> None:
    first = shelf.open()
    shelf.decide(first)
    shelf.engines.load_trouble = IntegrityError("the bytes do not match")
    assert first.load(shelf.served) is None
    choice = first.find(shelf.served)
    assert choice is not None
    assert (choice.engine, choice.reason) == ("torch", "openvino failed (load): the bytes do not match")
    first.close()
    shelf.engines.load_trouble = None
    second = shelf.open()
    assert shelf.decide(second).engine == "openvino"
    assert len(shelf.engines.tried) == 2
    second.close()


def test_an_engine_that_fails_a_request_gives_the_model_back_to_torch_but_a_bad_picture_does_not(
    shelf: Shelf,
) -> None:
    errors: list[Exception] = [PictureError("too thin"), RuntimeError("out of memory")]

    def fail(_pictures: Any) -> None:
        raise errors.pop(0)

    shelf.engines.predictor = FakePredictor(before=fail)
    book = shelf.open()
    shelf.decide(book)
    predictor = book.load(shelf.served)
    assert predictor is not None
    assert predictor.class_names == shelf.engines.predictor.class_names
    found = []
    for error in (PictureError, RuntimeError):
        with pytest.raises(error):
            predictor.predict([np.zeros((8, 8, 3), np.uint8)])
        choice = book.find(shelf.served)
        assert choice is not None
        found.append(choice.engine)
    assert found == ["openvino", "torch"]
    assert shelf.observer.failures == [("openvino", "answer")]
    book.close()


def test_a_trial_that_somebody_ended_is_tried_again_at_the_next_start(shelf: Shelf) -> None:
    ended = FAST.model_copy(update={"obstacles": ("ended with SIGTERM",), "is_lasting": False})
    shelf.engines.trials = {"openvino": ended}
    first = shelf.open()
    assert shelf.decide(first).engine == "torch"
    first.close()
    shelf.engines.trials = {"openvino": FAST}
    second = shelf.open()
    assert shelf.decide(second).engine == "openvino"
    second.close()


def test_a_service_that_stops_ends_the_trial_and_keeps_nothing_of_it(shelf: Shelf) -> None:
    arrived = threading.Event()

    def wait(should_stop: Any) -> None:
        arrived.set()
        while not should_stop():
            threading.Event().wait(0.001)

    shelf.engines.before_trial = wait
    book = shelf.open()
    assert book.find(shelf.served) is None
    assert arrived.wait(20)
    book.close()
    assert not list(shelf.directory.glob("*/*.json"))


def test_what_belongs_to_no_model_any_more_is_removed(shelf: Shelf) -> None:
    gone = shelf.directory / ("d" * 64)
    gone.mkdir(parents=True)
    book = shelf.open()
    shelf.decide(book)
    assert not gone.exists()
    book.close()


def test_the_same_test_pictures_are_chosen_each_time_and_never_others(world: World) -> None:
    data = world.data.current()
    assert data is not None
    digests = sorted(picture.digest for picture in data.by_split["test"])
    read: list[Path] = []

    def load(file: Path) -> np.ndarray:
        read.append(file)
        return np.zeros((1, 1, 3), np.uint8)

    assert len(choose_test_pictures(data, load)) == min(16, len(digests))
    assert read == [
        data.path(picture)
        for digest in digests[:16]
        for picture in data.by_split["test"]
        if picture.digest == digest
    ]
