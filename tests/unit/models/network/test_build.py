import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.settings.backbones import BACKBONES
from maskloop.settings.model_settings import ModelSettings
from maskloop.settings.network_rules import check_weights
from models.devices import choose_device
from models.network.build import build_model
from models.network.weights import load_pretrained, load_weights, read_weights


def _shapes(model):
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def _small(**changes):
    return ModelSettings(
        **{
            "backbone": "small", "weights": "scratch", "fpn_channels": 8, "box_head_width": 16,
            "mask_head_layers": (8,), "mask_head_width": 8, **changes,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("backbone", "factory"),
    [("resnet50", "maskrcnn_resnet50_fpn"), ("resnet50_v2", "maskrcnn_resnet50_fpn_v2")],
)
def test_the_large_backbones_have_torchvisions_tensors(backbone, factory):
    with torch.device("meta"):
        ours = build_model(ModelSettings(backbone=backbone, norm="batch"), num_classes=90, pretrained=False)
        theirs = torchvision.models.get_model(factory, weights=None, weights_backbone=None, num_classes=91)
    assert _shapes(ours) == _shapes(theirs)


@pytest.mark.parametrize("norm", ["frozen_batch", "batch", "group"])
@pytest.mark.parametrize("backbone", ["small", "mobilenet_v3", "efficientnet_b0", "resnet18", "resnext50"])
def test_every_backbone_and_norm_answers(backbone, norm):
    model = build_model(_small(backbone=backbone, norm=norm, min_size_px=64), num_classes=3).eval()
    with torch.inference_mode():
        output = model([torch.rand(3, 64, 80)])[0]
    assert output["boxes"].shape[1] == 4
    kinds = {"frozen_batch": FrozenBatchNorm2d, "batch": nn.BatchNorm2d, "group": nn.GroupNorm}
    assert any(isinstance(module, kinds[norm]) for module in model.backbone.body.modules())


@pytest.mark.parametrize(
    ("changes", "read", "value"),
    [
        ({"min_size_px": 77}, lambda m: m.transform.min_size, (77,)),
        ({"max_size_px": 99}, lambda m: m.transform.max_size, 99),
        ({"anchor_sizes_px": ((9,), (17,))}, lambda m: m.rpn.anchor_generator.sizes, ((9,), (17,))),
        ({"anchor_aspect_ratios": (3.0,)}, lambda m: m.rpn.anchor_generator.aspect_ratios[1], (3.0,)),
        ({"fpn_channels": 24}, lambda m: m.backbone.out_channels, 24),
        ({"box_head_width": 40}, lambda m: m.roi_heads.box_predictor.cls_score.in_features, 40),
        ({"mask_head_layers": (8, 12)}, lambda m: m.roi_heads.mask_predictor.conv5_mask.in_channels, 12),
        ({"mask_head_width": 20}, lambda m: m.roi_heads.mask_predictor.conv5_mask.out_channels, 20),
        ({"mask_roi_size_px": 10}, lambda m: m.roi_heads.mask_roi_pool.output_size, (10, 10)),
        ({"roi_sampling_ratio": 3}, lambda m: m.roi_heads.box_roi_pool.sampling_ratio, 3),
        ({"train_proposals_before_nms": 31}, lambda m: m.rpn._pre_nms_top_n["training"], 31),
        ({"train_proposals": 32}, lambda m: m.rpn._post_nms_top_n["training"], 32),
        ({"test_proposals_before_nms": 33}, lambda m: m.rpn._pre_nms_top_n["testing"], 33),
        ({"test_proposals": 34}, lambda m: m.rpn._post_nms_top_n["testing"], 34),
        ({"rois_per_picture": 35}, lambda m: m.roi_heads.fg_bg_sampler.batch_size_per_image, 35),
        ({"anchors_per_picture": 36}, lambda m: m.rpn.fg_bg_sampler.batch_size_per_image, 36),
        ({"max_detections": 37}, lambda m: m.roi_heads.detections_per_img, 37),
        ({"min_score": 0.25}, lambda m: m.roi_heads.score_thresh, 0.25),
        ({"nms_iou": 0.25}, lambda m: m.roi_heads.nms_thresh, 0.25),
    ],
)  # fmt: skip
def test_every_setting_reaches_the_network(changes, read, value):
    assert read(build_model(_small(**changes), num_classes=1)) == value


@pytest.mark.parametrize(
    ("backbone", "layers", "trained", "frozen"),
    [
        ("small", 1, "stage3.", "stage2."),
        ("resnet18", 2, "layer3.", "layer2."),
        ("mobilenet_v3", 2, "13.", "12."),
    ],
)
def test_only_the_last_layers_of_a_pretrained_body_are_trained(backbone, layers, trained, frozen):
    settings = _small(backbone=backbone, weights="imagenet", trainable_layers=layers, norm="batch")
    body = build_model(settings, num_classes=1, pretrained=False).backbone.body
    states = {name: parameter.requires_grad for name, parameter in body.named_parameters()}
    assert all(state for name, state in states.items() if name.startswith(trained))
    assert not any(state for name, state in states.items() if name.startswith(frozen))


def test_a_body_from_scratch_is_trained_as_a_whole():
    model = build_model(_small(trainable_layers=0), num_classes=1)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_anchors_that_do_not_fit_the_pyramid_are_refused():
    with pytest.raises(ConfigurationError, match="has 2 pyramid levels"):
        build_model(_small(anchor_sizes_px=((9,),)), num_classes=1)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_local_weights_are_loaded(tmp_path, suffix):
    source = build_model(_small(), num_classes=2)
    path = tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pth" else save_file)(source.state_dict(), path)
    loaded = build_model(_small(weights=str(path)), num_classes=2)
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), loaded.parameters(), strict=True))


