"""Pictures inside a page: small whatever they hold."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from maskloop.pages.embedded_pictures import MAX_PICTURE_BYTES, embed_picture


def decode(url: str) -> tuple[Image.Image, int]:
    data = base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))
    return Image.open(io.BytesIO(data)), len(data)


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (480, 480), (1500, 900)])
def test_an_embedded_picture_is_small_whatever_it_holds(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    image, num_bytes = decode(embed_picture(noise, max_side_px=480))
    assert num_bytes <= MAX_PICTURE_BYTES
    assert max(image.size) <= 480
    assert image.format == "JPEG"


def test_an_easy_picture_keeps_its_size_and_colour() -> None:
    image, _ = decode(embed_picture(np.full((120, 480, 3), (200, 30, 40), dtype=np.uint8), max_side_px=480))
    assert image.size == (480, 120)
    assert np.abs(np.asarray(image).astype(int) - (200, 30, 40)).max() <= 3
