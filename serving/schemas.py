"""What goes over the wire, with examples that the documentation shows."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

MaskFormat = Literal["rle", "polygon", "png", "none"]
ModelState = Literal["loaded", "loading", "not_loaded", "refused"]
REQUEST_ID: Final = r"^[A-Za-z0-9._:-]{1,100}$"
_EXAMPLE_ID = "2d62195817b243e3985d19ea41f11d08"
_EXAMPLE_MODEL: dict[str, Any] = {
    "name": "metal-parts",
    "version": "1",
    "weights_digest": "58fb1fe94e718abc9403f9addbac3feaef2afcdaf760a0cee3f4cd8b90039456",
    "blessing_id": "4e52d57cae118d7980e1753e2fc423e9415ac05b4814d6ce9ae0fb84ae56dff0",
    "role": "champion",
    "engine": "torch",
}
_EXAMPLE_RLE: dict[str, Any] = {
    "size": [128, 128],
    "counts": "WX76i32N2N101O1O1O000010O010O0001O01O01O01O000010O00010O0001O01O0010O0010O1O1O1O001O1O0000000"
    "O1000000001M2O1M5J\\LJf31hk1",
}


class Message(BaseModel):
    """A frozen value on the wire."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Asked(Message):
    """The parameters of a prediction. Names that are none of them are refused: they would be misspelt."""

    model_config = ConfigDict(extra="forbid")

    masks: MaskFormat = Field("rle", description="How masks are written.")
    min_score: float | None = Field(
        None, ge=0, le=1, description="Leave out lower scores. Default: the model's own."
    )
    max_instances: int = Field(300, ge=1, le=1000)
    tile_px: int = Field(
        0, ge=0, le=8192, description="Cut large pictures into tiles of this side; 0: do not."
    )
    tile_overlap_px: int | None = Field(
        None, ge=0, le=4096, description="Larger than the objects. Default: a quarter of a tile."
    )
    source: str = Field(
        "production", pattern=r"^[\w .:/-]{1,64}$", description="Where the picture comes from, for the loop."
    )


class CallerHeaders(Message):
    """Facts that a client gives about itself."""

    x_request_id: str | None = Field(
        None,
        alias="x-request-id",
        pattern=REQUEST_ID,
        description="Names the answer. The same id is the same request, again.",
    )
    x_sticky_key: str | None = Field(
        None,
        alias="x-sticky-key",
        max_length=256,
        description="A client's name: it stays with one model during a rollout.",
    )


class RleMask(Message):
    """COCO's compressed run-length encoding."""

    size: tuple[int, int] = Field(description="Height and width of the picture in px.")
    counts: str


class Instance(Message):
    """One object found in the picture."""

    class_name: str
    score: float = Field(description="0..1")
    box_xyxy: tuple[float, float, float, float] = Field(
        description="Left, top, right, bottom in px of the picture as it was stored."
    )
    mask: RleMask | list[list[float]] | str | None = Field(
        default=None,
        description="As asked for: COCO RLE, polygons (x0, y0, x1, y1, … px; holes are filled), a PNG in "
        "base64 of the picture's size (255 inside), or null.",
    )


class ModelName(Message):
    """The model that answered, and the verdict and approval that let it serve."""

    name: str
    version: str
    weights_digest: str
    blessing_id: str
    role: Literal["champion", "challenger"]
    engine: str = Field(default="torch", description="The library that ran the model's networks.")


class PictureSize(Message):
    """As the picture was stored, before any EXIF orientation is applied."""

    width_px: int
    height_px: int


class NoveltyScore(Message):
    """How unlike the model's own pictures this one is."""

    score: float = Field(description="0..1, the share of the model's own pictures that lie less far out.")
    out_of_distribution: bool


class EdgeNote(Message):
    """Who answered where a device at the edge has a cloud service behind it."""

    answered_by: Literal["edge", "cloud"]
    doubt: float = Field(description="0..1, how near a detection's score is to its threshold.")
    reason: str = Field(description="Why, in a sentence.")


