"""The Prometheus rules of service level objectives: recording rules and burn-rate alerts. Pure.

A burn rate is the share of bad events, divided by the share that may be bad. Alerts look at a long window,
which says that it matters, and a short one, which says that it goes on (Google, The Site Reliability
Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts"). The rules use what Prometheus 2.42 and 3 read
alike; an objective that no pair of windows can miss has none.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from maskloop.errors import ConfigurationError
from maskloop.settings.slo_settings import Indicator
from monitoring.slo.objective import Objective

Rule = dict[str, str | dict[str, str]]
_HEADER: Final = (
    "# Written by `maskloop slo rules` from the settings [[slo]], [serving.slo] and [gates].\n"
    "# A page wakes somebody: clients suffer now. A ticket waits for the morning.\n"
)
_MIN_BAD_EVENTS: Final = 10
"""A handful of errors in a quiet night is a large share of few answers, and wakes nobody."""
_LINE_LENGTH: Final = 108
_PAGED_ALREADY: Final = (
    '\nunless on (job) count_over_time(ALERTS{alertname="MaskloopLatencyP95",alertstate="firing"}[WINDOW])'
)
"""Answers that are too late were paged for as such; their budget has nothing to add."""
_IN_DRIFT: Final = "job:maskloop_in_drift:max"
_CHAMPION: Final = (
    '{{ with query (printf "maskloop_serving_info{job=%q,role=\\"champion\\"} == 1" $labels.job) }}'
    'version {{ . | first | label "version" }}{{ else }}no version{{ end }}'
)
_TARGET: Final = (
    '{{ with query (printf "maskloop_rollback_target_info{job=%q} == 1" $labels.job) }}'
    '`maskloop rollback --why WHY` brings version {{ . | first | label "version" }} back'
    "{{ else }}there is no version to roll back to{{ end }}"
)
_WORST_CLASS: Final = (
    '{{ with query (printf "bottomk(1, min by (class_name) (maskloop_production_class_iou{job=%q}))" '
    '$labels.job) }}{{ . | first | label "class_name" }} '
    '({{ . | first | value | printf "%.2f" }}){{ else }}unknown{{ end }}'
)


@dataclass(frozen=True)
class Burn:
    """One pair of windows.

    Attributes:
        long_s: The long window, in seconds.
        short_s: The short one: a twelfth of it.
        budget_share: Part of the whole budget that is used up in the long window when the alert comes, 0..1.
        severity: ``page`` or ``ticket``.
    """

    long_s: float
    short_s: float
    budget_share: float
    severity: str

    def factor(self, window_days: float) -> float:
        """Return the burn rate from which on it counts.

        >>> [round(burn.factor(30.0), 2) for burn in BURNS]
        [14.4, 6.0, 3.0, 1.0]
        """
        return self.budget_share * window_days * 86_400 / self.long_s


BURNS: Final = (
    Burn(3_600, 300, 0.02, "page"),
    Burn(21_600, 1_800, 0.05, "page"),
    Burn(86_400, 7_200, 0.10, "ticket"),
    Burn(259_200, 21_600, 0.10, "ticket"),
)
_SEVERITIES: Final[dict[Indicator, tuple[str, ...]]] = {
    "availability": ("page", "ticket"),
    "latency": ("page", "ticket"),
    "drift": (),  # MaskloopDrift opens a ticket as soon as it begins
}
_CAUSES: Final[dict[Indicator, str]] = {
    "availability": "errors",
    "latency": "load",
    "quality": "quality",
}
_RUNBOOKS: Final[dict[Indicator, str]] = {
    "availability": "docs/runbooks/errors.md#the-error-budget-burns",
    "latency": "docs/runbooks/latency.md#answers-take-too-long",
}
_BAD: Final[dict[Indicator, str]] = {
    "availability": "of the answers were errors",
    "latency": "of the answers took too long",
}
_COMMANDS: Final[dict[Indicator, str]] = {
    "availability": "maskloop slo; then the service's log, or `maskloop rollback --why WHY` "
    "if the version changed",
    "latency": "maskloop slo; maskloop metrics",
}


def write_rules(objectives: Sequence[Objective], *, bounds_s: Iterable[float], scale: float = 1.0) -> str:
    """Return the rules as a file for Prometheus.

    Args:
        objectives: What is promised.
        bounds_s: Upper bounds of the buckets of the service's latency, in seconds.
        scale: All times are this many times as long; tests make seconds of hours.

    Raises:
        ConfigurationError: if a limit of a latency is none of the bounds: nobody counts who keeps it.
    """
    known = sorted(bounds_s)
    for one in objectives:
        if one.indicator == "latency" and one.within_s not in known:
            said = ", ".join(f"{1000 * bound:g}" for bound in known)
            raise ConfigurationError(
                f"the objective {one.name} is about {1000 * one.within_s:g} ms, which nothing counts",
                where="maskloop.toml",
                hint=f"within_ms (of the default: serving.slo.p95_ms) is one of {said}",
            )
    groups = [(f"maskloop-slo-{one.name}", [*_record(one, scale), *_alert(one, scale)]) for one in objectives]
    return "\n".join([_HEADER, *_write_groups(group for group in groups if group[1]), ""])


def write_duration(seconds: float) -> str:
    """Write a time as Prometheus does, exact to the millisecond.

    >>> [write_duration(one) for one in (300, 7200, 259_200, 2.5)]
    ['5m', '2h', '3d', '2500ms']
    """
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(round(seconds * 1000), 1)}ms"


def _record(one: Objective, scale: float) -> Iterator[Rule]:
    """Yield the share of bad events over every window that an alert looks at."""
    if one.indicator == "quality":
        return
    if one.indicator == "drift":
        yield {"record": _IN_DRIFT, "expr": 'max by (job) (maskloop_drift{outcome="drift"})'}
    burns = BURNS if one.indicator == "drift" else _burns_of(one)
    for seconds in sorted({time for burn in burns for time in (burn.long_s, burn.short_s)}):
        window = write_duration(seconds * scale)
        yield {"record": _ratio(seconds), "expr": _share_of_bad(one, window), "labels": {"slo": one.name}}


def _ratio(seconds: float) -> str:
    """Return the name of a recorded share, by the window as it is without a scale."""
    return f"slo:maskloop_bad_ratio:rate{write_duration(seconds)}"


def _share_of_bad(one: Objective, window: str) -> str:
    if one.indicator == "drift":
        return f"avg_over_time({_IN_DRIFT}[{window}])"
    bad, every = _events(one, "rate", window)
    return f"{bad} / {every}"


def _events(one: Objective, function: str, window: str) -> tuple[str, str]:
    """Return bad and all events: answers of 500 and above; answers of a version that took too long."""
    if one.indicator == "availability":
        every = f"sum by (job) ({function}(maskloop_requests_total[{window}]))"
        errors = f'sum by (job) ({function}(maskloop_requests_total{{status=~"5.."}}[{window}]))'
        return f"(\n  {errors}\n  or 0 * {every}\n)", every
    every = f'sum by (job) ({function}(maskloop_request_seconds_count{{version!=""}}[{window}]))'
    selected = f'{{version!="",le="{one.within_s!r}"}}'
    good = f"sum by (job) ({function}(maskloop_request_seconds_bucket{selected}[{window}]))"
    return f"(\n  {every}\n  - {good}\n)", every


def _alert(one: Objective, scale: float) -> Iterator[Rule]:
    if one.indicator == "quality":
        yield from _alert_about_quality(one, scale)
        return
    for severity, pace, wait_s in (("page", "Fast", 60), ("ticket", "Slowly", 900)):
        burns = [burn for burn in _burns_of(one) if burn.severity == severity]
        if not burns:
            continue
        expression = "\nor\n".join(_describe_burn(one, burn, scale) for burn in burns)
        if one.indicator == "latency" and severity == "page":
            window = write_duration(burns[-1].long_s * scale)
            expression = f"({expression}){_PAGED_ALREADY.replace('WINDOW', window)}"
        labels = {"severity": severity, "cause": _CAUSES[one.indicator]}
        if one.indicator == "latency" and severity == "ticket":
            labels["rollout"] = "expected"
        spans = " or ".join(write_duration(burn.long_s) for burn in burns)
        yield {
            "alert": f"{_alert_name(one)}Burns{pace}",
            "expr": expression,
            "for": write_duration(wait_s * scale),
            "labels": labels,
            "annotations": {
                "summary": f"The error budget {one.name} burns {pace.lower()}: "
                f"{{{{ $value | humanizePercentage }}}} {_BAD[one.indicator]} in the last {spans}.",
                "description": f"Promised: {one.promise()}. Champion: {_CHAMPION}.",
                "command": _COMMANDS[one.indicator],
                "runbook_url": _RUNBOOKS[one.indicator],
            },
        }


def _burns_of(one: Objective) -> tuple[Burn, ...]:
    """Return the pairs that an objective can reach: no more than all can be bad."""
    wanted = _SEVERITIES[one.indicator]
    return tuple(
        burn for burn in BURNS if burn.severity in wanted and burn.factor(one.window_days) * one.budget < 1.0
    )


def _describe_burn(one: Objective, burn: Burn, scale: float) -> str:
    limit = f"{burn.factor(one.window_days):.6g} * {one.budget:.6g}"
    shares = [f'{_ratio(time)}{{slo="{one.name}"}} > {limit}' for time in (burn.long_s, burn.short_s)]
    bad, _ = _events(one, "increase", write_duration(burn.long_s * scale))
    shares.append(f"on (job) {_indent(bad)} >= {_MIN_BAD_EVENTS}")
    return "(\n  " + "\n  and ".join(shares) + "\n)"


def _alert_about_quality(one: Objective, scale: float) -> Iterator[Rule]:
    """Yield alerts on what the loop measured: labels come in batches, so windows of minutes say nothing."""
    labels = {"cause": _CAUSES["quality"]}
    yield {
        "alert": f"{_alert_name(one)}FellFar",
        "expr": f"min by (job, class_name) (maskloop_production_class_iou) < 0.5 * {one.target:.6g}",
        "for": write_duration(60 * scale),
        "labels": {"severity": "page", **labels},
        "annotations": {
            "summary": "On labels from production the champion's mask IoU of {{ $labels.class_name }} is "
            '{{ $value | printf "%.2f" }}, less than half of what is promised.',
            "description": f"Promised: {one.promise()}. Champion: {_CHAMPION}.",
            "command": f"maskloop slo; {_TARGET}",
            "runbook_url": "docs/runbooks/quality.md#a-class-is-found-much-worse-than-promised",
        },
    }
    yield {
        "alert": f"{_alert_name(one)}BudgetSpent",
        "expr": "min by (job) (maskloop_production_mean_iou)\n"
        "and on (job) max by (job) (maskloop_promotion_frozen) == 1",
        "for": write_duration(60 * scale),
        "labels": {"severity": "ticket", **labels},
        "annotations": {
            "summary": 'The mean mask IoU on labels from production is {{ $value | printf "%.2f" }}: '
            "the quality budget is spent, and no version is promoted without a person.",
            "description": f"Promised: {one.promise()}. Champion: {_CHAMPION}. Worst class: {_WORST_CLASS}.",
            "command": f"maskloop slo; {_TARGET}",
            "runbook_url": "docs/runbooks/quality.md#the-quality-budget-is-spent",
        },
    }


def _alert_name(one: Objective) -> str:
    return "Maskloop" + "".join(part.capitalize() for part in one.name.split("-"))


def _write_groups(groups: Iterable[tuple[str, Sequence[Rule]]]) -> Iterator[str]:
    """Yield the lines of a file of rules, as a person would write it."""
    yield "groups:"
    for name, rules in groups:
        yield f"  - name: {name}"
        yield "    rules:"
        for rule in rules:
            dash = "- "
            for key, value in rule.items():
                yield from _write_field(key, value, f"      {dash}", "        ")
                dash = "  "


def _write_field(key: str, value: str | Mapping[str, str], begin: str, indent: str) -> Iterator[str]:
    if isinstance(value, str) and "\n" in value:
        yield f"{begin}{key}: |"
        yield from (f"{indent}  {line}" for line in value.split("\n"))
    elif isinstance(value, str):
        is_plain = key in ("alert", "record", "for")
        yield f"{begin}{key}: {value if is_plain else json.dumps(value)}"
    elif key == "labels":
        yield f"{begin}labels: {{{', '.join(f'{name}: {json.dumps(said)}' for name, said in value.items())}}}"
    else:
        yield f"{begin}{key}:"
        for name, said in value.items():
            yield f"{indent}  {name}: >-"
            yield from (f"{indent}    {line}" for line in _wrap(said))


def _wrap(text: str) -> list[str]:
    """Break a text at blanks, which YAML's folded style puts back."""
    return textwrap.wrap(text, _LINE_LENGTH, break_long_words=False, break_on_hyphens=False)


def _indent(expression: str) -> str:
    """Indent all lines but the first."""
    return expression.replace("\n", "\n  ")
