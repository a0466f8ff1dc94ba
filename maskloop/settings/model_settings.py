"""Settings of the network: how it is trained, searched for, and answers very many pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from maskloop.settings.backbones import BackboneName
from maskloop.settings.sections import Count, Percent, Positive, Section, Share

Scale = Annotated[float, Field(ge=0.05, le=20.0)]
FastPart = Literal["anchors", "convolutions", "heads", "pooling", "preparation", "proposals"]
"""A faster replacement of one part of torchvision's training step. See `models.network.fast_parts`."""


class PredictionSettings(Section):
    """How a network answers. Nothing of it changes the training."""

    soft_nms: Literal["off", "linear", "gaussian"] = "off"
    """Detections that overlap a better one of their class get a lower score instead of being dropped."""
    soft_nms_sigma: Positive = 0.5
    """Of `gaussian`: the larger, the less a score is lowered."""
    mirrored: bool = False
    """Look at each picture's mirror image too, and join the answers."""
    extra_scales: tuple[Annotated[float, Field(ge=0.25, le=4.0)], ...] = ()
    """Look at each picture scaled by these factors too, and join the answers."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What the networks compute in."""


class BatchSettings(Section):
    """How `maskloop batch` cuts pictures, shares them out, and what an hour costs."""

    tile_px: Count = 1024
    """Side of the tiles of pictures that are too large to be answered whole."""
    overlap_px: Annotated[int, Field(ge=0)] = 256
    """What neighbouring tiles share at least."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that answer; 0: one for each core, or one for an accelerator."""
    shard_pictures: Count = 16
    """Pictures and tiles that are kept together, the most that a kill costs each worker."""
    price_per_hour: Annotated[float, Field(ge=0.0)] = 0.0
    """Of everything that a run uses for an hour; 0: costs are not told."""
    currency: str = "EUR"

    @model_validator(mode="after")
    def _tiles_are_larger_than_their_overlap(self) -> BatchSettings:
        if self.overlap_px >= self.tile_px:
            raise ValueError("overlap_px must be below tile_px")
        return self

    def cost_of(self, hours: float) -> float | None:
        """Return what a run of so many hours costs; None if no price is set."""
        return hours * self.price_per_hour if self.price_per_hour else None

    def overlap_of(self, tile_px: int | None, overlap_px: int | None) -> int:
        """Return the overlap that was asked for, or the default of such tiles.

        >>> BatchSettings().overlap_of(None, None), BatchSettings().overlap_of(512, None)
        (256, 128)
        """
        if overlap_px is not None:
            return overlap_px
        return self.overlap_px if tile_px is None else tile_px // 4


