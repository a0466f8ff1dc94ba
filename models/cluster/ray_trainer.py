"""Training with several workers behind the port of training: Ray Train starts them, and starts them again."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import ray
from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig
from ray.train.torch import TorchTrainer as RayTorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from maskloop.errors import TrainingError, UnavailableError
from models.cluster.connection import connected
from models.cluster.mailbox import Began, Listener, Mailbox
from models.cluster.room import Room, find_room
from models.cluster.versions import describe_programs
from models.cluster.worker import learn
from models.loading.request import OnEvaluation, OnStep, TrainingRequest
from models.training.trainer import TorchTrainer
from models.training.training_loop import TrainingResult

_log = logging.getLogger(__name__)
_RAY_FOLDER: Final = "ray"
_POLL_S: Final = 0.3
_RANKS_SILENT_S: Final = 600
_MEMORY: Final = ("OOM", "out of memory", "OutOfMemory")


class RayTrainer(TorchTrainer):
    """Trains with as many workers as the settings say. Everything else is done in this process."""

    def train(
        self,
        request: TrainingRequest,
        *,
        on_step: OnStep,
        on_evaluation: OnEvaluation,
        progress: Callable[[int, int], None],
        on_checkpoint: Callable[[int], None],
        should_stop: Callable[[], bool],
    ) -> TrainingResult:
        """Train, or go on where a killed run with the same request stood, with however many workers.

        The workers leave a last checkpoint, from which this process takes the model.
        """
        request.checkpoint_dir.mkdir(parents=True, exist_ok=True)
        listener = Listener(on_step, on_evaluation, progress, on_checkpoint, _Beginnings().tell)
        with connected(request.settings.training.cluster):
            _train_on_ray(request, listener, should_stop)
        shutil.rmtree(request.checkpoint_dir / _RAY_FOLDER, ignore_errors=True)
        return super().train(
            request,
            on_step=on_step,
            on_evaluation=on_evaluation,
            progress=progress,
            on_checkpoint=on_checkpoint,
            should_stop=should_stop,
        )


class _Beginnings:
    """Tells that workers train, and louder that they do so again."""

    def __init__(self) -> None:
        self._count = 0

    def tell(self, began: Began) -> None:
        self._count += 1
        hosts = ", ".join(sorted(set(began.hosts)))
        if self._count == 1:
            _log.info("%d workers train on %s", began.num_workers, hosts)
        else:
            _log.warning(
                "workers were lost; %d go on from the last checkpoint, on %s", began.num_workers, hosts
            )


def _train_on_ray(request: TrainingRequest, listener: Listener, should_stop: Callable[[], bool]) -> None:
    """Let Ray train in the background, and listen in this thread, whose callbacks these are."""
    cluster, device = request.settings.training.cluster, request.device
    room = find_room(cluster, device, ray.cluster_resources())
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    mailbox = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
    fitting = _Fitting(_make_ray_trainer(request, room, mailbox))
    try:
        while fitting.is_going_on():
            for message in ray.get(mailbox.take.remote()):
                listener.hear(message)
            if should_stop():
                ray.get(mailbox.ask_to_stop.remote())
        for message in ray.get(mailbox.take.remote()):
            listener.hear(message)
    except RayError as error:
        raise UnavailableError(
            f"the connection to Ray was lost: {_first_line(error)}",
            hint="the same command goes on from the last checkpoint",
        ) from error
    if fitting.error is not None:
        raise _explain(fitting.error, cluster.max_failures) from fitting.error


def _make_ray_trainer(request: TrainingRequest, room: Room, mailbox: Any) -> RayTorchTrainer:
    cluster = request.settings.training.cluster
    own = replace(request, device="cuda" if room.uses_gpu else "cpu")
    resources = {"CPU": room.cpus, **({"GPU": 1} if room.uses_gpu else {})}
    least = cluster.least_workers or cluster.workers
    return RayTorchTrainer(
        learn,
        train_loop_config={"request": own, "mailbox": mailbox, "programs": describe_programs()},
        torch_config=TorchConfig(
            backend="cpu:gloo,cuda:nccl" if room.uses_gpu else "gloo", timeout_s=_RANKS_SILENT_S
        ),
        scaling_config=ScalingConfig(
            num_workers=cluster.workers if least == cluster.workers else (least, cluster.workers),
            use_gpu=room.uses_gpu,
            resources_per_worker=resources,
        ),
        run_config=RunConfig(
            storage_path=str(request.checkpoint_dir),
            name=_RAY_FOLDER,
            failure_config=FailureConfig(max_failures=cluster.max_failures),
        ),
    )


class _Fitting:
    """Ray's training in a thread: it gives up with Ray, so nobody waits for the thread.

    Attributes:
        error: What it ended with; None as long as it goes on, and if it ended well.
    """

    def __init__(self, trainer: RayTorchTrainer) -> None:
        self.error: BaseException | None = None
        self._trainer = trainer
        self._thread = threading.Thread(target=self._fit, name="ray-train", daemon=True)
        self._thread.start()

    def is_going_on(self) -> bool:
        """Wait a little for the end; tell whether it has not come."""
        self._thread.join(_POLL_S)
        return self._thread.is_alive()

    def _fit(self) -> None:
        try:
            self._trainer.fit()
        except Exception as error:  # noqa: BLE001 - the thread that listens raises it
            self.error = error


def _explain(error: BaseException, max_failures: int) -> TrainingError:
    """Say in plain words how a training ended that Ray gave up."""
    reasons = [_first_line(each) for each in getattr(error, "worker_failures", {}).values()]
    said = reasons[0] if reasons else _first_line(error)
    if any(word in f"{error}" for word in _MEMORY):
        return TrainingError(
            f"a worker ran out of memory: {said}",
            hint="raise training.batch_parts, or lower training.batch_size or model.max_size_px",
        )
    return TrainingError(
        f"workers were lost more than {max_failures} times: {said}",
        hint="the same command goes on from the last checkpoint; see training.cluster.max_failures",
    )


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
