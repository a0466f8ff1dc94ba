"""Where tensors live: the accelerator this machine has, or the one that was asked for."""

from __future__ import annotations

import resource
import sys
from typing import Final

import torch

from maskloop.errors import ConfigurationError

_NUM_CORES: Final = torch.get_num_threads()
"""The thread count at start-up: the number of cores, or OMP_NUM_THREADS."""


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` takes cuda, then mps, then cpu.

    >>> choose_device("cpu")
    device(type='cpu')

    Raises:
        ConfigurationError: if the device was asked for by name and this machine does not have it.
    """
    available = [*(["cuda"] if torch.cuda.is_available() else []), *_mps(), "cpu"]
    if name == "auto":
        return torch.device(available[0])
    if name.partition(":")[0] not in available:
        raise ConfigurationError(
            f"the device {name!r} was asked for, and this machine has only {', '.join(available)}",
            where="[training] device",
            hint='set it to "auto" or "cpu"',
        )
    return torch.device(name)


def count_cores(name: str) -> int:
    """Return how many cores models on the device called ``name`` compute with; an accelerator needs one."""
    return _NUM_CORES if choose_device(name).type == "cpu" else 1


def use_cores(count: int) -> None:
    """Set the number of cores for the computations of the calling thread.

    torch takes over the number that was set last, by any thread, when a thread first needs it. Asking for it
    is such a need, so what is set afterwards stays.
    """
    torch.get_num_threads()
    torch.set_num_threads(count)


def computes_bf16(device: torch.device) -> bool:
    """Tell whether a device computes in bfloat16 natively. A CPU without it imitates it, very slowly.

    For CPUs the answer is oneDNN's: x86 needs AVX-512 with the bf16 or AMX extension (or at least AVX-512BW,
    VL and DQ), ARM its own bf16 instructions.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Tell whether a training of this precision (``auto``, ``bf16``, ``fp32``) computes in bfloat16 here."""
    if device.type not in ("cpu", "cuda"):
        return False
    return precision == "bf16" or (precision == "auto" and computes_bf16(device))


def _mps() -> list[str]:
    return ["mps"] if torch.backends.mps.is_available() else []


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most memory used so far: on a CUDA device its tensors, otherwise this whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes
