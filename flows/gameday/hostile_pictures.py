"""F8: the service is asked about broken files, and about pictures made to mislead it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from dataset.pictures.decoding import encode_png
from flows.gameday.production import as_they_are, current_version, held_out, read_pixels
from flows.gameday.scenario import Stage
from flows.gameday.service import Asked, ask, open_client, running_service

_NUM_REQUESTS: Final = 40
_MOSTLY: Final = 0.8


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


def _pictures(stage: Stage, limit: int) -> Iterator[tuple[bytes, np.ndarray]]:
    version = current_version(stage)
    for number, picture in enumerate(held_out(version, limit)):
        pixels = as_they_are(read_pixels(stage, version, picture), np.random.default_rng(number))
        yield encode_png(pixels), pixels


def _ask_all(address: str, pictures: Sequence[bytes]) -> list[Asked]:
    with open_client(address) as client:
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
