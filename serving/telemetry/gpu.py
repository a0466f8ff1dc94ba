"""Memory and load of the graphics cards, read at each scrape through NVIDIA's own library."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pynvml
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_log = logging.getLogger("maskloop.serving")


class GpuFigures(Collector):
    """Figures of every card of the machine, as Prometheus rows; without a card or a driver there are none."""

    def __init__(self) -> None:
        self._is_open = False
        self._trouble = ""

    def collect(self) -> Iterator[Metric]:
        """Read the cards now. What a card does not tell (a slice of one, for example) is left out."""
        rows = {
            "used": GaugeMetricFamily("maskloop_gpu_memory_used_bytes", "Memory in use.", labels=["gpu"]),
            "total": GaugeMetricFamily("maskloop_gpu_memory_total_bytes", "Memory there is.", labels=["gpu"]),
            "load": GaugeMetricFamily("maskloop_gpu_utilisation_percent", "Time at work.", labels=["gpu"]),
        }
        try:
            self._read(rows)
            self._say("")
        except Exception as error:  # noqa: BLE001 - whatever a driver does, the other figures are told
            self._is_open = False
            self._say(str(error))
        yield from (family for family in rows.values() if family.samples)

    def _read(self, rows: dict[str, Any]) -> None:
        if not self._is_open:
            pynvml.nvmlInit()
            self._is_open = True
        for number in range(pynvml.nvmlDeviceGetCount()):
            card = pynvml.nvmlDeviceGetHandleByIndex(number)
            memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, card)
            load = _ask(pynvml.nvmlDeviceGetUtilizationRates, card)
            if memory:
                rows["used"].add_metric([str(number)], memory.used)
                rows["total"].add_metric([str(number)], memory.total)
            if load:
                rows["load"].add_metric([str(number)], load.gpu)

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            _log.info("no figures about graphics cards: %s", trouble)
        self._trouble = trouble


def _ask(question: Callable[[Any], Any], card: Any) -> Any:
    try:
        return question(card)
    except pynvml.NVMLError_NotSupported:
        return None
