import copy

import pytest
import torch
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

from models.operations.convolutions import (
    LeanConv2d,
    TransformedConv2d,
    fold_norms,
    train_with_less_work,
    use_fewer_products,
)

needs_nnpack = pytest.mark.skipif(
    not torch.backends.nnpack.is_available(), reason="this torch was built without NNPACK"
)


def give_statistics(norm):
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    return norm


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, FrozenBatchNorm2d])
@pytest.mark.parametrize("bias", [True, False])
def test_a_folded_norm_changes_nothing_but_the_work(kind, bias):
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=bias),
        give_statistics(kind(8)),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(8, 4, 1, bias=bias), give_statistics(kind(4))),
    ).eval()
    before, kept = copy.deepcopy(layers), torch.randn(2, 3, 9, 9)
    assert fold_norms(layers) == 2
    assert not any(isinstance(module, kind) for module in layers.modules())
    torch.testing.assert_close(layers(kept), before(kept), rtol=1e-5, atol=1e-5)


def test_a_norm_without_a_convolution_before_it_stays():
    layers = nn.Sequential(
        nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4), nn.GroupNorm(2, 4)
    )
    assert fold_norms(layers.eval()) == 0


@needs_nnpack
@pytest.mark.parametrize("shape", [(1, 128, 24, 30), (3, 128, 24, 30), (16, 128, 14, 14)], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_fewer_products_give_the_same_sums(shape, layout):
    torch.manual_seed(0)
    conv = nn.Conv2d(128, 160, 3, padding=1).requires_grad_(False)
    maps = torch.randn(shape).contiguous(memory_format=layout)
    exact = copy.deepcopy(conv).double()(maps.double())
    error = (TransformedConv2d(conv)(maps) - exact).abs().max() / exact.std()
    assert error < 3e-4


def remembering(called, function):
    def call(*arguments, **named):
        called.append(1)
        return function(*arguments, **named)

    return call


@needs_nnpack
@pytest.mark.parametrize(("shape", "calls"), [((2, 128, 24, 30), 2), ((20, 128, 14, 14), 1)], ids=str)
def test_large_and_many_maps_are_really_transformed(shape, calls, monkeypatch):
    called: list[int] = []
    real = torch._nnpack_spatial_convolution
    monkeypatch.setattr(torch, "_nnpack_spatial_convolution", remembering(called, real))
    TransformedConv2d(nn.Conv2d(128, 128, 3, padding=1).requires_grad_(False))(torch.randn(shape))
    assert len(called) == calls


@pytest.mark.parametrize(
    "shape", [(1, 128, 10, 14), (5, 128, 14, 14), (30, 128, 7, 7), (0, 128, 14, 14)], ids=str
)
def test_few_small_maps_are_convolved_directly(shape, monkeypatch):
    monkeypatch.setattr(torch, "_nnpack_spatial_convolution", None)
    conv = nn.Conv2d(128, 128, 3, padding=1).requires_grad_(False)
    maps = torch.randn(shape)
    torch.testing.assert_close(TransformedConv2d(conv)(maps), conv(maps))


@needs_nnpack
def test_a_large_maps_result_does_not_depend_on_its_neighbours():
    transformed = TransformedConv2d(nn.Conv2d(128, 128, 3, padding=1).requires_grad_(False))
    maps = torch.randn(3, 128, 24, 30)
    assert torch.equal(transformed(maps)[1:2], transformed(maps[1:2]))


@needs_nnpack
def test_only_plain_3_x_3_convolutions_of_many_channels_are_replaced():
    torch.manual_seed(0)
    kept = [
        nn.Conv2d(128, 128, 1),
        nn.Conv2d(128, 128, 3),
        nn.Conv2d(128, 128, 3, padding=1, stride=2),
        nn.Conv2d(128, 128, 3, padding=1, groups=2),
        nn.Conv2d(128, 128, 3, padding=2, dilation=2),
        nn.Conv2d(128, 128, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(64, 128, 3, padding=1),
    ]
    layers = nn.Sequential(*kept, nn.Sequential(nn.Conv2d(128, 128, 3, padding=1)))
    assert use_fewer_products(layers) == 1
    assert [type(layer) for layer in layers[:-1]] == [nn.Conv2d] * len(kept)
    assert isinstance(next(layers[-1].children()), TransformedConv2d)


def test_without_nnpack_everything_stays(monkeypatch):
    monkeypatch.setattr(torch.backends.nnpack, "is_available", lambda: False)
    layers = nn.Sequential(nn.Conv2d(128, 128, 3, padding=1))
    assert use_fewer_products(layers) == 0
    assert type(layers[0]) is nn.Conv2d


def learn(layers, maps):
    """Return the answer and the gradients of the maps and all parameters."""
    maps = maps.clone(memory_format=torch.preserve_format).requires_grad_()
    answer = layers(maps)
    weights = torch.randn(answer.shape, generator=torch.Generator().manual_seed(7)).to(answer.dtype)
    trained = [each for each in layers.parameters() if each.requires_grad]
    return [answer, *torch.autograd.grad((answer * weights).sum(), [maps, *trained])]


@pytest.mark.parametrize("bias", [True, False])
def test_a_norm_folded_at_each_step_changes_nothing_but_the_work(bias):
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=bias, stride=2),
        give_statistics(FrozenBatchNorm2d(8)),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(8, 4, 1, bias=bias), give_statistics(FrozenBatchNorm2d(4))),
    ).double()
    lean = copy.deepcopy(layers)
    train_with_less_work(lean)
    assert [*lean.state_dict()] == [*layers.state_dict()]
    assert all(isinstance(each, LeanConv2d) for each in (lean[0], next(lean[3].children())))
    maps = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    for ours, theirs in zip(learn(lean, maps), learn(layers, maps), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_statistics_loaded_or_copied_later_are_the_ones_folded():
    layers = nn.Sequential(nn.Conv2d(3, 4, 1), FrozenBatchNorm2d(4))
    train_with_less_work(layers)
    other = nn.Sequential(nn.Conv2d(3, 4, 1), give_statistics(FrozenBatchNorm2d(4)))
    layers.load_state_dict(other.state_dict())
    maps = torch.randn(1, 3, 5, 5)
    for each in (layers, copy.deepcopy(layers), copy.deepcopy(layers).double().float()):
        torch.testing.assert_close(each(maps), other(maps))
    assert fold_norms(layers.eval()) == 1
    torch.testing.assert_close(layers(maps), other(maps))


@needs_nnpack
@pytest.mark.parametrize("shape", [(2, 128, 64, 64), (2, 128, 24, 30), (16, 128, 14, 14)], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_fewer_products_give_the_same_gradients(shape, layout, monkeypatch):
    torch.manual_seed(0)
    exact = nn.Sequential(nn.Conv2d(128, 160, 3, padding=1), give_statistics(FrozenBatchNorm2d(160)))
    lean = copy.deepcopy(exact)
    train_with_less_work(lean)
    called: list[int] = []
    real = torch._nnpack_spatial_convolution
    monkeypatch.setattr(torch, "_nnpack_spatial_convolution", remembering(called, real))
    maps = torch.randn(shape).contiguous(memory_format=layout)
    found = learn(lean, maps)
    assert len(called) == {64: 4, 24: 2, 14: 2}[shape[2]]  # there and back, but for the one in the middle
    for ours, theirs in zip(found, learn(exact.double(), maps.double()), strict=True):
        assert (ours - theirs).abs().max() / theirs.std() < 1e-3


def test_a_frozen_convolution_stays_frozen():
    conv = nn.Conv2d(128, 128, 3, padding=1).requires_grad_(False)
    layers = nn.Sequential(conv)
    train_with_less_work(layers)
    assert layers[0].weight is conv.weight
    maps = torch.randn(1, 128, 24, 30, requires_grad=True)
    layers(maps).sum().backward()
    assert maps.grad is not None
    assert layers[0].weight.grad is None


def test_half_precision_and_float64_are_convolved_by_torch(monkeypatch):
    monkeypatch.setattr(torch, "_nnpack_spatial_convolution", None)
    layers = nn.Sequential(nn.Conv2d(128, 128, 3, padding=1))
    train_with_less_work(layers)
    maps = torch.randn(1, 128, 24, 30)
    with torch.autocast("cpu", torch.bfloat16):
        assert layers(maps).dtype == torch.bfloat16
    assert layers.double()(maps.double()).dtype == torch.float64
