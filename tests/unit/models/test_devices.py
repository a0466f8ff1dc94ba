import pytest
import torch

from models.devices import uses_bf16


@pytest.mark.parametrize(
    ("precision", "native", "expected"),
    [("auto", True, True), ("auto", False, False), ("bf16", False, True), ("fp32", True, False)],
)
def test_bf16_is_used_where_it_is_native_or_asked_for(monkeypatch, precision, native, expected):
    monkeypatch.setattr("models.devices.computes_bf16", lambda _device: native)
    assert uses_bf16(precision, torch.device("cpu")) is expected


def test_an_apple_gpu_computes_in_fp32_whatever_is_asked_for():
    assert not uses_bf16("bf16", torch.device("mps"))