class ModelSettings(Section):
    """The network: torchvision's MaskRCNN, built from these."""

    backbone: BackboneName = "resnet50_v2"
    weights: str = "coco"
    """`coco` (downloaded by torchvision), `scratch`, or the path of a local .pth or .safetensors file."""
    min_size_px: Count = 800
    max_size_px: Count = 1333
    anchor_sizes_px: tuple[tuple[Count, ...], ...] = ()
    """One tuple per FPN level, finest first. Empty: the backbone's own default."""
    anchor_aspect_ratios: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.5, 1.0, 2.0)
    fpn_channels: Count = 256
    box_head_width: Count = 1024
    mask_head_layers: tuple[Count, ...] = (256, 256, 256, 256)
    mask_head_width: Count = 256
    mask_roi_size_px: Count = 14
    """Side of the RoI the mask head sees; its masks are twice as large."""
    class_agnostic_masks: bool = False
    """The mask head draws one mask whatever the class, instead of one for each class."""
    roi_sampling_ratio: Count = 2
    train_proposals_before_nms: Count = 2000
    train_proposals: Count = 2000
    test_proposals_before_nms: Count = 1000
    test_proposals: Count = 1000
    rois_per_picture: Count = 512
    anchors_per_picture: Count = 256
    max_detections: Count = 100
    min_score: Share = 0.05
    nms_iou: Share = 0.5
    norm: Literal["frozen_batch", "batch", "group"] = "frozen_batch"
    trainable_layers: Annotated[int, Field(ge=0, le=6)] = 3
    prediction: PredictionSettings = PredictionSettings()

    @model_serializer(mode="wrap")
    def _leave_out_newer_keys_at_their_defaults(
        self, serialize: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        """Settings that do not use them keep their digests, and manifests can be read by older code."""
        values: dict[str, Any] = serialize(self)
        unused = [
            name for name in _NEWER_KEYS if getattr(self, name) == type(self).model_fields[name].default
        ]
        return {name: value for name, value in values.items() if name not in unused}


_NEWER_KEYS: Final = ("class_agnostic_masks", "prediction")
"""Added after trainings were recorded."""


class AugmentationSettings(Section):
    """How training pictures are varied, besides the flips and colours in `[training]`. All off by default."""

    scale_range: tuple[Scale, Scale] = (1.0, 1.0)
    """Pictures are scaled by a factor drawn from this range, then cut or padded to their size."""
    crop: Share = 0.0
    """Chance of cutting a window out of a picture, around one of its instances."""
    min_crop_side: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Shortest side of such a window, as a share of the picture's."""
    min_visible: Share = 0.1
    """Instances are dropped if cutting or pasting leaves less than this share of them."""
    copy_paste: Share = 0.0
    """Chance of pasting instances of another training picture into one."""
    mosaic: Share = 0.0
    """Chance of putting a picture and three others together as one."""
    mirrored_classes: tuple[tuple[str, str], ...] = ()
    """Pairs of classes that are each other's mirror image; a flip exchanges their names."""

    @field_validator("scale_range")
    @classmethod
    def _from_small_to_large(cls, scale_range: tuple[float, float]) -> tuple[float, float]:
        if scale_range[0] > scale_range[1]:
            raise ValueError("the smaller scale comes first")
        return scale_range

    @field_validator("mirrored_classes")
    @classmethod
    def _a_class_has_one_mirror_image(cls, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        names = [name for pair in pairs for name in pair]
        if len(set(names)) != len(names):
            raise ValueError("a class is named twice")
        return pairs


class PictureSamplingSettings(Section):
    """Which training pictures are drawn more often, and which go together."""

    repeat_threshold: Share = 0.0
    """Classes in a smaller share of the pictures than this are seen more often; 0 draws all alike."""
    hard_example_weight: Annotated[float, Field(ge=1.0)] = 1.0
    """How many times as often retraining draws pictures that were corrected or that a rollout failed on."""
    group_by_orientation: bool = False
    """Batches hold only wide or only tall pictures, so that little is padded."""


class DistillationSettings(Section):
    """How much `maskloop distil` lets a network learn from the champion, beside the labels."""

    weight: Share = 0.5
    """Share of the champion's word in the losses of classes, boxes and masks; the labels have the rest."""
    min_score: Share = 0.5
    """The champion teaches only where it gives what the label says at least this score."""


class ClusterSettings(Section):
    """How many processes train one network together. That changes what is computed by rounding alone."""

    workers: Count = 1
    """Processes, each with a GPU of its own where there is one; 1 trains in this process, without Ray."""
    least_workers: Annotated[int, Field(ge=0)] = 0
    """Go on with as few as this when hosts are lost; 0 waits until there is room for all."""
    address: str = ""
    """Of a Ray cluster that this machine belongs to, `host:6379` or `auto`; empty starts Ray here."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """Losses of workers in one attempt before it fails; each goes on from the last checkpoint."""


class TrainingSettings(Section):
    """How the network is trained, from its first weights and again from the champion's."""

    steps: Count = 2000
    batch_size: Count = 2
    batch_parts: Count = 1
    """A batch goes through the network in so many parts, one after the other, which need less memory."""
    learning_rate: Positive = 2e-4
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: Annotated[float, Field(ge=0.0)] = 1e-4
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    schedule: Literal["one_cycle", "cosine", "constant"] = "one_cycle"
    clip_norm: Positive = 10.0
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay of the exponential moving average of the weights; 0 turns it off."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto`: bf16 where the device computes it natively, else fp32."""
    fast_parts: tuple[FastPart, ...] = get_args(FastPart)
    """Those that take torchvision's places; it does without those left out."""
    compile: bool = False
    """Let torch compile body and pyramid before the first step."""
    evaluate_every_steps: Count = 200
    evaluate_beside: bool = False
    """Evaluate in a thread of its own while the next steps go on; the result counts one interval later."""
    early_stopping_evaluations: Annotated[int, Field(ge=0)] = 0
    """Stop after this many evaluations on the validation pictures without a better IoU; 0 never stops."""
    checkpoint_every_steps: Count = 50
    horizontal_flip: Share = 0.5
    vertical_flip: Share = 0.0
    colour_jitter: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    num_workers: Annotated[int, Field(ge=0)] = 2
    """Threads that make batches while the network learns; 0 makes them between the steps."""
    picture_cache_mb: Annotated[int, Field(ge=0)] = 1024
    """Decoded pictures are kept in memory up to this size."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    seed: Annotated[int, Field(ge=0)] = 0
    retrain_steps: Count = 1000
    retrain_learning_rate: Positive = 1e-4
    replay_percent: Percent = 50.0
    """Share of each retraining batch drawn from the pictures the champion was trained on."""
    augmentation: AugmentationSettings = AugmentationSettings()
    sampling: PictureSamplingSettings = PictureSamplingSettings()
    distillation: DistillationSettings = DistillationSettings()
    cluster: Annotated[ClusterSettings, Field(exclude=True)] = ClusterSettings()
    """Where it is trained does not shape the model, so no digest of the settings holds it."""

    @model_serializer(mode="wrap")
    def _leave_out_newer_keys_at_their_defaults(
        self, serialize: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        """Settings that do not use them keep their digests."""
        values: dict[str, Any] = serialize(self)
        return {name: value for name, value in values.items() if (name, value) != ("batch_parts", 1)}

    @field_validator("fast_parts")
    @classmethod
    def _each_once_and_in_order(cls, parts: tuple[FastPart, ...]) -> tuple[FastPart, ...]:
        return tuple(part for part in get_args(FastPart) if part in parts)


class VariedSettings(Section):
    """What one setting may be: anything between two ends, or one of several values."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    """Draw its logarithm evenly: for what spans powers of ten."""
    choices: tuple[Any, ...] = ()

    @field_validator("choices", mode="before")
    @classmethod
    def _take_a_list(cls, choices: Any) -> Any:
        return tuple(choices) if isinstance(choices, list) else choices

    @model_validator(mode="after")
    def _is_a_range_or_choices(self) -> VariedSettings:
        if self.choices:
            if (self.low, self.high, self.log) != (None, None, False):
                raise ValueError("give either low and high, or choices")
            if len(self.choices) < 2:
                raise ValueError("there must be two choices at least")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if self.low >= self.high:
            raise ValueError("low must be below high")
        if self.log and self.low <= 0.0:
            raise ValueError("low must be above 0 where log is true")
        return self


class TuneSettings(Section):
    """How `maskloop tune` searches, unless its options say otherwise."""

    hours: Positive = 1.0
    """Of a search, over all its runs: a killed one goes on with what is left."""
    max_trials: Annotated[int, Field(ge=0)] = 0
    """A search ends after so many trials too; 0: when its hours are used."""
    concurrent_trials: Annotated[int, Field(ge=0)] = 0
    """Trials at a time; 0: one for each GPU, or one."""
    sampler: Literal["tpe", "random"] = "tpe"
    """`tpe` learns from the trials before; `random` is what to compare it with."""
    early_stopping: bool = True
    """Trials that are worse than others after as many steps end before their last step."""
    reduction_factor: Annotated[int, Field(ge=2, le=10)] = 3
    """One of so many trials goes on from each of two rungs: a ninth and a third of the steps for 3."""
    space: dict[str, VariedSettings] = Field(default_factory=dict)
    """What may vary, in place of the default: settings such as `training.learning_rate`."""

    @field_validator("space", mode="before")
    @classmethod
    def _take_tables_as_dotted_names(cls, space: Any) -> Any:
        return dict(_flatten(space, "")) if isinstance(space, Mapping) else space


def _flatten(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """TOML reads ``training.learning_rate = {...}`` as tables within each other, unless it is quoted."""
    for name, value in table.items():
        if isinstance(value, Mapping) and value and all(isinstance(one, Mapping) for one in value.values()):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
