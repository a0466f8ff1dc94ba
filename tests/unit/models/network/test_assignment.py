import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from models.network import assignment
from models.network.assignment import draw_balanced, keys_of, match_boxes, pad_rows


def draw_boxes(random, count, side=40.0):
    corners = torch.rand(count, 2, 2, generator=random) * side
    return torch.cat([corners.min(dim=1).values, corners.max(dim=1).values + 1.0], dim=1)


def match_as_torchvision(truth, boxes, matcher):
    if not len(truth):
        return torch.full((len(boxes),), Matcher.BELOW_LOW_THRESHOLD)
    return matcher(box_iou(truth, boxes))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    low=st.sampled_from([0.1, 0.3, 0.5]),
    keeps_best=st.booleans(),
)
def test_every_picture_is_matched_as_torchvision_matches_it_alone(seed, counts, low, keeps_best):
    random = torch.Generator().manual_seed(seed)
    matcher = Matcher(max(low, 0.5), low, allow_low_quality_matches=keeps_best)
    truth = [draw_boxes(random, count) for count in counts]
    boxes = draw_boxes(random, 50)
    ours = match_boxes(*pad_rows(truth), boxes[None], matcher)
    for own, single in zip(ours, truth, strict=True):
        assert own.tolist() == match_as_torchvision(single, boxes, matcher).tolist()


def test_pictures_may_have_boxes_of_their_own_and_be_matched_in_parts(monkeypatch):
    random = torch.Generator().manual_seed(0)
    truth, boxes = [draw_boxes(random, 3), draw_boxes(random, 5)], [draw_boxes(random, 20) for _ in range(2)]
    matcher = Matcher(0.5, 0.5)
    monkeypatch.setattr(assignment, "_PAIRS_AT_ONCE", 1)
    ours = match_boxes(*pad_rows(truth), torch.stack(boxes), matcher)
    theirs = [match_as_torchvision(*pair, matcher) for pair in zip(truth, boxes, strict=True)]
    assert ours.tolist() == torch.stack(theirs).tolist()


def test_rows_are_filled_up_and_said_to_be_real_or_not():
    padded, is_real = pad_rows([torch.ones(2, 4), torch.zeros(0, 4)])
    assert padded.shape == (2, 2, 4)
    assert padded[1].sum() == 0
    assert is_real.tolist() == [[True, True], [False, False]]
    assert pad_rows([torch.zeros(0, dtype=torch.int64)] * 2)[0].shape == (2, 1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 30),
    share=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    size=st.integers(1, 40),
)
def test_as_many_objects_and_as_much_background_is_drawn_as_torchvision_draws(seed, count, share, size):
    torch.manual_seed(seed)
    labels = torch.randint(-1, 3, (3, size))
    drawn, is_drawn = draw_balanced(labels, count, share)
    for own, places, really in zip(labels, drawn, is_drawn, strict=True):
        chosen = own[places[really]].tolist()
        num_objects = min(int(count * share), int((own >= 1).sum()))
        num_background = min(count - num_objects, int((own == 0).sum()))
        assert sum(label >= 1 for label in chosen) == num_objects
        assert sum(label == 0 for label in chosen) == num_background == len(chosen) - num_objects
        assert len(set(places[really].tolist())) == len(chosen)
        assert all(label >= 1 for label in chosen[:num_objects])


def test_each_box_is_drawn_equally_often():
    torch.manual_seed(0)
    labels = torch.tensor([[1, 1, 1, 1, 0, 0, 0, 0, 0, -1]])
    times = torch.zeros(10)
    for _ in range(2000):
        drawn, is_drawn = draw_balanced(labels, 4, 0.5)
        times[drawn[is_drawn]] += 1
    assert times[9] == 0
    assert (times[:4] / 2000 - 2 / 4).abs().max() < 0.05
    assert (times[4:9] / 2000 - 2 / 5).abs().max() < 0.05


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_picture_with_nothing_to_draw_gives_nothing(share):
    _, is_drawn = draw_balanced(torch.full((2, 7), -1), 4, share)
    assert not is_drawn.any()


def test_what_is_drawn_in_a_picture_follows_from_its_seed_whatever_the_other_pictures_are():
    labels = torch.from_numpy(np.random.default_rng(0).integers(-1, 3, (3, 60)))
    seeds = torch.tensor([7, -(2**62), 11])
    whole = draw_balanced(labels, 12, 0.25, picture_seeds=seeds)
    for row in range(3):
        alone = draw_balanced(labels[row : row + 1], 12, 0.25, picture_seeds=seeds[row : row + 1])
        assert torch.equal(alone[0][0], whole[0][row])
    padded = torch.cat([labels, torch.full((3, 20), -1)], dim=1)
    assert torch.equal(draw_balanced(padded, 12, 0.25, picture_seeds=seeds)[0], whole[0])


def test_keys_are_splitmix64_and_spread_evenly():
    """The first number of the seed 1234567 is 6457827717110365317, as published with the algorithm."""
    assert float(keys_of(torch.tensor([1234567]), 1)) == (6457827717110365317 >> 40) * 2.0**-24
    keys = keys_of(torch.arange(8), 4000)
    assert 0.0 <= float(keys.min()) < float(keys.max()) < 1.0
    assert float((keys.mean(dim=1) - 0.5).abs().max()) < 0.02
