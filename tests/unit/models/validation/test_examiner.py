"""Who evaluates weights beside the steps: on a copy, without touching the network that learns."""

import math
import random
from concurrent.futures import CancelledError

import numpy as np
import pytest
import torch

from maskloop.errors import ConfigurationError
from models.loading.batches import PictureCache
from models.network.build import build_model
from models.validation.judging import Examiner, JudgeBeside, make_judge

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("_no_judge_is_left")


@pytest.fixture
def examiner(shapes, tiny_model, tmp_path):
    request = shapes.make_request(tmp_path, shapes.settings_beside())
    return Examiner(tiny_model, request, PictureCache(request.dataset, shapes.load_picture), CPU)


def test_what_was_given_up_is_not_measured_to_its_end(examiner, tiny_model):
    judge = JudgeBeside(examiner)
    examiner.give_up()
    judge.hand_in(tiny_model.state_dict())
    with pytest.raises(CancelledError):
        judge.hear()
    judge.close()


def test_on_mps_it_is_refused(examiner):
    examiner.device = torch.device("mps")
    with pytest.raises(ConfigurationError, match="two threads"):
        make_judge(examiner, beside=True)
    make_judge(examiner, beside=False).close()


# --- what must not be touched -----------------------------------------------------------------------


def test_measuring_draws_nothing_and_leaves_the_trained_network_as_it_is(shapes, tiny_model, tmp_path):
    request = shapes.make_request(tmp_path, shapes.settings_beside())
    model = tiny_model.train()
    examiner = Examiner(model, request, PictureCache(request.dataset, shapes.load_picture), CPU)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    torch_state = torch.get_rng_state()
    other_states = str(np.random.get_state()), random.getstate()
    other = build_other(shapes)
    torch.set_rng_state(torch_state)
    examiner.measure(other.state_dict())
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (str(np.random.get_state()), random.getstate()) == other_states
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(each.requires_grad for each in model.parameters())


def build_other(shapes):
    torch.manual_seed(1)
    return build_model(shapes.tiny_settings().model, num_classes=2)


def test_the_weights_under_judgement_are_a_copy(examiner, tiny_model):
    judge, weights = JudgeBeside(examiner), tiny_model.state_dict()
    name, tensor = next((name, each) for name, each in weights.items() if each.is_floating_point())
    before = tensor.clone()
    judged = judge.hand_in(weights)
    tensor.fill_(math.nan)
    judge.hear()
    judge.close()
    assert torch.equal(judged[name], before)


@pytest.mark.parametrize("is_beside", [False, True])
def test_a_verdict_is_heard_once(examiner, tiny_model, is_beside):
    judge = make_judge(examiner, beside=is_beside)
    judge.hand_in(tiny_model.state_dict())
    assert judge.hear().losses
    with pytest.raises(ValueError, match="no weights were handed in"):
        judge.hear()
    judge.close()