def test_weights_of_other_classes_keep_everything_but_the_predictors(tmp_path, caplog):
    source = build_model(_small(), num_classes=2)
    torch.save({"model": source.state_dict()}, tmp_path / "w.pth")
    loaded = build_model(_small(weights=str(tmp_path / "w.pth")), num_classes=5)
    assert torch.equal(source.backbone.body["stage1"][0].weight, loaded.backbone.body["stage1"][0].weight)
    assert loaded.roi_heads.box_predictor.cls_score.out_features == 6
    assert "these layers start random: roi_heads.box_predictor.cls_score.weight" in caplog.text


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(build_model(_small(), num_classes=2).state_dict(), tmp_path / "w.pth")
    with pytest.raises(ConfigurationError, match="belong to another network"):
        build_model(_small(weights=str(tmp_path / "w.pth"), fpn_channels=16), num_classes=2)


def test_a_file_with_code_in_it_is_not_run(tmp_path):
    torch.save({"model": print}, tmp_path / "w.pth")
    with pytest.raises(ConfigurationError, match="cannot be read as plain tensors"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [b"", b"not weights at all"])
def test_a_broken_file_of_weights_is_refused(tmp_path, content):
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigurationError, match="cannot be read"):
            read_weights(tmp_path / name)


def test_a_missing_file_of_weights_names_the_alternatives(tmp_path):
    with pytest.raises(ConfigurationError, match=r"does not exist.*scratch"):
        build_model(_small(weights=str(tmp_path / "none.pth")), num_classes=2)


def test_coco_weights_for_a_backbone_without_them_are_refused():
    with pytest.raises(ConfigurationError, match=r"no 'coco' weights for the backbone 'small'.*scratch"):
        build_model(_small(weights="coco"), num_classes=2)


