"""Figures of the service and its machine: M1 to M3 and M6 to M8. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flows.metrics.figure import Figure, Gathered, Reading
from maskloop.wording import span
from serving.telemetry.reading import Requests, ServiceFigures, quantile_s

_MIN_GPU_PERCENT, _MAX_GPU_PERCENT, _MAX_MEMORY_PERCENT = 60.0, 80.0, 90.0


def measure_p95(found: Gathered) -> Figure:
    """Measure M1: how long the slowest twentieth takes, at least."""
    return _measure_latency(
        found, "M1", "p95 latency", "tail latency", 0.95, found.settings.serving.slo.p95_ms
    )


def measure_p50(found: Gathered) -> Figure:
    """Measure M2: how long the middle answer takes."""
    return _measure_latency(
        found, "M2", "p50 latency", "typical response time", 0.5, found.settings.serving.slo.p50_ms
    )


def _measure_latency(
    found: Gathered, name: str, title: str, tells: str, share: float, limit_ms: float
) -> Figure:
    tail_share, tail_name = (0.99, "p99") if share > 0.9 else (0.95, "p95")
    readings = []
    figures = found.service or ServiceFigures()
    baseline = found.evidence.candidate if found.evidence else None
    judged_ms = (baseline.p95_ms if share > 0.9 else baseline.p50_ms) if baseline else None
    champion_first = sorted(figures.latency_s.items(), key=lambda one: one[0] != figures.champion)
    for version, buckets in champion_first:
        value_s, tail_s = quantile_s(buckets, share), quantile_s(buckets, tail_share)
        if value_s is None or tail_s is None:
            continue
        is_champion = version == figures.champion
        readings.append(
            Reading(
                f"version {version}" + (" (champion)" if is_champion else ""),
                1000 * value_s,
                1000 * tail_s,
                tail_name,
                judged_ms if is_champion else None,
                "the model alone, when it was judged" if is_champion and judged_ms is not None else "",
                is_met=1000 * value_s <= limit_ms if is_champion else None,
            )
        )
    return _of_service(found, name, title, tells, "ms", f"at most {limit_ms:g} ms", readings)


def measure_throughput(found: Gathered) -> Figure:
    """Measure M3: answers per second."""
    figures, readings = found.service, []
    uptime_s = _uptime_s(found)
    if figures and uptime_s:
        readings = [Reading("", figures.all_requests.num_all / uptime_s)]
        readings += [
            Reading(f"version {version}", one.num_all / uptime_s)
            for version, one in figures.requests.items()
            if version
        ]
    title, tells = "Throughput RPS", "service capacity: a mean, peaks are in Prometheus"
    target = "by your load; no default"
    return _of_service(found, "M3", title, tells, "requests per second", target, readings)


def measure_error_rate(found: Gathered) -> Figure:
    """Measure M6: answers of status 500 and above."""
    limit = found.settings.serving.slo.max_error_percent
    figures, readings = found.service or ServiceFigures(), []
    whole = figures.all_requests
    if whole.num_all:
        percent = 100 * whole.num_errors / whole.num_all
        refused = 100 * whole.num_refused / whole.num_all
        readings = [Reading("", percent, refused, "refused as wrong (4xx)", is_met=percent <= limit)]
        readings += [_error_reading(version, one, limit) for version, one in figures.requests.items()]
    title, tells = "Model error rate", "answers of status 500 and above"
    return _of_service(found, "M6", title, tells, "%", f"at most {limit:g} %", readings)


def _error_reading(version: str, one: Requests, limit: float) -> Reading:
    percent = 100 * one.num_errors / one.num_all if one.num_all else 0.0
    of = f"version {version}" if version else "before a model was chosen"
    return Reading(of, percent, is_met=percent <= limit)


def measure_gpu_load(found: Gathered) -> Figure:
    """Measure M7: how busy the cards are."""
    readings = [
        Reading(f"GPU {gpu.name}", gpu.load_percent, is_met=_is_load_right(gpu.load_percent))
        for gpu in found.gpus
        if gpu.load_percent is not None
    ]
    return Figure(
        "M7",
        "GPU utilization",
        "whether the card works, or waits",
        "%",
        f"{_MIN_GPU_PERCENT:g} to {_MAX_GPU_PERCENT:g} % under load",
        "now",
        "NVML",
        tuple(readings),
        "" if readings else "no GPU" if not found.gpus else "the card does not tell its load",
        "" if readings else "run it on a machine with an NVIDIA card and driver",
    )


def _is_load_right(percent: float) -> bool:
    return _MIN_GPU_PERCENT <= percent <= _MAX_GPU_PERCENT


def measure_memory(found: Gathered) -> Figure:
    """Measure M8: how near processes and cards are to their limit."""
    figures, readings = found.service or ServiceFigures(), []
    for pid, used in figures.memory_bytes.items():
        if found.memory_limit_bytes:
            of = f"process {pid}" if pid else "the service"
            readings.append(_memory_reading(of, used, found.memory_limit_bytes))
    for gpu in found.gpus:
        if gpu.used_bytes is not None and gpu.total_bytes:
            readings.append(_memory_reading(f"memory of GPU {gpu.name}", gpu.used_bytes, gpu.total_bytes))
    title, tells = "Memory usage", "how near the service is to being killed"
    target = f"below {_MAX_MEMORY_PERCENT:g} % of the machine's, or of the card's"
    return _of_service(found, "M8", title, tells, "%", target, readings, window="now")


def _memory_reading(of: str, used: float, limit: float) -> Reading:
    percent = 100 * used / limit
    return Reading(of, percent, used / 2**20, "MiB", is_met=percent < _MAX_MEMORY_PERCENT)


def _of_service(
    found: Gathered,
    name: str,
    title: str,
    tells: str,
    unit: str,
    target: str,
    readings: Sequence[Reading],
    *,
    window: str = "",
) -> Figure:
    uptime_s = _uptime_s(found)
    since = f"since the service started, {span(timedelta(seconds=uptime_s))}" if uptime_s else ""
    missing = "" if readings else found.why_no_service or "the service has not answered anything yet"
    how = "" if readings else "start `maskloop serve` or `maskloop up`, or name a service with --url"
    source = "the service's /metrics"
    return Figure(name, title, tells, unit, target, window or since, source, tuple(readings), missing, how)


def _uptime_s(found: Gathered) -> float | None:
    began = found.service.began_at_s if found.service else None
    return max(found.now.timestamp() - began, 1.0) if began else None
