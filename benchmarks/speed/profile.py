"""Where one run's time goes: the dearest operators, how many, and how often the device is waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch.profiler import ProfilerActivity, profile

_WAITS: Final = ("aten::_local_scalar_dense", "aten::nonzero")
"""Operators whose result the host needs at once: on a GPU it waits there."""
_LAUNCHES: Final = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx")


@dataclass(frozen=True)
class Profile:
    """What the profiler saw in one run.

    Attributes:
        dearest: Operators and their own share of the time, 0..1, largest first.
        operators: How many were called.
        waits: How many of them the host waits for on a GPU.
        launches: Kernels launched on a GPU; 0 on a CPU.
    """

    dearest: tuple[tuple[str, float], ...]
    operators: int
    waits: int
    launches: int

    def __str__(self) -> str:
        shares = ", ".join(f"{name.removeprefix('aten::')} {share:.0%}" for name, share in self.dearest)
        return f"{self.operators} operators, {self.waits} waits, {self.launches} kernel launches; {shares}"


def profile_once(run: Callable[[], object], *, top: int = 6) -> Profile:
    """Run it once without and once with the profiler."""
    run()
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        run()
    return summarise(profiler.key_averages(), top=top)


def summarise(averages: Iterable[Any], *, top: int) -> Profile:
    """Return a profile from the profiler's averages by name; device time counts where there is any."""
    events = list(averages)
    times = {each.key: each.self_device_time_total or each.self_cpu_time_total for each in events}
    total = sum(times.values()) or 1.0
    dearest = sorted(times.items(), key=lambda item: -item[1])[:top]
    return Profile(
        tuple((name, time / total) for name, time in dearest),
        sum(each.count for each in events if "::" in each.key),
        sum(each.count for each in events if each.key in _WAITS),
        sum(each.count for each in events if each.key in _LAUNCHES),
    )
