"""One answer, whichever way it is asked for: offline, pyfunc, the service, its client, sample and label."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.pictures.decoding import orient
from dataset.pictures.orientation import orient_mask
from dataset.raw.conversion import DEFAULT_CONVERSION
from evaluation.instances import Detections
from flows.answering.ask_service import ask_service
from flows.answering.batch_prediction import predict
from flows.answering.incoming import PictureAnswer
from flows.intake.feedback import ingest_corrections
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.workspace.telling import SilentTeller
from maskloop.digest import digest_bytes
from maskloop.masks import boxes_xyxy, encode_masks, rle_from_coco
from maskloop.settings.workspace_settings import SamplingSettings
from models.answering.instance_json import MAX_INSTANCES
from models.pyfunc import PicturesToInstances
from serving.answers import HostedModel, Role
from serving.client import Client
from serving.sampling.sampler import Sampler
from serving.schemas import Asked
from tests.fakes.feedback import BACK, give, labelled
from tests.fakes.live_service import live
from tests.fakes.loop_world import World
from tests.fakes.model_ports import CLASS_NAMES, FakePredictors
from tests.fakes.service_world import ServiceWorld, write_picture
from tests.fakes.serving_world import FakeSource, make_served

HEIGHT_PX, STRIP_PX = 12, 7
FOUND = ((0, 0.87654), (1, 0.71239), (0, 0.30001))
"""Class and score of what is red, green and blue; each lies in a strip of its own."""
THRESHOLDS = (0.5, 0.6)
rectangles = st.tuples(st.integers(0, 5), st.integers(0, 10), st.integers(1, 6), st.integers(1, 11))


class ColourfulPredictor:
    """Finds what is red, green and blue in a picture; the blue one is below its class's threshold."""

    class_names, score_threshold, weights_digest = CLASS_NAMES, THRESHOLDS, ""
    conversion = DEFAULT_CONVERSION

    def predict(self, pictures: Sequence[np.ndarray], *, min_score: float | None = None) -> list[Any]:
        return [
            SimpleNamespace(detections=_detect(one), embedding=np.zeros(4, np.float32), seconds=0.01)
            for one in pictures
        ]


class OnePredictor(FakePredictors):
    """Loads the colourful one, whatever lies in the folder."""

    def load(self, *_where: Any, **_how: Any) -> Any:
        return ColourfulPredictor()


def _detect(pixels: np.ndarray) -> Detections:
    masks = encode_masks(pixels.transpose(2, 0, 1) > 128)
    height_px, width_px = pixels.shape[:2]
    return Detections(
        height_px,
        width_px,
        boxes_xyxy(masks).astype(np.float32) + np.float32(0.126),
        np.array([score for _, score in FOUND], np.float32),
        np.array([class_index for class_index, _ in FOUND]),
        masks,
    )


class OneModel(FakeSource):
    """Serves the colourful one."""

    def load(self, _served: Any, role: Role) -> HostedModel:
        return HostedModel(role, make_served(), ColourfulPredictor())


def draw(drawn: Sequence[tuple[int, int, int, int]], noise: int) -> np.ndarray:
    pixels = np.random.default_rng(noise).integers(0, 100, (HEIGHT_PX, 3 * STRIP_PX, 3), np.uint8)
    for channel, (left, top, width, height) in enumerate(drawn):
        first = channel * STRIP_PX
        pixels[top : top + height, first + left : min(first + left + width, first + STRIP_PX), channel] = 255
    return pixels


def store(upright: np.ndarray, orientation: int) -> bytes:
    """Write a PNG whose EXIF orientation turns it upright."""
    stored = orient(upright.transpose(2, 0, 1), BACK.get(orientation, orientation)).transpose(1, 2, 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return write_picture("PNG", np.ascontiguousarray(stored), exif=exif)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path / "workspace")
    made.label(range(12))
    run_turn(made.app(), starts_from="first-weights")
    made.tag_version("1", "approved", by="anna")
    reconcile(made.app())
    made.predictors = OnePredictor()
    return made


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_ways_to_ask_agree_on_every_instance_in_the_frame_of_the_file(
    world: World, tmp_path: Path, orientation: int
) -> None:
    @settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
    @given(drawn=st.tuples(rectangles, rectangles, rectangles), noise=st.integers(0, 10**6))
    def agree(drawn: tuple[tuple[int, int, int, int], ...], noise: int) -> None:
        upright = draw(drawn, noise)
        file = tmp_path / f"{digest_bytes(upright.tobytes())}.png"
        file.write_bytes(store(upright, orientation))
        check_that_all_agree(world, tmp_path, file, upright, orientation)

    agree()


