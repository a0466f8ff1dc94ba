"""`maskloop.toml`, parsed once into frozen values. A key nobody knows is an error that says where it is."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from maskloop.errors import ConfigurationError
from maskloop.settings.check_settings import CheckedKind, Rule
from maskloop.settings.labelling_settings import LabellingSettings
from maskloop.settings.model_settings import BatchSettings, ModelSettings, TrainingSettings, TuneSettings
from maskloop.settings.network_rules import find_contradictions
from maskloop.settings.notification_settings import NotificationSettings
from maskloop.settings.picture_settings import PictureSettings, VideoSettings
from maskloop.settings.sections import Count, Percent, Positive, Section, Share
from maskloop.settings.slo_settings import ObjectiveSettings, SloSettings

MAX_CONFIRM_WINDOWS: Final = 100
MODEL_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
ModelKey = Annotated[str, Field(pattern=MODEL_NAME)]


class DataSettings(Section):
    """What may come in, and how it is split and stored."""

    group_pattern: str = ""
    """A regular expression; pictures whose file names match with equal groups stay in one split."""
    val_percent: Percent = 15.0
    test_percent: Percent = 20.0
    near_duplicate_distance_bits: Annotated[int, Field(ge=-1, le=16)] = 3
    """Pictures that look alike, at most this many of 64 hash bits apart, are one group; -1 ties none so."""
    max_picture_mpx: Annotated[float, Field(gt=0.0, le=100.0)] = 25.0
    """Larger pictures are refused, in million px; masks end at 100 (`maskloop.masks.MAX_AREA_PX`)."""
    max_quarantined_percent: Percent = 5.0
    """A batch with a larger share of unusable pictures is refused as a whole."""
    check_policy: dict[CheckedKind, Rule] = Field(default_factory=dict)
    """What kinds of findings do, instead of `maskloop.settings.check_settings.rule_of`'s defaults."""
    remote: str = ".maskloop/remote"
    """The DVC remote: a folder (relative to the workspace) or any URL DVC understands."""

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> DataSettings:
        if self.val_percent + self.test_percent >= 100.0:
            raise ValueError("val_percent and test_percent leave nothing to train on")
        return self


class GateSettings(Section):
    """What a candidate must show before a person is even asked."""

    min_mean_iou: Share = 0.7
    """Floor of the mean mask IoU over the critical classes."""
    min_class_iou: Share = 0.6
    """Floor of every class's mask IoU."""
    class_iou_floors: dict[str, Share] = Field(default_factory=dict)
    """Floors of single classes, instead of `min_class_iou`."""
    critical_classes: tuple[str, ...] = ()
    """Empty: all classes."""
    max_class_iou_drop: Share = 0.05
    """Largest drop of any class against the champion, on the same pictures, in any source of pictures.

    To pass, the upper bound of the drop has to be within twice this value too.
    """
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    resamples: Annotated[int, Field(ge=200)] = 2000
    min_instances: Count = 20
    """A class with fewer instances in the test pictures is inconclusive."""
    min_pictures: Count = 5
    score_threshold: Share = 0.5
    """Only detections at or above this score are matched."""
    max_false_positives_per_true_positive: Positive | None = 1.0
    """0 switches this check off."""
    max_latency_p95_ms: Positive | None = None
    """Of one picture on the machine that judges; 0 switches this check off."""

    @field_validator("max_false_positives_per_true_positive", "max_latency_p95_ms", mode="before")
    @classmethod
    def _zero_is_off(cls, limit: object) -> object:
        return None if limit == 0 else limit


class ThresholdSettings(Section):
    """From which score on a trained model tells an instance."""

    per_class: bool = False
    """Calibrate each class's own on the validation pictures, where its F1 is best."""
    min_instances: Count = 20
    """A class with fewer instances in the validation pictures keeps the threshold of the gates."""


class ApprovalSettings(Section):
    """Who decides after the gates, and for how long that counts."""

    policy: Literal["auto", "manual", "manual-if-inconclusive"] = "manual"
    four_eyes: bool = False
    """The person who asked for the training cannot approve it; needs a named reviewer."""
    expires_days: Positive = 14.0


