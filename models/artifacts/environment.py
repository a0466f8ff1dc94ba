"""What a model was made with: versions and hardware, for the record of a candidate."""

from __future__ import annotations

import platform

import numpy as np
import torch
import torchvision

from models.devices import computes_bf16


def describe_environment() -> dict[str, str]:
    """Return names and versions as text; the keys are always the same.

    >>> sorted(describe_environment())
    ['bf16', 'cpu', 'cuda', 'gpu', 'numpy', 'platform', 'python', 'threads', 'torch', 'torchvision']
    """
    has_cuda = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "cuda": str(torch.version.cuda) if has_cuda else "none",
        "gpu": torch.cuda.get_device_name() if has_cuda else "none",
        "bf16": str(computes_bf16(torch.device("cuda" if has_cuda else "cpu"))),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "platform": f"{platform.system()} {platform.machine()}",
    }