@pytest.mark.parametrize("backbone", ["resnet50", "resnet50_v2"])
@pytest.mark.parametrize(
    "changes",
    [
        {"fpn_channels": 128}, {"box_head_width": 512}, {"mask_head_layers": (256,) * 3},
        {"mask_head_width": 128},
        {"anchor_aspect_ratios": (1.0,)}, {"anchor_sizes_px": ((8, 16),) * 5}, {"norm": "group"},
        {"norm": "batch"}, {"anchor_sizes_px": ((8,),) * 5}, {"anchor_aspect_ratios": (1.0, 2.0, 3.0)},
        {"mask_roi_size_px": 28}, {"class_agnostic_masks": True}, {"rois_per_picture": 64},
    ],
)  # fmt: skip
def test_coco_weights_are_refused_beforehand_exactly_where_they_do_not_fit(backbone, changes):
    settings = ModelSettings(backbone=backbone, **changes)
    with torch.device("meta"):
        weights = build_model(ModelSettings(backbone=backbone), num_classes=90, pretrained=False).state_dict()
        try:
            load_weights(build_model(settings, num_classes=2, pretrained=False), weights, where="coco")
        except ConfigurationError:
            fits = False
        else:
            fits = True
    assert fits == (not list(check_weights(settings)))


def test_a_failed_download_says_what_to_use_instead(monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(UnavailableError, match=r"could not be downloaded: no route to host.*scratch"):
        build_model(_small(backbone="resnet18", weights="imagenet"), num_classes=2)


@pytest.mark.parametrize("backbone", [name for name, spec in BACKBONES.items() if spec.imagenet_weights])
def test_imagenet_weights_fill_the_body(monkeypatch, backbone):
    name = torchvision.models.get_weight(BACKBONES[backbone].imagenet_weights)
    builder = next(
        each
        for each in torchvision.models.list_models(torchvision.models)
        if torchvision.models.get_model_weights(each) is type(name)
    )
    with torch.device("meta"):
        state = torchvision.models.get_model(builder, weights=None).state_dict()
        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: state)
        model = build_model(_small(backbone=backbone), num_classes=2)
        stayed_random = load_pretrained(model, _small(backbone=backbone, weights="imagenet"))
    assert stayed_random == ()


@pytest.mark.parametrize("backbone", ["convnext_tiny", "swin_t"])
def test_a_body_with_norms_of_its_own_takes_no_other(backbone):
    with pytest.raises(ConfigurationError, match="has layer norms of its own"):
        build_model(_small(backbone=backbone, norm="batch"), num_classes=1)


def test_masks_for_all_classes_alike_have_torchvisions_names_and_one_channel():
    alike, by_class = (
        _shapes(build_model(_small(class_agnostic_masks=chosen), num_classes=3)) for chosen in (True, False)
    )
    last = "roi_heads.mask_predictor.mask_fcn_logits."
    assert [*alike] == [*by_class]
    assert {name for name in alike if alike[name] != by_class[name]} == {f"{last}weight", f"{last}bias"}
    assert (alike[f"{last}weight"][0], by_class[f"{last}weight"][0]) == (1, 4)


def test_weights_with_a_mask_for_each_class_start_a_mask_for_all_anew(tmp_path, caplog):
    torch.save(build_model(_small(), num_classes=2).state_dict(), tmp_path / "w.pth")
    build_model(_small(weights=str(tmp_path / "w.pth"), class_agnostic_masks=True), num_classes=2)
    assert "start random: roi_heads.mask_predictor.mask_fcn_logits.weight" in caplog.text


def test_settings_that_use_no_newer_key_are_written_as_before():
    written = _small().model_dump(mode="json")
    assert "class_agnostic_masks" not in written
    used = _small(class_agnostic_masks=True)
    assert used.model_dump(mode="json") == {**written, "class_agnostic_masks": True}
    assert ModelSettings.model_validate(used.model_dump(mode="json")) == used
    assert ModelSettings.model_validate_json(_small().model_dump_json()) == _small()


def test_pictures_of_the_right_size_are_not_resized():
    model = build_model(_small(min_size_px=64, max_size_px=128), num_classes=1)
    picture = torch.rand(3, 64, 100)
    assert model.transform.resize(picture)[0] is picture
    assert model.transform.resize(torch.rand(3, 64, 256))[0].shape == (3, 32, 128)
    assert model.transform.resize(torch.rand(3, 32, 32))[0].shape == (3, 64, 64)


def test_a_device_this_machine_lacks_is_an_error():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ConfigurationError, match="this machine has only"):
        choose_device("tpu")