class MonitoringSettings(Section):
    """How production is sampled and when its change counts as drift."""

    window_samples: Count = 200
    """The current window is the newest this many samples."""
    min_window_samples: Count = 50
    """Fewer samples than this are inconclusive."""
    false_alarm_rate: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.01
    """Per judged window, over all features together."""
    max_false_alarms_per_quarter: Annotated[float, Field(ge=0.0, le=100.0)] = 1.0
    """A drifted window is an alarm only if the evidence over time keeps this budget; 0 asks for none."""
    min_effect: Share = 0.3
    """Smallest Kolmogorov-Smirnov distance that matters, however certain it is."""
    min_drifted_features: Count = 2
    min_new_share: Share = 0.1
    """Smallest share of a window's pictures that are unlike all others, to count as drift by itself."""
    max_missing_percent: Percent = 10.0
    confirm_windows: Annotated[int, Field(ge=1, le=MAX_CONFIRM_WINDOWS)] = 1
    """Drift must be seen in this many windows in a row, each with new samples."""
    keep_pictures: Annotated[int, Field(ge=0)] = 2000
    """Quota of kept production pictures; beyond it features only."""
    estimate_pictures: Annotated[int, Field(ge=0)] = 40
    """Kept pictures of a window from which quality is estimated without labels; 0 never."""
    retention_days: Positive = 90.0

    @model_validator(mode="after")
    def _a_window_can_be_complete(self) -> MonitoringSettings:
        if self.window_samples < self.min_window_samples:
            raise ValueError("window_samples is below min_window_samples, so no window would ever be judged")
        return self


class RetrainingSettings(Section):
    """When the loop may start another turn by itself."""

    on_drift: bool = True
    on_new_labelled_samples: Annotated[int, Field(ge=0)] = 0
    """Open a cycle when this many labelled pictures came since the champion's data version; 0 never."""
    min_new_labelled_samples: Annotated[int, Field(ge=0)] = 20
    """A drift cycle waits for this many labelled pictures from after its trigger."""
    wait_for_labels_days: Positive = 14.0
    cooldown_hours: Annotated[float, Field(ge=0.0)] = 24.0
    """After a cycle ends, automatic triggers wait this long."""
    max_cycles_per_week: Count = 3
    max_training_hours_per_month: Annotated[float, Field(ge=0.0)] = 0.0
    """Automatic triggers wait while the trainings of the last 30 days took so long; 0 is no limit."""
    max_training_attempts: Count = 3
    lease_s: Positive = 120.0


class SamplingSettings(Section):
    """Which answers of the service are written to the sample log."""

    rate: Share = 1.0
    """Share of answers that are sampled; what must always be kept comes on top."""
    max_per_minute: Annotated[int, Field(ge=0)] = 120
    max_per_hour: Annotated[int, Field(ge=0)] = 2000
    max_per_day: Annotated[int, Field(ge=0)] = 20_000
    max_per_class_per_day: Annotated[int, Field(ge=0)] = 0
    """Answers whose every detected class has had this many samples today are left out; 0 is no limit."""
    always_keep_below_score: Share = 0.5
    """Answers with a detection between the model's floor and this score are kept whatever `rate` says."""
    keep_pictures: bool = True
    """False keeps features only: no picture ever touches the disk."""
    max_waiting: Count = 256
    """Samples waiting to be written; beyond it the newest is dropped, and counted."""


