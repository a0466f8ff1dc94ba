"""What a cluster has for each worker. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from maskloop.errors import ConfigurationError
from maskloop.settings.model_settings import ClusterSettings


@dataclass(frozen=True)
class Room:
    """What each worker gets.

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
