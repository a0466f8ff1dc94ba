"""Randomness that follows from a seed and a step's number, and sums in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from maskloop.settings.backbones import BACKBONES


@contextmanager
def seeded(seed: int, step: int, *more: int) -> Iterator[None]:
    """Make torch's random numbers in the body depend on these numbers alone; restore its state after."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence([seed, step, *more]).generate_state(1, np.uint64)[0]))
        yield


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """On a CPU, add up in a fixed order in the body; accelerators lack kernels for that."""
    if device.type != "cpu":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


@contextmanager
def threads_for(backbone: str) -> Iterator[None]:
    """Compute the backbone on one thread inside the block, if its row says so.

    A step is thousands of operations, most of them of tens of microseconds, and threads wait for each other
    at the end of each. A step of the demo took 0.19 s with one thread and 0.13 s with two on two free cores,
    but 0.3-0.4 s and 0.5-1.9 s on busy ones. With one, the number of cores does not change the weights.
    """
    before = torch.get_num_threads()
    if BACKBONES[backbone].computes_on_one_thread:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
