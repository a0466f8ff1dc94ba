"""What a teacher says about the regions its pupil draws, and how far the pupil is from it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskloop.errors import ConfigurationError, IntegrityError
from maskloop.settings.model_settings import DistillationSettings
from models.artifacts.manifest import ArtifactFacts
from models.artifacts.model_folder import save_artifact
from models.network.build import build_model
from models.operations.crops import MaskCrop
from models.operations.mask_targets import make_target
from models.training.distillation import HeadOutput, Teacher, align_classes, lessons, mix, trusted

CPU = torch.device("cpu")
ALL = DistillationSettings(min_score=0.0)


def logits_of(*rows):
    """Logits whose softmax is the rows."""
    return torch.tensor(rows, dtype=torch.float64).log()


def test_classes_are_found_by_name_wherever_the_teacher_has_them():
    assert align_classes(["a", "b", "c"], ["c", "x", "b"]) == {0: 0, 2: 3, 3: 1}


def test_a_teacher_without_any_of_the_classes_is_refused():
    with pytest.raises(ConfigurationError, match="trained on none of the classes"):
        align_classes(["a"], ["b"])


def test_the_teacher_is_trusted_where_it_gives_the_label_enough_and_knows_it():
    taught = logits_of([0.2, 0.8], [0.6, 0.4], [0.9, 0.1], [0.1, 0.9])
    own = torch.tensor([1, 1, 0, -1])
    assert trusted(taught, own, 0.5).tolist() == [True, False, True, False]
    assert trusted(taught, own, 0.0).tolist() == [True, True, True, False]


def answer_of(logits, deltas, masks):
    return HeadOutput(torch.as_tensor(logits), torch.as_tensor(deltas), torch.as_tensor(masks))


def test_lessons_are_the_losses_of_labels_where_the_teacher_is_trusted():
    pupil = answer_of(logits_of([0.5, 0.5], [0.5, 0.5], [0.2, 0.8]), torch.zeros(2, 4), torch.zeros(2, 4, 4))
    goal = logits_of([0.75, 0.25], [0.1, 0.9], [0.1, 0.9])
    teacher = answer_of(goal, torch.full((2, 4), 1.0), torch.full((2, 4, 4), 3.0))
    is_trusted = torch.tensor([True, True, False])
    found = lessons(pupil, teacher, is_trusted, torch.tensor([False, True, True]))
    assert found["loss_taught_class"].item() == pytest.approx(2 * np.log(2.0) / 3)
    assert found["loss_taught_box"].item() == pytest.approx(4 * (1.0 - 0.5 / 9) / 3)
    assert found["loss_taught_mask"].item() == pytest.approx(np.log(2.0) / 2)


@given(st.integers(0, 2**31))
def test_nobody_is_nearer_to_the_teacher_than_the_teacher(seed):
    random = torch.Generator().manual_seed(seed)

    def draw():
        shapes = [(3, 4), (3, 4), (3, 5, 5)]
        return answer_of(*(torch.randn(each, dtype=torch.float64, generator=random) for each in shapes))

    pupil, teacher, everywhere = draw(), draw(), torch.ones(3, dtype=torch.bool)
    nearest = lessons(teacher, teacher, everywhere, everywhere)
    assert nearest["loss_taught_box"] == 0.0
    for name, loss in lessons(pupil, teacher, everywhere, everywhere).items():
        assert loss >= nearest[name], name


def test_masks_of_another_size_are_scaled_to_the_pupils():
    goal = torch.full((1, 8, 8), -20.0)
    goal[:, :, 4:] = 20.0
    matching = torch.tensor([-20.0, -20.0, 20.0, 20.0]).expand(1, 4, 4)

    def lesson(masks):
        pupil, teacher = (answer_of(torch.zeros(1, 2), torch.zeros(1, 4), each) for each in (masks, goal))
        everywhere = torch.tensor([True])
        return lessons(pupil, teacher, everywhere, everywhere)["loss_taught_mask"].item()

    assert lesson(matching) < 1.5  # only the seam is soft
    assert lesson(-matching) > 15.0


@pytest.mark.parametrize("side", [4, 8])
def test_without_objects_there_is_no_mask_to_learn_and_still_a_gradient(side):
    masks = torch.zeros(0, 4, 4, requires_grad=True)
    pupil = answer_of(torch.zeros(2, 3), torch.zeros(0, 4), masks)
    teacher = answer_of(torch.zeros(2, 3), torch.zeros(0, 4), torch.zeros(0, side, side))
    nowhere = torch.tensor([False, False])
    found = lessons(pupil, teacher, ~nowhere, nowhere)
    found["loss_taught_mask"].backward()
    assert found["loss_taught_mask"].item() == found["loss_taught_box"].item() == 0.0


def test_the_labels_have_what_the_teacher_leaves_them():
    mixed = mix({"label": torch.tensor(4.0)}, {"taught": torch.tensor(8.0)}, 0.25)
    assert {name: loss.item() for name, loss in mixed.items()} == {"label": 3.0, "taught": 2.0}


# --- a teacher and its pupil -----------------------------------------------------------------------


@pytest.fixture
def frozen(shapes):
    """Settings of a network that answers alike in training and afterwards."""
    return shapes.tiny_settings().model.model_copy(update={"norm": "frozen_batch"})


def build(settings, seed=0):
    torch.manual_seed(seed)
    return build_model(settings, num_classes=2)


def make_teacher(model, names, *, settings=ALL, own_names=("square", "disc")):
    return Teacher(model, class_names=names, pupil_class_names=own_names, settings=settings, device=CPU)


def learn(shapes, pupil, teacher):
    """One step's losses on two pictures, which the pupil always draws the same regions in."""
    images, targets = [], []
    for index in (0, 1):
        pixels, (mask,), kind = shapes.draw(index)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, left = int(rows[0]), int(columns[0])
        crop = MaskCrop(left, top, mask[top : rows[-1] + 1, left : columns[-1] + 1])
        images.append(torch.from_numpy(pixels).permute(2, 0, 1))
        targets.append(make_target([crop], np.array([kind + 1]), height_px=48, width_px=48))
    torch.manual_seed(1)
    with teacher.teaching(pupil.roi_heads, images):
        return pupil.train()(images, targets)


