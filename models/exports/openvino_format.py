"""Graphs in OpenVINO's format, in float32 or in 8-bit integers found by calibration; run on a CPU.

OpenVINO computes in bfloat16 by itself on CPUs that have it; that is switched off, since it is neither the
model that was judged nor the one whose parity was measured.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.exports.graphs import Graph
from models.exports.running import Run

SUFFIX = ".xml"
RUNTIME = "openvino"
PACKAGES = ("openvino",)
CALIBRATION_PACKAGES = ("openvino", "nncf")


def convert(graph: Graph, file: Path, samples: Sequence[NDArray[np.float32]] | None) -> None:
    """Write a graph to ``file``, its weights beside it.

    Args:
        graph: The network.
        file: Ends in ``.xml``.
        samples: Inputs of the graph, float32 (B, H, W, C) each, that 8-bit ranges are found in; None writes
            float32.
    """
    openvino = _import_silenced("openvino")
    model = openvino.convert_model(graph.capture())
    free = [-1 if axis in graph.dynamic else size for axis, size in enumerate(graph.example.shape)]
    model.reshape(openvino.PartialShape(free))
    if samples is not None:
        model = _quantise(model, samples)
    openvino.save_model(model, file, compress_to_fp16=False)


def load(file: Path, num_threads: int, num_beside: int = 1) -> Run:
    """Return what runs a graph. Safe to call from several threads; each has buffers of its own.

    What a call returns is overwritten by the same thread's next call.

    Args:
        file: The graph.
        num_threads: Of one call.
        num_beside: Calls that run side by side; further ones wait.
    """
    openvino = _import_silenced("openvino")
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


def _quantise(model: Any, samples: Sequence[NDArray[np.float32]]) -> Any:
    """Post-training quantisation: weights symmetric, activations asymmetric, ranges seen in the samples."""
    nncf = _import_silenced("nncf")
    nncf.set_log_level(logging.ERROR)
    return nncf.quantize(
        model, nncf.Dataset(samples), preset=nncf.QuantizationPreset.MIXED, subset_size=len(samples)
    )


def _import_silenced(name: str) -> Any:
    """Import one of OpenVINO's libraries without the package by which it, unasked, reports its use."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return import_module(name)
