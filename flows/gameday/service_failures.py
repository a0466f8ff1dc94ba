"""F1 and F8: the service is flooded by a client, and asked about pictures made to mislead it."""

from __future__ import annotations

import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from statistics import median
from typing import Any, Final

import httpx
import numpy as np

from dataset.pictures.decoding import encode_png
from flows.gameday.production import as_they_are, current_version, held_out, read_pixels
from flows.gameday.scenario import Phase, Stage
from flows.gameday.service import Asked, ask, open_client, running_service
from flows.metrics.gathering import measure_workspace
from flows.slo.budgets import read_budgets
from serving.access.keys import READ_EVERY_S
from serving.telemetry.metrics import LATENCY_BOUNDS_S

_NUM_REQUESTS: Final = 40
_NUM_FLOODING: Final = 16
_REFUSED_S: Final = 0.5
_PROMISE: Final = 3.0
"""The copy promises this multiple of what half of the requests take undisturbed, whatever machine it is."""
_REVOKED_WITHIN_S: Final = 5 * READ_EVERY_S
"""The service is flooded meanwhile."""
_MOSTLY: Final = 0.8
LATENCY_SETTINGS: Final[dict[str, dict[str, Any]]] = {"serving": {"require_keys": True}}


def play_latency(stage: Stage) -> None:
    """Let one client flood the service; its answers must be too slow, and in time without that client."""
    keys = stage.app.keys
    usual_key, flood_key = keys.add("usual"), keys.add("flood", scopes=("predict",))
    pictures = [data for data, _ in _pictures(stage, _NUM_REQUESTS)]
    with running_service(stage) as address:
        _ask_all(address, pictures[:10], usual_key)
        undisturbed_s = median(one.seconds for one in _ask_all(address, pictures, usual_key))
    limit_ms = 1000 * choose_promise(undisturbed_s)
    slo = stage.app.settings.serving.slo.model_dump() | {"p95_ms": limit_ms, "p50_ms": limit_ms}
    stage.change_settings(serving={"slo": slo})
    with running_service(stage) as address, _flood(address, pictures, flood_key):
        said = f"one client sends with {_NUM_FLOODING} connections at once; promised are {limit_ms:.0f} ms"
        stage.inject("requests", said)
        _ask_all(address, pictures, usual_key)
        _see_latency(stage, "detected", address, usual_key, is_met=False)
        stage.report(f"p95 is above the promised {limit_ms:.0f} ms")
        keys.revoke(flood_key.split("_")[1])
        status = _ask_until_refused(address, pictures[0], flood_key)
        said = f"the client that floods is answered {status}"
        stage.see("mitigated", "maskloop keys revoke", said, is_seen=status in (401, 403))
    with running_service(stage) as address, _flood(address, pictures, flood_key):  # it counts from here
        _ask_all(address, pictures, usual_key)
        _see_latency(stage, "restored", address, usual_key, is_met=True)
    stage.write_up(
        cause="one client sent more than the service can answer",
        action="its key was revoked",
        ended="answers are in time again",
    )


def play_hostile_pictures(stage: Stage) -> None:
    """Send broken files and pictures of noise; each must be refused or flagged, and the rest answered."""
    usual = [data for data, _ in _pictures(stage, _NUM_REQUESTS)]
    hostile = [_disturb(pixels) for _, pixels in _pictures(stage, _NUM_REQUESTS)]
    broken = list(_break(usual[0]))
    with running_service(stage) as address:
        before = _ask_all(address, usual)
        stage.inject("requests", f"{len(broken)} broken files and {len(hostile)} pictures of noise")
        refused = _ask_all(address, broken)
        said = f"{_count_refused(refused)} of {len(broken)} broken files refused with 4xx"
        stage.see("detected", "guards of /v1/predict", said, is_seen=_count_refused(refused) == len(broken))
        flagged, usually = (
            sum(one.is_strange for one in asked) for asked in (_ask_all(address, hostile), before)
        )
        said = f"flagged: {flagged} of {len(hostile)} disturbed pictures, {usually} of {len(usual)} usual"
        is_seen = flagged >= _MOSTLY * len(hostile) and usually <= (1 - _MOSTLY) * len(usual)
        stage.see("detected", "novelty of the answers", said, is_seen=is_seen)
    stage.report("pictures come that are unlike everything the model knows")
    stage.change_settings(serving={"when_out_of_distribution": "refuse"})
    with running_service(stage) as address:
        refused = _ask_all(address, hostile)
        setting = 'serving.when_out_of_distribution = "refuse"'
        said = f"{setting}: {_count_refused(refused)} of {len(hostile)} refused"
        is_seen = _count_refused(refused) >= _MOSTLY * len(hostile)
        stage.see("mitigated", "maskloop.toml, maskloop serve", said, is_seen=is_seen)
        answered = sum(one.status == 200 for one in _ask_all(address, usual))
        said = f"{answered} of {len(usual)} usual pictures answered meanwhile"
        stage.see("restored", "/v1/predict", said, is_seen=answered >= _MOSTLY * len(usual))
    stage.write_up(
        cause="somebody sent disturbed pictures and broken files",
        action="such pictures are refused",
        ended="usual pictures are answered, the others refused",
    )


