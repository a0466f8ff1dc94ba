"""A model as ONNX or OpenVINO graphs, calibrated and run."""