def test_a_network_has_nothing_to_teach_itself_about_boxes(shapes, frozen):
    pupil = build(frozen)
    own = learn(shapes, pupil, make_teacher(pupil, shapes.CLASS_NAMES))
    other = learn(shapes, pupil, make_teacher(build(frozen, 1), shapes.CLASS_NAMES))
    assert own["loss_taught_box"].item() == pytest.approx(0.0, abs=1e-6)
    assert other["loss_taught_box"] > 1e-4
    assert other["loss_taught_class"] > own["loss_taught_class"]


def test_it_makes_no_difference_in_which_order_the_teacher_has_its_classes(shapes, frozen):
    pupil, model, turned = build(frozen), build(frozen, 1), build(frozen, 1)
    state = turned.state_dict()
    for name in ("box_predictor.cls_score", "box_predictor.bbox_pred", "mask_predictor.mask_fcn_logits"):
        for kind in ("weight", "bias"):
            rows = state[f"roi_heads.{name}.{kind}"]
            background, first, second = rows.chunk(3)
            state[f"roi_heads.{name}.{kind}"] = torch.cat([background, second, first])
    turned.load_state_dict(state)
    straight = learn(shapes, pupil, make_teacher(model, ("square", "disc")))
    other = learn(shapes, pupil, make_teacher(turned, ("disc", "square")))
    for name, loss in straight.items():
        assert loss.item() == pytest.approx(other[name].item(), abs=1e-6), name


def test_a_teacher_that_sees_the_pictures_larger_looks_at_the_same_regions(shapes, frozen):
    """Enlarged twice, flat pictures stay flat: the teacher's answer hardly changes if the boxes follow."""
    pupil = build(frozen)
    seen: list[torch.Tensor] = []
    larger = frozen.model_copy(update={"min_size_px": 96, "max_size_px": 192})
    for settings in (frozen, larger):
        teacher = make_teacher(build(settings, 1), shapes.CLASS_NAMES)
        pool = teacher._model.roi_heads.box_roi_pool
        keep = seen.append
        pool.register_forward_pre_hook(lambda _pool, given, keep=keep: keep(torch.cat(given[1])))
        learn(shapes, pupil, teacher)
    assert torch.equal(seen[1], 2.0 * seen[0])


def test_another_backbone_can_teach_and_every_head_of_the_pupil_learns_from_it(shapes, frozen):
    other = frozen.model_copy(
        update={"backbone": "resnet18", "anchor_sizes_px": (), "fpn_channels": 16, "mask_roi_size_px": 14}
    )
    pupil = build(frozen)
    losses = learn(shapes, pupil, make_teacher(build(other), ("disc", "square")))
    (losses["loss_taught_class"] + losses["loss_taught_mask"]).backward()
    learnt = {name for name, each in pupil.named_parameters() if each.grad is not None and each.grad.any()}
    assert {
        "roi_heads.box_predictor.cls_score.weight",
        "roi_heads.mask_predictor.conv5_mask.weight",
    } <= learnt
    assert any(name.startswith("backbone.body") for name in learnt)


def test_the_weight_shares_the_losses_and_a_teacher_that_is_never_sure_says_nothing(shapes, frozen):
    pupil, model = build(frozen), build(frozen, 1)

    def learn_with(**changes):
        settings = ALL.model_copy(update=changes)
        losses = learn(shapes, pupil, make_teacher(model, shapes.CLASS_NAMES, settings=settings))
        return {name: loss.item() for name, loss in losses.items()}

    half, all_of_it, unsure = learn_with(), learn_with(weight=1.0), learn_with(min_score=1.0)
    for part in ("class", "box", "mask"):
        assert half[f"loss_taught_{part}"] == pytest.approx(0.5 * all_of_it[f"loss_taught_{part}"])
        assert unsure[f"loss_taught_{part}"] == 0.0
    assert all_of_it["loss_classifier"] == 0.0
    assert unsure["loss_classifier"] == half["loss_classifier"] > 0.0
    assert half["loss_objectness"] == all_of_it["loss_objectness"] > 0.0


def test_the_pupil_is_left_as_torchvision_knows_it(shapes, frozen):
    pupil = build(frozen)
    before = list(pupil.state_dict())
    learn(shapes, pupil, make_teacher(build(frozen, 1), shapes.CLASS_NAMES))
    assert pupil.roi_heads.lesson is None
    assert list(pupil.state_dict()) == before


def test_a_teacher_with_other_weights_than_recorded_is_refused(shapes, artifact):
    folder, _ = artifact
    known = {"pupil_class_names": shapes.CLASS_NAMES, "settings": ALL, "device": CPU}
    with pytest.raises(IntegrityError, match="was expected"):
        Teacher.load(folder, expected_digest="0" * 64, **known)


def test_the_manifest_names_the_teacher(shapes, tiny_model, tmp_path):
    manifest = save_artifact(
        tmp_path / "pupil",
        tiny_model,
        ArtifactFacts(
            class_names=shapes.CLASS_NAMES,
            settings=shapes.tiny_settings().model,
            score_threshold=0.5,
            teacher_digest="t" * 64,
        ),
    )
    assert manifest.teacher_digest == "t" * 64
