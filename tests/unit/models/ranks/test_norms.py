import torch
from torch import nn

from models.ranks.group import ALONE
from models.ranks.norms import SharedBatchNorm2d, share_norms


def make_pair():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    other = nn.BatchNorm2d(3).double()
    other.load_state_dict(norm.state_dict())
    return norm, SharedBatchNorm2d.like(other, ALONE)


def test_one_rank_computes_what_torch_computes_with_the_same_gradients_and_statistics():
    norm, shared = make_pair()
    maps = torch.randn(4, 3, 5, 6, dtype=torch.float64)
    ours, theirs = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    for given, module in ((ours, shared), (theirs, norm)):
        (module(given).sin().sum()).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(shared.weight.grad, norm.weight.grad)
    torch.testing.assert_close(shared.state_dict(), norm.state_dict())


def test_in_evaluation_mode_it_is_torch_s_own():
    norm, shared = make_pair()
    maps = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    assert torch.equal(shared.eval()(maps), norm.eval()(maps))


def test_no_pictures_at_all_leave_the_statistics_as_they_were():
    _, shared = make_pair()
    before = shared.running_var.clone()
    empty = torch.zeros(0, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    shared(empty).sum().backward()
    assert torch.equal(shared.running_var, before)
    assert torch.equal(shared.weight.grad, torch.zeros(3, dtype=torch.float64))


def test_names_in_a_network_stay_and_every_norm_is_replaced():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4)))
    names = [*network.state_dict()]
    assert share_norms(network, ALONE) == 2
    assert [*network.state_dict()] == names
