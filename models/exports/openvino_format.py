"""Graphs in OpenVINO's format, in float32 or in 8-bit integers found by calibration; run on a CPU."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.exports.graphs import Graph
from models.exports.runtimes import import_silenced, load_openvino

load = load_openvino
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
    openvino = import_silenced("openvino")
    model = openvino.convert_model(graph.capture())
    free = [-1 if axis in graph.dynamic else size for axis, size in enumerate(graph.example.shape)]
    model.reshape(openvino.PartialShape(free))
    if samples is not None:
        model = _quantise(model, samples)
    openvino.save_model(model, file, compress_to_fp16=False)


def _quantise(model: Any, samples: Sequence[NDArray[np.float32]]) -> Any:
    """Post-training quantisation: weights symmetric, activations asymmetric, ranges seen in the samples."""
    nncf = import_silenced("nncf")
    nncf.set_log_level(logging.ERROR)
    return nncf.quantize(
        model, nncf.Dataset(samples), preset=nncf.QuantizationPreset.MIXED, subset_size=len(samples)
    )
