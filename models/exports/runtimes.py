"""The libraries that run exported graphs, on a CPU. Needs no torch.

OpenVINO computes in bfloat16 by itself on CPUs that have it; that is switched off, since it is neither the
model that was judged nor the one whose parity was measured.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]
"""Runs one graph (see `models.exports.graphs.graphs_of`) on one array."""


def load_openvino(file: Path, num_threads: int, num_beside: int = 1) -> Run:
    """Return what runs a graph in OpenVINO. Safe to call from several threads; each has buffers of its own.

    What a call returns is overwritten by the same thread's next call.

    Args:
        file: The graph.
        num_threads: Of one call.
        num_beside: Calls that run side by side; further ones wait.
    """
    openvino = import_silenced("openvino")
    wanted = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": num_threads * num_beside,
        "NUM_STREAMS": num_beside,
        "ENABLE_CPU_PINNING": False,  # other processes would have their threads pinned to the same cores
    }
    compiled = openvino.Core().compile_model(str(file), "CPU", wanted)
    own = threading.local()

    def run(array: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        found = own.request.infer([array], share_inputs=True, share_outputs=True)
        return [found[index] for index in range(len(compiled.outputs))]

    return run


def load_onnx(file: Path, num_threads: int, num_beside: int = 1) -> Run:
    """Return what runs a graph in ONNX Runtime. Safe to call from several threads, ``num_beside`` or more."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(array: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
        found: Sequence[NDArray[np.float32]] = session.run(None, {name: array})
        return found

    return run


def import_silenced(name: str) -> Any:
    """Import one of OpenVINO's libraries without the package by which it, unasked, reports its use."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return import_module(name)
