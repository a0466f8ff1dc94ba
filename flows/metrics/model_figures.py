"""Figures of the model: M4, M5, M9 and M10. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from flows.metrics.figure import Figure, Gathered, Reading, write_when
from maskloop.settings.workspace_settings import GateSettings
from maskloop.wording import count
from monitoring.quality.estimator import CONFIDENCE
from registry.evidence.diagnosis import ClassFindings
from registry.gates.own_figures import CLASS_IOU, MEAN_IOU

_FALSE_POSITIVES: Final = "false_positives"
_NOTHING_SERVES: Final = ("nothing serves yet", "`maskloop train`, then approve")
_BEFORE: Final = "the champion before, on the same pictures"


def measure_mean_iou(found: Gathered) -> Figure:
    """Measure M4: mask IoU over the critical classes."""
    rows = found.evidence.rows if found.evidence else ()
    gates = found.settings.gates or GateSettings()
    critical = [row for row in rows if row.name in gates.critical_classes or not gates.critical_classes]
    old = [row.champion_iou for row in critical if row.champion_iou is not None]
    worst = [row.candidate_iou for row in critical if row.candidate_iou is not None]
    readings = [
        Reading(
            f"version {found.champion}",
            value,
            min(worst, default=None),
            "worst class" if worst else "",
            sum(old) / len(old) if old and len(old) == len(critical) else None,
            _BEFORE if old else "",
            is_met=value >= gates.min_mean_iou,
        )
        for check, value in _measured(found, MEAN_IOU.name)
    ]
    target = f"at least {gates.min_mean_iou:g} over {', '.join(gates.critical_classes) or 'all classes'}"
    return _of_verdict(found, "M4", "Mean mask IoU", "average mask quality", "", target, readings)


def measure_class_iou(found: Gathered) -> Figure:
    """Measure M5: mask IoU of each class."""
    rows = {row.name: row for row in (found.evidence.rows if found.evidence else ())}
    gates = found.settings.gates or GateSettings()
    readings = []
    for subject, value in _measured(found, CLASS_IOU.name):
        row = rows.get(subject)
        floor = gates.class_iou_floors.get(subject, gates.min_class_iou)
        readings.append(
            Reading(
                f"class {subject}",
                value,
                row.iou_low if row else None,
                f"lower bound ({found.evidence.confidence:.0%})" if row and found.evidence else "",
                row.champion_iou if row else None,
                _BEFORE if row and row.champion_iou is not None else "",
                is_met=value >= floor,
                class_name=subject,
                origin="verdict",
            )
        )
    checks, labelled_in = _checked_readings(found, gates)
    readings += [*_estimated_readings(found, gates), *checks]
    own = [f"{name} {floor:g}" for name, floor in gates.class_iou_floors.items()]
    target = "; ".join([f"at least {gates.min_class_iou:g} of each class", *own])
    figure = _of_verdict(found, "M5", "Per-class IoU", "mask quality of each class", "", target, readings)
    if not found.champion:
        return figure
    source = (
        f"{figure.source}; of production: labels of pictures drawn at random, and estimates without labels"
    )
    return replace(figure, window="; ".join(filter(None, (figure.window, labelled_in))), source=source)


def _estimated_readings(found: Gathered, gates: GateSettings) -> Iterator[Reading]:
    """Yield what was estimated without labels in the newest window; a target inside the band is undecided."""
    judged = dict(_measured(found, CLASS_IOU.name))
    estimates = found.drift[0][1].estimates if found.drift else ()
    for one in estimates:
        if one.metric != "mask_iou":
            continue
        of, baseline = f"class {one.class_name}, estimated in production", judged.get(one.class_name)
        said = "when it was judged" if baseline is not None else ""
        if one.value is None or one.low is None or one.high is None:
            reading = Reading(f"{of}: refused, {one.refused_because}", None)
        else:
            is_met = _keeps_floor(one.class_name, one.low, one.high, gates)
            tail_name = f"lower end ({one.confidence:.0%})"
            reading = Reading(of, one.value, one.low, tail_name, is_met=is_met)
        compared = replace(reading, baseline=baseline, baseline_name=said)
        yield replace(compared, class_name=one.class_name, origin="estimate")


def _checked_readings(found: Gathered, gates: GateSettings) -> tuple[list[Reading], str]:
    """Return what the newest labels of random production pictures said, beside what was estimated before.

    The second part says which labels these are, or that there are none yet.
    """
    checks = ((at, one) for at, one in reversed(found.quality) if one.checked)
    at, newest = next(checks, (None, None))
    if at is None or newest is None:
        return [], "no labels of pictures drawn at random from production yet"
    readings = []
    for one in newest.checked:
        of = f"class {one.class_name}, by labels of production"
        said = "estimated before" if one.estimate is not None else ""
        if one.value is None or one.low is None or one.high is None:
            reading = Reading(f"{of}: refused, {one.refused_because}", None)
        else:
            is_met = _keeps_floor(one.class_name, one.low, one.high, gates)
            tail_name = f"lower end ({CONFIDENCE:.0%}, {count(one.num_labelled, 'picture')})"
            reading = Reading(of, one.value, one.low, tail_name, is_met=is_met)
        compared = replace(reading, baseline=one.estimate, baseline_name=said)
        readings.append(replace(compared, class_name=one.class_name, origin="labels"))
    pictures = count(newest.num_random, "production picture")
    return readings, f"{pictures} drawn at random, labelled in {newest.data_tag}, measured {write_when(at)}"


def _keeps_floor(class_name: str, low: float, high: float, gates: GateSettings) -> bool | None:
    """Tell whether a class keeps its floor; None if the floor lies inside the band."""
    floor = gates.class_iou_floors.get(class_name, gates.min_class_iou)
    return True if low >= floor else False if high < floor else None


def measure_drift(found: Gathered) -> Figure:
    """Measure M9: how far production is from the reference."""
    limit = found.settings.monitoring.min_effect
    window, readings = "", []
    at, newest = found.drift[0] if found.drift else (None, None)
    is_undecided = newest is not None and newest.outcome == "inconclusive"
    if at and newest and (newest.score is not None or is_undecided):
        earlier = sorted(one.score for _, one in found.drift[1:] if one.score is not None)
        readings = [
            Reading(
                f"version {found.champion}{f': inconclusive, {newest.reason}' if is_undecided else ''}",
                newest.score,
                _percentile(earlier, 0.95),
                f"p95 of {count(len(earlier), 'window')} before" if earlier else "",
                _percentile(earlier, 0.5),
                "median of those" if earlier else "",
                is_met=None if is_undecided else newest.outcome != "drift",
            )
        ]
        window = f"{count(newest.num_samples, 'sample')}, judged {write_when(at)}: {newest.outcome}"
    return Figure(
        "M9",
        "Model drift score",
        "how far production is from the champion's own pictures",
        "0..1, the largest effect of a signal",
        f"no significant effect of {limit:g} or more",
        window,
        "the newest drift verdict in the ledger",
        tuple(readings),
        *_tell_unjudged(found, has_readings=bool(readings)),
    )


def _tell_unjudged(found: Gathered, *, has_readings: bool) -> tuple[str, str]:
    """Return why there is no drift score, and how to get one; nothing if there is."""
    if has_readings:
        return "", ""
    if not found.champion:
        return _NOTHING_SERVES
    return "no window of this champion was judged yet", "`maskloop monitor`, once there are enough samples"


def measure_false_positives(found: Gathered) -> Figure:
    """Measure M10: false detections for each right one."""
    gates = found.settings.gates or GateSettings()
    limit = gates.max_false_positives_per_true_positive
    diagnosis = found.evidence.candidate_diagnosis if found.evidence else None
    before = found.evidence.champion_diagnosis if found.evidence else None
    old = {one.name: _ratio(one) for one in (before.classes if before else ())}
    classes = [one for one in (diagnosis.classes if diagnosis else ()) if one.precision is not None]
    ratios = {one.name: _ratio(one) for one in classes}
    known = [ratio for ratio in ratios.values() if ratio is not None]
    worst = max(known) if known and len(known) == len(ratios) else None
    tail_name = "worst class" if worst is not None else ""
    readings = [
        Reading(f"version {found.champion}", value, worst, tail_name, is_met=_is_below(value, limit))
        for _, value in _measured(found, _FALSE_POSITIVES)
    ]
    for name, ratio in ratios.items():
        of = f"class {name}" if ratio is not None else f"class {name}: no detection is right"
        baseline = old.get(name)
        said = _BEFORE if baseline is not None else ""
        is_met = _is_below(ratio, limit) if ratio is not None else False
        readings.append(Reading(of, ratio, baseline=baseline, baseline_name=said, is_met=is_met))
    for one in found.feedback:
        if one.num_right:
            of = f"answers of version {one.model_version} that people judged"
            readings.append(Reading(of, one.num_wrong / one.num_right))
    target = f"at most {limit:g}" if limit else "low; the gate is switched off"
    title, tells = "FP/TP ratio", "false detections for each right one"
    return _of_verdict(found, "M10", title, tells, "", target, readings)


def _ratio(one: ClassFindings) -> float | None:
    return (1 - one.precision) / one.precision if one.precision else None


def _is_below(value: float, limit: float | None) -> bool | None:
    return None if limit is None else value <= limit


def _of_verdict(
    found: Gathered, name: str, title: str, tells: str, unit: str, target: str, readings: Sequence[Reading]
) -> Figure:
    window = ""
    if found.verdict and found.judged_at:
        pictures = f"{count(found.evidence.num_pictures, 'test picture')} of " if found.evidence else ""
        window = f"{pictures}{found.verdict.data_tag}, judged {write_when(found.judged_at)}"
    unmeasured = ("it was not measured", "`maskloop judge`") if found.champion else _NOTHING_SERVES
    missing, how = ("", "") if readings else unmeasured
    source = "the champion's verdict"
    return Figure(name, title, tells, unit, target, window, source, tuple(readings), missing, how)


def _measured(found: Gathered, gate: str) -> Iterator[tuple[str, float]]:
    for check in found.verdict.checks if found.verdict else ():
        if check.gate == gate and check.measured is not None:
            yield check.subject, check.measured


def _percentile(values: Sequence[float], share: float) -> float | None:
    return values[min(int(share * len(values)), len(values) - 1)] if values else None
