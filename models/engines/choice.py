"""What was measured of the engines that could run a model here, and which one is chosen. Needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from maskloop.digest import digest_value

EngineName = Literal["torch", "openvino", "onnx"]
WantedEngine = Literal["auto", "torch", "openvino", "onnx"]
TORCH: Final = "torch"
WORTH_IT: Final = 1.05
"""An engine that gains less than this is not worth a second library in the process."""
MOST_SILENT_ENDS: Final = 3
"""So many ends in a row that left no trace, each soon after the engine was loaded, mean torch for a while."""
PAUSE_AFTER_SILENT_ENDS: Final = timedelta(days=1)


class EngineKey(BaseModel):
    """What a decision holds for. With anything else than this it is made again.

    Attributes:
        weights_digest: The model.
        wanted: The setting `serving.engine`.
        min_parity: The setting `export.min_parity`.
        threads: That one prediction computes with.
        machine: The processor and what torch uses of it.
        versions: Of torch and of every engine that is installed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights_digest: str
    wanted: WantedEngine
    min_parity: float
    threads: int
    machine: str
    versions: dict[str, str]

    @property
    def digest(self) -> str:
        """Its identity, which names the file of the decision."""
        return digest_value(self.model_dump())


class Trial(BaseModel):
    """One engine beside torch, on the same pictures in turns.

    Attributes:
        engine: Which.
        obstacles: Why it may not answer in torch's place; empty if it may.
        is_lasting: Another try would end alike; not if somebody, or a deadline, ended the process.
        times_faster: Median, over the rounds, of torch's time by this one's; 0 if it was not timed.
        torch_ms: Median time of a picture in torch.
        engine_ms: Median time of a picture in this engine.
        num_pictures: How many were compared.
        num_instances: Found by either.
        mask_iou: Mean of those found by both, 0..1.
        memory_mib: What loading it and its first answers added to the process; 0 if it was not loaded.
        seconds: The whole trial took, with making the export.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: EngineName
    obstacles: tuple[str, ...] = ()
    is_lasting: bool = True
    times_faster: float = 0.0
    torch_ms: float = 0.0
    engine_ms: float = 0.0
    num_pictures: int = 0
    num_instances: int = 0
    mask_iou: float = 0.0
    memory_mib: float = 0.0
    seconds: float = 0.0


class TrialRequest(BaseModel):
    """What to try, for the process that tries it.

    Attributes:
        artifact: The model's folder.
        weights_digest: Of the model.
        engine: To try.
        export: Folder of the export that the engine runs; made if it is not there.
        pictures: A file of NumPy arrays, uint8 (H, W, 3) each, in the order of their names.
        threads: That one prediction computes with.
        min_parity: See `evaluation.parity.find_disparities`.
        budget_s: For the rounds in turns.
        outcome: The file that a `Trial` is written to, at the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: Path
    weights_digest: str
    engine: EngineName
    export: Path
    pictures: Path
    threads: int
    min_parity: float
    budget_s: float
    outcome: Path


