"""The service keeps what its own OpenAPI document promises, whatever is sent; hostile pictures included.

Requests are drawn from the document by schemathesis, those that fit it and those that do not; the draw is the
same each time.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

import httpx
import numpy as np
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis.generation import GenerationMode
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.specs.openapi import checks

from tests.fakes.service_world import PNG, ServiceWorld, draw_picture, write_picture

_EXAMPLES: Final = 60
_NUM_OPERATIONS: Final = 9
_CHECKS: Final = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.missing_required_header,
    checks.unsupported_method,
]


# --- requests drawn from the document ----------------------------------------------------------------


class Restartable:
    """An ASGI application made anew whenever its lifespan begins: schemathesis ends it with each test."""

    def __init__(self, world: ServiceWorld) -> None:
        self._world = world
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            self._app = self._world.make_app()
        await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The document of a service that asks for keys, and the headers with a key."""
    world = ServiceWorld(tmp_path_factory.mktemp("fuzzed"), needs_keys=True)
    app = Restartable(world)
    images = [f"image/{name}" for name in ("jpeg", "png", "webp", "bmp", "tiff", "heic")]
    for kind in (*images, "application/dicom", "application/octet-stream"):
        schemathesis.openapi.media_type(kind, st.sampled_from([PNG, PNG[:50]]) | st.binary(max_size=64))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    yield schema, {"Authorization": f"Bearer {world.keys.add('fuzzer')}"}, app
    shutdown_lifespans()


def test_the_document_has_all_operations(fuzzed: Any) -> None:
    schema, *_ = fuzzed
    assert len(list(schema.get_all_operations())) == _NUM_OPERATIONS


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("number", range(_NUM_OPERATIONS))
def test_every_answer_is_one_that_the_document_promises(fuzzed: Any, number: int, mode: Any) -> None:
    schema, headers, _ = fuzzed
    operation = [found.ok() for found in schema.get_all_operations()][number]
    if mode is GenerationMode.NEGATIVE and not has_input(operation):
        pytest.skip("nothing can be wrong: it takes nothing")

    @settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def fuzz(case: Any) -> None:
        response = case.call(headers=headers)
        assert response.status_code < 500, response.text
        assert response.headers["x-request-id"], "every answer names its request"
        case.validate_response(response, checks=_CHECKS)

    fuzz()


def has_input(operation: Any) -> bool:
    return any(len(part) for part in (operation.query, operation.headers, operation.body))


@pytest.mark.parametrize("number", range(_NUM_OPERATIONS))
def test_no_key_opens_only_what_the_document_leaves_open(fuzzed: Any, number: int) -> None:
    schema, _, app = fuzzed
    operation = [found.ok() for found in schema.get_all_operations()][number]
    is_guarded = bool(operation.definition.raw.get("security"))
    for headers in ({}, {"Authorization": "Bearer mlk_000000000000_x"}):
        case = operation.Case(headers=headers)
        response = case.call(app=app)
        assert (response.status_code == 401) == is_guarded


# --- hostile pictures --------------------------------------------------------------------------------


def png_chunk(name: bytes, data: bytes, *, length: int | None = None) -> bytes:
    told = len(data) if length is None else length
    return struct.pack(">I", told) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_that_claims(width: int, height: int, *, bits: int = 8, rest: bytes = b"") -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + header + rest + data + png_chunk(b"IEND", b"")