def check_that_all_agree(
    world: World, folder: Path, file: Path, upright: np.ndarray, orientation: int
) -> None:
    expected = _truth(upright, orientation)
    (offline,) = predict(world.app(), [file])
    assert list(offline.instances) == expected[:2], "the third is below its class's threshold"
    assert _ask_pyfunc(file) == expected[:2]
    assert list(predict(world.app(), [file], min_score=0.2)[0].instances) == expected
    assert _ask_pyfunc(file, min_score=0.2) == expected

    service, request_id = ServiceWorld(folder, source=OneModel()), file.stem
    sampler = Sampler(world.samples, SamplingSettings(), service.observer, world.clock)
    service.samples = sampler  # type: ignore[assignment]
    service._give_feedback = lambda said, by: give(world, said, by)  # type: ignore[method-assign]
    with live(service) as url, Client(url) as client:
        assert list(_ask(client, file).instances) == expected[:2]
        assert list(_ask(client, file, min_score=0.2).instances) == expected
        answer = client.predict(file, request_id=request_id, source="belt")
        client.model()  # the answer is offered as a sample before the next request is read
        sampler.close()
        raw = httpx.post(f"{url}/v1/predict", content=file.read_bytes()).json()
        assert raw["instances"] == answer.model_dump(mode="json")["instances"]
        told = [one.model_dump(include={"class_name", "mask"}) for one in answer.instances]
        assert client.feedback(request_id, "wrong", instances=told).becomes_a_label
    assert [one["mask"] for one in raw["instances"]] == [one["segmentation"] for one in expected[:2]]
    assert [one["box_xyxy"] for one in raw["instances"]] == [one["box_xyxy"] for one in expected[:2]]

    sample = world.samples.get(request_id)
    assert sample is not None
    assert sample.class_counts == {"bolt": 1, "nut": 1}
    assert [sample.height_px, sample.width_px] == expected[0]["segmentation"]["size"]
    ingest_corrections(world.app())
    label = labelled(world, file.read_bytes()).instances
    size_px = upright.shape[:2]
    of_file = [rle_from_coco(one["segmentation"], *one["segmentation"]["size"]) for one in expected[:2]]
    assert {(one.class_index, one.mask) for one in label} == {
        (index, orient_mask(mask, orientation)) for index, mask in enumerate(of_file)
    }
    assert all((one.mask.height_px, one.mask.width_px) == size_px for one in label)


def _truth(upright: np.ndarray, orientation: int) -> list[dict[str, Any]]:
    """Return what is in the file, worked out from its own pixels; only the offset of the boxes is turned."""
    stored = (
        np.asarray(orient(upright.transpose(2, 0, 1), BACK.get(orientation, orientation)), np.uint8) > 128
    )
    told = []
    for (class_index, score), mask in zip(FOUND, stored, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
        box += 0.126 * np.tile(_offset_of_the_file(orientation), 2)
        told.append(
            {
                "class_name": CLASS_NAMES[class_index],
                "score": round(score, 4),
                "box_xyxy": [round(float(side), 2) for side in box],
                "segmentation": encode_masks(np.ascontiguousarray(mask)[None])[0].to_coco(),
            }
        )
    return told


def _offset_of_the_file(orientation: int) -> tuple[int, int]:
    """Return the signs, in the file, of what points right and down in the upright picture (EXIF 2.3)."""
    signs = {1: (1, 1), 2: (-1, 1), 3: (-1, -1), 4: (1, -1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
    return signs[orientation]


def _ask_pyfunc(file: Path, **params: Any) -> list[dict[str, Any]]:
    model = PicturesToInstances(ColourfulPredictor())  # type: ignore[arg-type]
    (row,) = model.predict(pd.DataFrame({"image": [file.read_bytes()]}), params).itertuples()
    told: list[dict[str, Any]] = json.loads(str(row.instances))
    return told


def _ask(client: Client, file: Path, **options: Any) -> PictureAnswer:
    (answer,) = ask_service(client, [file], SilentTeller(), **options)
    return answer


def test_an_answer_holds_as_many_instances_offline_as_from_the_service() -> None:
    assert Asked().max_instances == MAX_INSTANCES
