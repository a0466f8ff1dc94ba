"""The service's page for Prometheus, read back: for those who run no Prometheus."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from maskloop.errors import DataError
from serving.telemetry.gpu import GpuFigures


@dataclass(frozen=True)
class Requests:
    """Answers counted since the service began to count.

    Attributes:
        num_all: Of any status.
        num_errors: Of status 500 and above.
        num_refused: Of status 400 to 499: requests that were wrong.
    """

    num_all: float = 0.0
    num_errors: float = 0.0
    num_refused: float = 0.0


@dataclass(frozen=True)
class Gpu:
    """One graphics card; None where it does not tell."""

    name: str
    load_percent: float | None = None
    used_bytes: float | None = None
    total_bytes: float | None = None


@dataclass(frozen=True)
class ServiceFigures:
    """What the service has counted since it began.

    Attributes:
        began_at_s: When its oldest process started, in seconds since 1970; None if it does not tell.
        champion: The version that serves; empty if none does.
        latency_s: Of answers, by version: upper bounds of the buckets in seconds, and how many answers took
            at most so long; bounds rise and the last is infinite.
        requests: By version; those without one were refused before a model was chosen.
        memory_bytes: In RAM, by process.
        gpus: Of the machine.
    """

    began_at_s: float | None = None
    champion: str = ""
    latency_s: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    requests: Mapping[str, Requests] = field(default_factory=dict)
    memory_bytes: Mapping[str, float] = field(default_factory=dict)
    gpus: tuple[Gpu, ...] = ()

    @property
    def all_requests(self) -> Requests:
        """Of all versions together."""
        own = self.requests.values()
        return Requests(
            sum(one.num_all for one in own),
            sum(one.num_errors for one in own),
            sum(one.num_refused for one in own),
        )


def read_service_figures(page: str) -> ServiceFigures:
    """Read a page. Figures that it lacks stay empty.

    Raises:
        DataError: if it is no page of figures.
    """
    try:
        families = {family.name: family for family in text_string_to_metric_families(page)}
    except (ValueError, KeyError) as error:
        raise DataError(
            "this is no page of figures for Prometheus", hint="name the service itself"
        ) from error
    began = [value for _, value in _rows(families, "process_start_time_seconds")]
    serving = _rows(families, "maskloop_serving_info")
    champions = [labels["version"] for labels, value in serving if labels["role"] == "champion" and value]
    return ServiceFigures(
        began_at_s=min(began, default=None),
        champion=champions[0] if champions else "",
        latency_s=_read_latency(families),
        requests=_read_requests(families),
        memory_bytes={
            labels.get("pid", ""): value for labels, value in _rows(families, "process_resident_memory_bytes")
        },
        gpus=read_gpus(families.values()),
    )


def read_gpus(families: Iterable[Metric] | None = None) -> tuple[Gpu, ...]:
    """Return the cards that rows tell of; by default those of this machine, now."""
    given = GpuFigures().collect() if families is None else families
    found: dict[str, dict[str, float]] = {}
    for family in given:
        if field_name := _GPU_FIELDS.get(family.name):
            for sample in family.samples:
                found.setdefault(sample.labels["gpu"], {})[field_name] = sample.value
    return tuple(Gpu(name, **fields) for name, fields in sorted(found.items()))


_GPU_FIELDS = {
    "maskloop_gpu_utilisation_percent": "load_percent",
    "maskloop_gpu_memory_used_bytes": "used_bytes",
    "maskloop_gpu_memory_total_bytes": "total_bytes",
}


def quantile_s(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """Return about how long a share of the answers took at most, in seconds; None without answers.

    Between two bounds it is interpolated, as Prometheus' histogram_quantile does; beyond the last finite
    bound it is that bound.

    >>> quantile_s([(0.1, 50.0), (0.2, 100.0), (float("inf"), 100.0)], 0.75)
    0.15000000000000002
    """
    total = buckets[-1][1] if buckets else 0.0
    if not total:
        return None
    wanted, below_bound, below = share * total, 0.0, 0.0
    for bound, number in buckets:
        if number >= wanted and number > below:
            if math.isinf(bound):
                return below_bound
            return below_bound + (bound - below_bound) * (wanted - below) / (number - below)
        below_bound, below = (below_bound if math.isinf(bound) else bound), number
    return below_bound


def _rows(families: Mapping[str, Metric], name: str) -> list[tuple[dict[str, str], float]]:
    family = families.get(name)
    return [(sample.labels, sample.value) for sample in family.samples] if family else []


def _read_latency(families: Mapping[str, Metric]) -> dict[str, list[tuple[float, float]]]:
    family = families.get("maskloop_request_seconds")
    found: dict[str, list[tuple[float, float]]] = {}
    for sample in family.samples if family else ():
        if sample.name.endswith("_bucket") and sample.labels["version"]:
            bucket = (float(sample.labels["le"]), sample.value)
            found.setdefault(sample.labels["version"], []).append(bucket)
    return {version: sorted(buckets) for version, buckets in found.items()}


def _read_requests(families: Mapping[str, Metric]) -> dict[str, Requests]:
    found: dict[str, Requests] = {}
    family = families.get("maskloop_requests")
    for sample in family.samples if family else ():
        if not sample.name.endswith("_total"):
            continue
        version, status = sample.labels["version"], int(sample.labels["status"])
        known = found.get(version, Requests())
        found[version] = Requests(
            known.num_all + sample.value,
            known.num_errors + sample.value * (status >= 500),
            known.num_refused + sample.value * (400 <= status < 500),
        )
    return found