def jpeg_that_claims(width: int, height: int) -> bytes:
    data = bytearray(write_picture("JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def in_mode(mode: str, format_name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw_picture()).convert(mode).save(file, format_name, **options)
    return file.getvalue()


def sixteen_bit() -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw_picture()[..., 0].astype(np.uint16) * 257).save(file, "PNG")
    return file.getvalue()


def frames(format_name: str) -> bytes:
    file, images = io.BytesIO(), [Image.fromarray(draw_picture(value=value)) for value in (255, 200, 150)]
    images[0].save(file, format_name, save_all=True, append_images=images[1:])
    return file.getvalue()


def flipped(data: bytes, *, seed: int, num_bits: int) -> bytes:
    random, changed = np.random.default_rng(seed), bytearray(data)
    for place in random.integers(8 * 12, 8 * len(data), num_bits):  # past the magic bytes
        changed[place // 8] ^= 1 << (place % 8)
    return bytes(changed)


def odd_but_good() -> dict[str, bytes]:
    """Pictures of formats in which cameras and tools write: all of them are answered."""
    garbage = b"Exif\0\0" + b"\xff" * 60
    return {
        "cmyk": in_mode("CMYK", "JPEG"),
        "grey": in_mode("L", "JPEG"),
        "palette": in_mode("P", "PNG"),
        "alpha": in_mode("RGBA", "PNG"),
        "grey and alpha": in_mode("LA", "PNG"),
        "two tones": in_mode("1", "PNG"),
        "16 bits": sixteen_bit(),
        "progressive": write_picture("JPEG", progressive=True),
        "lossless webp": write_picture("WEBP", lossless=True),
        "two stills in one JPEG": frames("MPO"),
        "a zip after the end": PNG + b"PK\3\4" + b"\0" * 100,
        "a page in a comment": write_picture("JPEG", comment=b"<script>alert(1)</script>"),
        "garbage for EXIF": write_picture("JPEG", exif=garbage),
        "one px": write_picture(pixels=np.full((1, 1, 3), 255, np.uint8)),
        "one row": write_picture(pixels=np.full((1, 30_000, 3), 255, np.uint8)),
    }


def broken() -> dict[str, bytes]:
    """Pictures that are damaged, lie, or want too much."""
    named = {
        "nothing": b"",
        "magic only": PNG[:8],
        "65500 squared": png_that_claims(65_500, 65_500),
        "a jpeg of 65500 squared": jpeg_that_claims(65_500, 65_500),
        "more px than bytes": png_that_claims(1000, 1000),
        "no px": png_that_claims(0, 0),
        "17 bits": png_that_claims(24, 16, bits=17),
        "a text that unpacks to 50 MB": png_that_claims(
            24, 16, rest=png_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 50_000_000, 9))
        ),
        "a chunk of 2 GB": png_that_claims(24, 16, rest=png_chunk(b"tEXt", b"a\0b", length=2**31 - 1)),
        "a profile that is none": png_that_claims(24, 16, rest=png_chunk(b"iCCP", b"a\0\0" + b"\xff" * 20)),
        "an animation": frames("WEBP"),
        "a moving PNG": frames("PNG"),
        "a moving GIF": frames("GIF"),
        "gif that says it is png": b"\x89PNG\r\n\x1a\n" + frames("GIF"),
        "riff that is no webp": b"RIFF\xff\xff\xff\xffWEBPVP8 " + b"\0" * 50,
        "a page": b"<html><svg onload=alert(1)>",
    }
    for name, data in {"png": PNG, "jpeg": write_picture("JPEG"), "webp": write_picture("WEBP")}.items():
        for percent in (10, 50, 90, 99):
            named[f"{percent} % of a {name}"] = data[: len(data) * percent // 100]
        for seed in range(12):
            flips = flipped(data, seed=seed, num_bits=1 + seed % 4)
            named[f"{name} with flipped bits {seed}"] = flips
        named[f"{name} of zeros"] = data[:16] + bytes(len(data) - 16)
    return named


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the service says to all of them, and what it held before and after; decoded in a real child."""
    world = ServiceWorld(tmp_path_factory.mktemp("hostile"), sandboxed=True)
    before = {child.pid for child in psutil.Process().children()}

    async def story(client: httpx.AsyncClient) -> dict[str, Any]:
        await client.post("/v1/predict", content=PNG)
        first = held(before)
        told = {}
        for name, data in {**odd_but_good(), **broken()}.items():
            told[name] = await client.post("/v1/predict", content=data)
            after = await client.post("/v1/predict", content=PNG)
            assert after.status_code == 200, f"after {name} a good picture was not answered"
        return {"told": told, "first": first, "last": held(before)}

    found: dict[str, Any] = world.run(story)
    return found


def held(before: set[int]) -> tuple[int, int]:
    """Count the decoding children and open files of this process."""
    here = psutil.Process()
    return len([child for child in here.children() if child.pid not in before]), here.num_fds()


@pytest.mark.parametrize("name", odd_but_good())
def test_what_cameras_and_tools_write_is_answered(answers: dict[str, Any], name: str) -> None:
    assert answers["told"][name].status_code == 200, answers["told"][name].text


@pytest.mark.parametrize("name", broken())
def test_a_hostile_picture_is_answered_or_refused_in_words(answers: dict[str, Any], name: str) -> None:
    answer = answers["told"][name]
    may_be_read = "flipped" in name or "zeros" in name or "%" in name  # pixels may be wrong, or the end spare
    assert answer.status_code in ((200, 415, 422) if may_be_read else (415, 422)), answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert "Traceback" not in answer.text
        assert "/" not in answer.json()["detail"].replace("I/O", ""), "no place of the server"


def test_hostile_pictures_leave_nothing_open(answers: dict[str, Any]) -> None:
    assert answers["first"][0] == 1
    assert answers["last"] == answers["first"]
