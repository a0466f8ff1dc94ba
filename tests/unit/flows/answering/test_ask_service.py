"""What a service answered, as `maskloop predict --url` shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np

from dataset.pictures.decoding import encode_png
from flows.answering.ask_service import ask_service
from flows.workspace.telling import SilentTeller
from maskloop.masks import encode_masks
from serving.client import Client
from tests.fakes.live_service import live
from tests.fakes.service_world import ServiceWorld


def write_pictures(folder: Path) -> list[Path]:
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[2:5, 3:9] = 255
    files = [folder / "a.png", folder / "b.png"]
    for file in files:
        file.write_bytes(encode_png(pixels))
    return files


def test_an_instance_has_the_fields_of_an_offline_answer(tmp_path: Path) -> None:
    files = write_pictures(tmp_path)
    with live(ServiceWorld(tmp_path)) as url, Client(url) as client:
        answers = ask_service(client, files, SilentTeller())
    mask = np.zeros((1, 8, 12), bool)
    mask[0, 2:5, 3:9] = True
    (instance,) = answers[0].instances
    assert instance["segmentation"] == encode_masks(mask)[0].to_coco()
    assert instance["box_xyxy"] == [3.0, 2.0, 9.0, 5.0]
    assert set(instance) == {"class_name", "score", "box_xyxy", "segmentation"}


class WrongMask(httpx.HTTPTransport):
    """Passes on what the service answers, with a mask of another size for the first picture."""

    def __init__(self) -> None:
        super().__init__()
        self.num_answers = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        content: Any = response.read()
        self.num_answers += 1
        if self.num_answers == 1:
            content = content.replace(b'"size":[8,12]', b'"size":[9,12]')
        return httpx.Response(200, content=content)


def test_a_mask_that_does_not_fit_its_picture_costs_that_picture_only(tmp_path: Path) -> None:
    files = write_pictures(tmp_path)
    with live(ServiceWorld(tmp_path)) as url, Client(url, transport=WrongMask()) as client:
        first, second = ask_service(client, files, SilentTeller())
    assert first.error == "the RLE's size [9, 12] is not the picture's [8, 12]"
    assert first.instances == ()
    assert second.error == ""
    assert len(second.instances) == 1