class EngineChoice(BaseModel):
    """Which engine runs a model on a machine, and why.

    Attributes:
        schema_version: Of this record.
        key: What it holds for; None for a choice that is not kept.
        engine: The chosen one.
        reason: A sentence.
        trials: What was measured.
        export_digest: Of the export's manifest that the engine runs; empty for torch.
        decided_at: ISO 8601, UTC; empty for a choice that needed no trial.
        ended: The engine that was chosen until the service ended while it was in use; empty for none.
        silent_ends: Ends of the service in a row that left no trace, soon after the engine was loaded.
        until: ISO 8601, UTC: when it is tried again; empty if the choice holds as long as its key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    key: EngineKey | None = None
    engine: EngineName = TORCH
    reason: str = ""
    trials: tuple[Trial, ...] = ()
    export_digest: str = ""
    decided_at: str = ""
    ended: EngineName | Literal[""] = ""
    silent_ends: int = 0
    until: str = ""

    def holds_at(self, now: datetime) -> bool:
        """Tell whether it need not be made again because of the time."""
        return not self.until or now < datetime.fromisoformat(self.until)


def candidates(wanted: WantedEngine, installed: Collection[EngineName]) -> tuple[EngineName, ...]:
    """Return the engines to try beside torch, in a fixed order.

    >>> candidates("auto", ("onnx", "openvino")), candidates("onnx", ("onnx", "openvino"))
    (('openvino', 'onnx'), ('onnx',))
    >>> candidates("torch", ("openvino",)), candidates("openvino", ())
    ((), ())
    """
    engines: tuple[EngineName, ...] = ("openvino", "onnx")
    return tuple(each for each in engines if each in installed and wanted in ("auto", each))


def choose_engine(wanted: WantedEngine, trials: Sequence[Trial]) -> tuple[EngineName, str]:
    """Return the engine that answers, and why: the fastest of those that answer as torch does.

    An engine that a setting names is taken however fast it is; it has to answer as torch does all the same.

    >>> fast = Trial(engine="openvino", times_faster=2.3, num_pictures=9, mask_iou=1.0)
    >>> choose_engine("auto", [fast])
    ('openvino', '2.30 times as fast as torch, mask IoU 1.0000 on 9 of its own test pictures')
    >>> choose_engine("auto", [fast.model_copy(update={"times_faster": 1.01})])
    ('torch', 'openvino is 1.01 times as fast, and 1.05 is asked for')
    >>> choose_engine("openvino", [fast.model_copy(update={"obstacles": ("it ended with signal 11",)})])
    ('torch', 'openvino: it ended with signal 11')
    """
    able = [trial for trial in trials if not trial.obstacles]
    best = max(able, key=lambda trial: trial.times_faster, default=None)
    if best and (wanted == best.engine or best.times_faster >= WORTH_IT):
        return best.engine, (
            f"{best.times_faster:.2f} times as fast as torch, mask IoU {best.mask_iou:.4f} on "
            f"{best.num_pictures} of its own test pictures"
        )
    said = [f"{trial.engine}: {trial.obstacles[0]}" for trial in trials if trial.obstacles]
    if best:
        slow = f"{best.engine} is {best.times_faster:.2f} times as fast, and {WORTH_IT:g} is asked for"
        said = [slow, *said]
    return TORCH, "; ".join(said)


def explain_no_trial(wanted: WantedEngine, device: str, installed: Collection[EngineName]) -> str:
    """Return why nothing needs to be tried; empty if there is something.

    >>> explain_no_trial("auto", "cuda", ("openvino",))
    'engines are for CPUs, and the model computes on cuda'
    >>> explain_no_trial("auto", "cpu", ("openvino",)), explain_no_trial("torch", "cpu", ("openvino",))
    ('', 'serving.engine = "torch"')
    """
    if wanted == TORCH:
        return 'serving.engine = "torch"'
    if device != "cpu":
        return f"engines are for CPUs, and the model computes on {device}"
    if not candidates(wanted, installed):
        return "no other engine is installed" if wanted == "auto" else f"{wanted} is not installed"
    return ""


def judge_end(choice: EngineChoice, *, fatal_error: str, now: datetime) -> EngineChoice:
    """Return what is decided after the service ended without a clean stop while an engine was in use.

    A fatal error, such as a segmentation fault, gives the model back to torch for as long as the choice's key
    holds. A process that is killed (by an operator, for its memory, by a power cut) leaves no trace, and says
    nothing about the engine unless it happens again and again soon after loading.

    Args:
        choice: Of an engine other than torch.
        fatal_error: As Python names it; empty for an end that left no trace.
        now: With its time zone.

    >>> from datetime import UTC
    >>> chosen, now = EngineChoice(engine="openvino"), datetime(2026, 12, 1, tzinfo=UTC)
    >>> judge_end(chosen, fatal_error="Segmentation fault", now=now).reason
    'openvino was in use when the service ended on 2026-12-01 with "Segmentation fault"'
    >>> once = judge_end(chosen, fatal_error="", now=now)
    >>> once.engine, once.silent_ends
    ('openvino', 1)
    >>> thrice = judge_end(judge_end(once, fatal_error="", now=now), fatal_error="", now=now)
    >>> thrice.engine, thrice.until, thrice.holds_at(now)
    ('torch', '2026-12-02T00:00:00+00:00', True)
    """
    in_torch = {"engine": TORCH, "ended": choice.engine, "export_digest": "", "silent_ends": 0}
    if fatal_error:
        said = f'{choice.engine} was in use when the service ended on {now:%Y-%m-%d} with "{fatal_error}"'
        return choice.model_copy(update={**in_torch, "reason": said})
    if choice.silent_ends + 1 < MOST_SILENT_ENDS:
        return choice.model_copy(update={"silent_ends": choice.silent_ends + 1})
    until = now + PAUSE_AFTER_SILENT_ENDS
    said = (
        f"the service was killed {MOST_SILENT_ENDS} times in a row soon after {choice.engine} was loaded; "
        f"it is tried again after {until:%Y-%m-%d %H:%M} UTC"
    )
    return choice.model_copy(
        update={**in_torch, "reason": said, "until": until.isoformat(timespec="seconds")}
    )