class ServingSettings(Section):
    """The service: `maskloop serve`."""

    host: str = "127.0.0.1"
    """Anything but loopback needs API keys."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    models: dict[ModelKey, str] = Field(default_factory=dict)
    """Other workspaces whose champions this service answers with too: their folders, by name."""
    memory_mib: Annotated[float, Field(ge=0.0)] = 0.0
    """What all models of all workers may take, by the size of their files; 0 is no limit."""
    load_wait_s: Positive = 10.0
    """A request waits no longer for its model to be loaded."""
    keep_loaded_s: Annotated[float, Field(ge=0.0)] = 10.0
    """A model that has requests all the time makes no room for another one before."""
    max_in_flight: Annotated[int, Field(ge=0)] = 0
    """Pictures of this model that are being answered at once; 0 is no limit."""
    workers: Count = 1
    """Processes that answer; each holds the model. On a CPU small networks gain from one for each core."""
    engine: Literal["auto", "torch", "openvino", "onnx"] = "auto"
    """What runs the networks on a CPU: the fastest that answers as torch does, or a named one if it does."""
    max_batch: Count = 8
    batch_wait_ms: Annotated[float, Field(ge=0.0)] = 0.0
    """How long an idle model waits for company; while it is busy, a batch gathers by itself."""
    max_queue_s: Positive = 2.0
    """A request whose turn would come later than this is refused at once."""
    request_timeout_s: Positive = 30.0
    drain_s: Positive = 20.0
    """How long a stopping service, or a replaced model, may finish what it has accepted."""
    stop_notice_s: Annotated[float, Field(ge=0.0)] = 1.0
    """A service told to stop says so on /readyz for so long before it accepts nothing more."""
    max_body_mb: Positive = 10.0
    max_frames: Count = 1
    max_pictures_per_request: Count = 16
    max_connections: Count = 256
    decoders: Count = 1
    """Processes that decode pictures."""
    require_keys: bool = False
    platform: Literal["", "sagemaker", "vertex"] = ""
    """A managed endpoint that asks by routes of its own, without keys: it has checked who asks."""
    trusted_hosts: tuple[str, ...] = ()
    """Names the service may be asked by (`*.example.com` too). Empty: on loopback its names, else any."""
    rate_limit: str = "6000/minute"
    """Of a key that names no other; without keys, of a client address. Notation of the library `limits`."""
    refresh_s: Positive = 1.0
    """How often the ledger is asked what should serve."""
    when_out_of_distribution: Literal["flag", "refuse"] = "flag"
    out_of_distribution_percent: Annotated[float, Field(gt=0.0, lt=50.0)] = 1.0
    """Share of the model's own validation pictures that would be flagged."""
    otlp_endpoint: str = ""
    """Where OpenTelemetry spans of requests and of cycles go (OTLP over HTTP); empty sends none."""
    sampling: SamplingSettings = SamplingSettings()
    slo: SloSettings = SloSettings()


