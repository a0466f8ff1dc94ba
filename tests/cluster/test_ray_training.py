"""Two workers that Ray starts on this machine: they train what one process trains, and may be killed."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from maskloop.errors import ConfigurationError, StoppedError, TrainingError, UnavailableError
from maskloop.settings.workspace_settings import Settings, parse_settings
from models.cluster.ray_trainer import RayTrainer
from models.loading.request import TrainingRequest
from models.training.trainer import TorchTrainer
from models.training.training_loop import TrainingResult
from tests.contracts.test_model_ports import SETTINGS
from tests.fakes.loop_world import World

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own, which it raises in threads of this process
STEPS = 40


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    return World(tmp_path_factory.mktemp("data") / "workspace").label(range(12))


def settings_of(**training: object) -> Settings:
    known = {
        "batch_size": 3, "checkpoint_every_steps": 2, "precision": "fp32", "cluster": {"workers": 2},
        "evaluate_every_steps": 4, "ema_decay": 0.5,
    }  # fmt: skip
    return parse_settings({**SETTINGS, "training": {**SETTINGS["training"], **known, **training}})


def request_of(version, folder: Path, **training: object) -> TrainingRequest:
    return TrainingRequest(
        version, settings_of(**training), folder, steps=STEPS, learning_rate=0.01, device="cpu"
    )


class Told:
    """What the process that asks for a training is told, and what it does about it."""

    def __init__(self, *, kill_at: int = 0, stop_at: int = 0) -> None:
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.saved: list[int] = []
        self._kill_at, self._stop_at = kill_at, stop_at

    def train(self, trainer: TorchTrainer, request: TrainingRequest) -> TrainingResult:
        return trainer.train(
            request,
            on_step=self._on_step,
            on_evaluation=lambda _step, _metrics: None,
            progress=lambda _done, _in_all: None,
            on_checkpoint=self.saved.append,
            should_stop=lambda: self._stop_at in self.steps,
        )

    def _on_step(self, step: int, losses: Mapping[str, float], *_: object) -> None:
        self.steps.append(step)
        self.losses.append(losses["loss/total"])
        if step == self._kill_at and self.steps.count(step) == 1:
            os.kill(max(find_workers()), signal.SIGKILL)


def find_workers() -> list[int]:
    """Return the process ids of the ranks."""
    children = psutil.Process().children(recursive=True)
    return [each.pid for each in children if "RayTrainWorker" in " ".join(each.cmdline())]


def test_a_killed_worker_costs_the_steps_since_the_last_checkpoint_and_no_more(version, tmp_path, caplog):
    expected, told = Told(stop_at=3), Told(kill_at=5)
    with pytest.raises(StoppedError):
        expected.train(TorchTrainer(), request_of(version, tmp_path / "alone"))
    found = told.train(RayTrainer(), request_of(version, tmp_path / "together"))
    assert "workers were lost; 2 go on" in caplog.text
    assert len(told.steps) <= STEPS + 2  # a checkpoint is written every second step
    assert sorted(set(told.steps)) == [*range(1, STEPS + 1)]
    assert found.steps_done == STEPS
    assert told.losses[:2] == pytest.approx(expected.losses[:2], rel=1e-3)  # later ones, rounding grows
    assert all(bool(each.isfinite().all()) for each in found.model.state_dict().values())
    assert find_workers() == []


def test_a_stopped_training_is_saved_and_goes_on_with_one_process(version, tmp_path):
    request, told = request_of(version, tmp_path), Told(stop_at=3)
    with pytest.raises(StoppedError, match="which is saved"):
        told.train(RayTrainer(), request)
    assert told.saved
    again = Told()
    again.train(TorchTrainer(), request)
    assert again.steps == [*range(max(told.steps) + 1, STEPS + 1)]


def test_what_trying_again_does_not_change_ends_the_training_at_once_with_the_pictures_named(
    version, tmp_path
):
    request = request_of(
        version, tmp_path, optimizer="sgd", clip_norm=1e30, warmup_steps=0, schedule="constant"
    )
    told = Told()
    with pytest.raises(TrainingError, match="not finite at step") as raised:
        told.train(
            RayTrainer(),
            TrainingRequest(**{**vars(request), "learning_rate": 1e12}),
        )
    assert "pictures" in raised.value.where
    assert len(told.steps) == len(set(told.steps))


def test_a_cluster_that_is_not_there_is_named(version, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        request = request_of(version, tmp_path, cluster={"workers": 2, "address": address})
        with pytest.raises(UnavailableError, match="does not answer") as raised:
            Told().train(RayTrainer(), request)
    assert raised.value.where == address


def test_more_workers_than_gpus_are_refused(version, tmp_path):
    request = request_of(version, tmp_path)
    with pytest.raises(ConfigurationError, match="2 workers need 2 GPUs, and there are 0"):
        Told().train(RayTrainer(), TrainingRequest(**{**vars(request), "device": "cuda"}))
