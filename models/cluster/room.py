"""What a cluster has for each worker of a training, and for each trial of a search. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from maskloop.errors import ConfigurationError
from maskloop.settings.model_settings import ClusterSettings


@dataclass(frozen=True)
class Room:
    """What each worker, or trial, gets.

    Attributes:
        uses_gpu: A GPU of its own.
        cpus: Cores.
    """

    uses_gpu: bool
    cpus: int


def find_room(cluster: ClusterSettings, device: str, resources: Mapping[str, float]) -> Room:
    """Return what each worker gets of a cluster's resources. Pure.

    Args:
        cluster: How many workers, and the least.
        device: ``auto``, ``cpu`` or ``cuda``.
        resources: ``CPU`` and ``GPU``, of the whole cluster.

    Raises:
        ConfigurationError: if there is not enough for the least number of workers.
    """
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    least = cluster.least_workers or cluster.workers
    uses_gpu = device == "cuda" or (device == "auto" and gpus > 0)
    for what, has, is_needed in (("GPUs", gpus, uses_gpu), ("cores", cpus, True)):
        if is_needed and has < least:
            raise ConfigurationError(
                f"{least} workers need {least} {what}, and there are {has}",
                where="[training.cluster] workers",
                hint='lower workers or least_workers, add hosts, or set training.device to "cpu"'
                if what == "GPUs"
                else "lower workers or least_workers, or add hosts",
            )
    return Room(uses_gpu, 1 if uses_gpu else max(1, cpus // cluster.workers))


def find_trial_room(device: str, resources: Mapping[str, float], asked: int) -> tuple[Room, int]:
    """Return what each trial of a search gets of a cluster's resources, and how many run at a time. Pure.

    >>> find_trial_room("auto", {"CPU": 16.0, "GPU": 2.0}, 0), find_trial_room("cpu", {"CPU": 8.0}, 3)
    ((Room(uses_gpu=True, cpus=1), 2), (Room(uses_gpu=False, cpus=2), 3))

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        resources: ``CPU`` and ``GPU``, of the whole cluster.
        asked: Trials at a time; 0: one for each GPU, or one.

    Raises:
        ConfigurationError: if there is not enough for as many.
    """
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    uses_gpu = device == "cuda" or (device == "auto" and gpus > 0)
    count = asked or (max(1, gpus) if uses_gpu else 1)
    for what, has, is_needed in (("GPUs", gpus, uses_gpu), ("cores", cpus, True)):
        if is_needed and has < count:
            raise ConfigurationError(
                f"{count} trials at a time need {count} {what}, and there are {has}",
                where="[tune] concurrent_trials",
                hint="lower it, or leave it out",
            )
    return Room(uses_gpu, 1 if uses_gpu else max(1, cpus // count)), count