class RolloutSettings(Section):
    """How an approved challenger takes over traffic, and what stops it."""

    enabled: bool = True
    """False promotes at once: for those who predict in batches and have no service."""
    steps_percent: tuple[Percent, ...] = (1.0, 5.0, 25.0, 50.0, 100.0)
    """Shares of traffic after the shadow phase; the last one is 100."""
    mirror_percent: Percent = 100.0
    """Share of pictures that both models answer while a rollout is under way, as far as there is capacity."""
    min_pictures: Count = 100
    """Pictures answered by both before the shadow phase may end."""
    min_step_pictures: Count = 20
    """Pictures answered by both in each later step."""
    min_step_minutes: Annotated[float, Field(ge=0.0)] = 5.0
    error_rate: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    """Chance that a challenger that keeps every limit is stopped, and that one that breaks one goes on."""
    max_agreement_drop: Share = 0.1
    """The challenger may agree with the champion by this much less than the champion did with the truth."""
    min_agreement: Share = 0.5
    """Required where the champion's agreement with the truth was never measured."""
    max_count_shift: Share = 0.25
    """Largest mean difference in the number of instances, relative to the larger number."""
    max_class_flips: Share = 0.1
    """Largest share of instances found by both but named differently."""
    max_score_drop: Share = 0.15
    max_error_percent: Percent = 1.0
    """Of pictures the champion answers and the challenger does not."""
    max_latency_ratio: Positive = 1.5
    """The challenger's time for most pictures, as a multiple of the champion's for the same ones."""
    max_feedback_iou_drop: Share = 0.05
    """Against people's corrections, on the same pictures."""
    deadline_hours: Positive = 24.0
    """A step that has not reached a result by then is paused: a person decides."""
    pause_deadline_hours: Positive = 72.0
    """A paused rollout that nobody decides about is rolled back."""
    max_slice_pictures: Count = 50
    """Pictures kept of a rollback, which the next candidate must pass."""

    @field_validator("steps_percent")
    @classmethod
    def _steps_rise_to_100(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        rising = all(low < high for low, high in zip((0.0, *steps), steps, strict=False))
        if not steps or not rising or steps[-1] != 100.0:
            raise ValueError("the steps must rise, from above 0 to 100")
        return steps


class ExportSettings(Section):
    """What a model in another format must show beside the model itself, on the same held-out pictures."""

    min_parity: Share = 0.98
    """Floor of the mask IoU of instances both found, and of the share of instances both found."""
    min_parity_int8: Share = 0.95
    """The same for 8-bit integers."""
    calibration_pictures: Count = 64
    """Validation pictures that 8-bit ranges are found in."""


class ServerSettings(Section):
    """Where MLflow and Prefect are; empty means: the workspace's own, started by `maskloop up`."""

    mlflow_tracking_uri: str = ""
    prefect_api_url: str = ""
    database_url: str = ""
    """Of every store that lives in a database; empty means: SQLite files in the workspace."""
    ledger_url: str = ""
    """Of the ledger and the pairs of rollouts alone; empty means: `database_url`."""
    blob_url: str = ""
    """Of files that several hosts share, ``s3://bucket/prefix`` or a folder; empty means: the workspace."""
    mlflow_port: Annotated[int, Field(ge=0, le=65535)] = 5000
    prefect_port: Annotated[int, Field(ge=0, le=65535)] = 4200

    @property
    def shared_url(self) -> str:
        """The database of what the replicas of several machines must share; empty for files."""
        return self.ledger_url or self.database_url


class Settings(Section):
    """All of `maskloop.toml`."""

    model_name: ModelKey = "mask-rcnn"
    """The registered model's name in MLflow."""
    classes: tuple[str, ...] = ()
    """The label schema. Empty: taken from the first batch and then kept."""
    data: DataSettings = DataSettings()
    pictures: PictureSettings = PictureSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    tune: TuneSettings = TuneSettings()
    gates: GateSettings | None = None
    """No default: without a [gates] section nothing can be judged, and nothing is promoted."""
    thresholds: ThresholdSettings = ThresholdSettings()
    approval: ApprovalSettings = ApprovalSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    retraining: RetrainingSettings = RetrainingSettings()
    labelling: LabellingSettings = LabellingSettings()
    notifications: NotificationSettings = NotificationSettings()
    serving: ServingSettings = ServingSettings()
    rollout: RolloutSettings = RolloutSettings()
    export: ExportSettings = ExportSettings()
    batch: BatchSettings = BatchSettings()
    video: VideoSettings = VideoSettings()
    slo: tuple[ObjectiveSettings, ...] = ()
    """Objectives beside, or instead of, the default ones."""
    servers: ServerSettings = ServerSettings()

    @model_validator(mode="after")
    def _a_mirror_image_names_the_same_classes(self) -> Settings:
        if self.model.prediction.mirrored and self.training.augmentation.mirrored_classes:
            raise ValueError(
                "model.prediction.mirrored cannot tell training.augmentation.mirrored_classes apart; "
                "leave one of them out"
            )
        return self

    @field_validator("classes")
    @classmethod
    def _classes_are_distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) != len(classes):
            raise ValueError("two classes have the same name")
        return classes

    def required_gates(self) -> GateSettings:
        """Return the gates. Raises ConfigurationError if none are configured."""
        if self.gates is None:
            raise ConfigurationError(
                "no gates are configured, so no candidate can be judged",
                where="maskloop.toml",
                hint="add a [gates] section; an empty one takes the defaults",
            )
        return self.gates


def load_settings(path: Path) -> Settings:
    """Read a settings file.

    Raises:
        ConfigurationError: if it is missing, not TOML, or holds an unknown key or an impossible value.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            "this folder is not a workspace: it has no maskloop.toml",
            where=str(path.parent),
            hint="run `maskloop init DIR`, or name the workspace with --workspace",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"this is not valid TOML: {error}", where=str(path)) from error
    return parse_settings(values, where=str(path))


def parse_settings(values: dict[str, Any], *, where: str = "settings") -> Settings:
    """Check plain values. Raises ConfigurationError naming every wrong key, or each contradiction."""
    try:  # strict as JSON: lists may become tuples, but no text becomes a number
        settings = Settings.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors(include_url=False)]
        raise ConfigurationError("; ".join(problems), where=where) from error
    if found := find_contradictions(settings.model, settings.training):
        raise ConfigurationError(
            "; ".join(f"{one.key}: {one.said}" for one in found),
            where=where,
            hint="; ".join(one.hint for one in found),
        )
    return settings


def _describe(problem: Any) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {path}"
    said = problem["msg"].removeprefix("Value error, ")
    return f"{path}: {said}" if path else said