def choose_promise(undisturbed_s: float) -> float:
    """Return the first bound of the service's histogram above the promised multiple, in seconds. Pure.

    Args:
        undisturbed_s: What half of the requests take at most when nobody disturbs, in seconds.
    """
    return next((one for one in LATENCY_BOUNDS_S if one >= _PROMISE * undisturbed_s), LATENCY_BOUNDS_S[-1])


def _see_latency(stage: Stage, phase: Phase, address: str, key: str, *, is_met: bool) -> None:
    figures = measure_workspace(stage.app, url=address, key=key)
    p95 = next(one for one in figures if one.id == "M1")
    said = f"M1 {p95.shown.value:.0f} ms, {p95.target}" if p95.shown and p95.shown.value else p95.missing
    stage.look(phase, "maskloop metrics", said)
    budgets = read_budgets(stage.app, url=address, key=key).readings
    budget = next(one for one in budgets if one.name == "latency")
    if budget.good is None or budget.left is None:
        stage.see(phase, "maskloop slo list", budget.missing, is_seen=False)
        return
    said = f"{100 * budget.good:.0f} % were in time: {budget.promise}"
    stage.see(phase, "maskloop slo list", said, is_seen=(budget.left >= 0) is is_met)


def _pictures(stage: Stage, limit: int) -> Iterator[tuple[bytes, np.ndarray]]:
    version = current_version(stage)
    for number, picture in enumerate(held_out(version, limit)):
        pixels = as_they_are(read_pixels(stage, version, picture), np.random.default_rng(number))
        yield encode_png(pixels), pixels


def _ask_until_refused(address: str, picture: bytes, key: str) -> int:
    """Ask with a revoked key until the service has read the keys again; return the last status."""
    deadline = time.monotonic() + _REVOKED_WITHIN_S
    with open_client(address, key) as client:
        while (status := ask(client, picture).status) not in (401, 403) and time.monotonic() < deadline:
            time.sleep(_REFUSED_S)
    return status


def _ask_all(address: str, pictures: Sequence[bytes], key: str = "") -> list[Asked]:
    with open_client(address, key) as client:
        return [ask(client, data) for data in pictures]


def _count_refused(asked: Sequence[Asked]) -> int:
    return sum(400 <= one.status < 500 for one in asked)


def _disturb(pixels: np.ndarray) -> bytes:
    """Return a picture nearly drowned in noise, as PNG."""
    noise = np.random.default_rng(pixels.size).integers(0, 256, pixels.shape)
    return encode_png((0.15 * pixels + 0.85 * noise).astype(np.uint8))


def _break(data: bytes) -> Iterator[bytes]:
    """Yield files that are no pictures, or claim to be huge ones."""
    yield data[: len(data) // 2]
    yield data[:40] + bytes(200) + data[240:]
    yield b"GIF89a" + bytes(64)
    yield b""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    yield data[:8] + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


@contextmanager
def _flood(address: str, pictures: Sequence[bytes], key: str) -> Iterator[None]:
    """Let one client send with many connections until the body ends; refused, it waits a moment."""
    is_over = threading.Event()

    def send() -> None:
        with open_client(address, key) as client:
            for data in cycle(pictures):
                if is_over.is_set():
                    return
                try:
                    is_refused = ask(client, data).status != 200
                except httpx.HTTPError:  # the service stops
                    is_refused = True
                if is_refused:
                    is_over.wait(_REFUSED_S)

    threads = [threading.Thread(target=send, name="gameday flood") for _ in range(_NUM_FLOODING)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