class PredictAnswer(Message):
    """The instances of one picture."""

    request_id: str
    model: ModelName
    picture: PictureSize
    instances: list[Instance]
    novelty: NoveltyScore | None = Field(default=None, description="Null if the model has no baseline.")
    timings_ms: dict[str, float] = Field(description="By stage: decode, queue, model, encode.")
    batch_size: int = Field(description="Pictures that shared the pass of the model.")
    edge: EdgeNote | None = Field(
        default=None, description="From a device at the edge with a cloud service behind it; else null."
    )

    model_config = ConfigDict(
        frozen=True,
        protected_namespaces=(),
        json_schema_extra={
            "example": {
                "request_id": _EXAMPLE_ID,
                "model": _EXAMPLE_MODEL,
                "picture": {"width_px": 128, "height_px": 128},
                "instances": [
                    {
                        "class_name": "bolt",
                        "score": 0.9754,
                        "box_xyxy": [54.64, 2.24, 114.1, 31.96],
                        "mask": _EXAMPLE_RLE,
                    }
                ],
                "novelty": {"score": 0.42, "out_of_distribution": False},
                "timings_ms": {"decode": 0.974, "queue": 0.039, "model": 19.214, "encode": 0.282},
                "batch_size": 1,
            }
        },
    )


class Problem(Message):
    """An error in plain words (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str = ""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "the picture cannot be decoded: image file is truncated",
                "request_id": _EXAMPLE_ID,
            }
        },
    )


class BatchItem(Message):
    """One picture of a batch: its answer, or its own problem."""

    file: str
    answer: PredictAnswer | None = None
    problem: Problem | None = None


class BatchAnswer(Message):
    """The pictures of a batch, in the order they came."""

    results: list[BatchItem]


class CorrectedInstance(Message):
    """An instance that a person marked."""

    class_name: str
    mask: RleMask | list[list[float]] = Field(description="In the picture as it was stored.")


class FeedbackRequest(Message):
    """A person's feedback about an answer."""

    request_id: Annotated[str, Field(min_length=1, max_length=128)]
    verdict: Literal["right", "wrong"]
    instances: list[CorrectedInstance] | None = Field(
        default=None, description="All instances of the picture as they should have been; null: not said."
    )
    note: Annotated[str, Field(max_length=2000)] = ""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "example": {
                "request_id": _EXAMPLE_ID,
                "verdict": "wrong",
                "instances": [{"class_name": "bolt", "mask": _EXAMPLE_RLE}],
                "note": "there is one bolt, and nothing else",
            }
        },
    )


class FeedbackAnswer(Message):
    """What happened to the feedback."""

    request_id: str
    becomes_a_label: bool = Field(description="The picture is kept, so the correction can be learned from.")


class ModelAnswer(Message):
    """The models that serve now."""

    model: ModelName
    class_names: list[str]
    score_threshold: float = Field(
        description="From this score on instances are told, if a request names none; the lowest, if classes "
        "have their own."
    )
    class_score_thresholds: dict[str, float] = Field(
        default_factory=dict, description="Each class's own, if the model has calibrated ones."
    )
    picture_conversion: str = Field(
        default="", description="How values of more than 8 bits, or of many bands, become 8-bit RGB."
    )
    engine_reason: str = Field(
        default="", description="Why this library runs the model's networks; empty while it is tried."
    )
    rollout: dict[str, Any] | None = Field(
        default=None, description="While a challenger is on its way: whose, how far, and its share."
    )

    model_config = ConfigDict(
        frozen=True,
        protected_namespaces=(),
        json_schema_extra={
            "example": {
                "model": _EXAMPLE_MODEL,
                "class_names": ["bolt", "nut", "washer", "gear"],
                "score_threshold": 0.5,
                "class_score_thresholds": {},
                "rollout": None,
            }
        },
    )


class ServedModelAnswer(Message):
    """One of the models that this service answers with, as the process that was asked has it."""

    name: str = Field(description="Part of the address: /v1/models/NAME/predict.")
    state: ModelState = Field(description="not_loaded: the next request loads it; refused: problem says why.")
    version: str = Field(description="The champion, loaded or not; empty if that is not known.")
    weights_digest: str
    blessing_id: str
    memory_mib: float = Field(description="What it is counted with; 0 if it is not loaded.")
    in_flight: int = Field(description="Pictures that are being answered, or wait for the model.")
    problem: str = Field(description="Why it does not answer, or not with what should serve.")


class ModelsAnswer(Message):
    """The models that this service answers with; the first one is asked where a request names none."""

    models: list[ServedModelAnswer]

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "example": {
                "models": [
                    {
                        "name": "metal-parts",
                        "state": "loaded",
                        "version": "1",
                        "weights_digest": _EXAMPLE_MODEL["weights_digest"],
                        "blessing_id": _EXAMPLE_MODEL["blessing_id"],
                        "memory_mib": 167.9,
                        "in_flight": 2,
                        "problem": "",
                    }
                ]
            }
        },
    )
