"""Graphs in ONNX, in float32; run by ONNX Runtime on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from maskloop.errors import ConfigurationError
from models.exports.graphs import Graph
from models.exports.runtimes import load_onnx

load = load_onnx
SUFFIX = ".onnx"
RUNTIME = "onnxruntime"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def convert(graph: Graph, file: Path, samples: Sequence[NDArray[np.float32]] | None) -> None:
    """Write a graph to ``file``.

    Raises:
        ConfigurationError: if 8-bit integers are asked for, by samples of inputs, float32 of any shape.
    """
    if samples is not None:
        raise ConfigurationError("8-bit integers are made in OpenVINO's format alone")
    torch.onnx.export(graph.capture(), (), str(file), dynamo=True, external_data=False, verbose=False)
