"""What clients send and what they get."""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import ExifTags, Image

from maskloop.masks import rle_from_coco
from serving.schemas import BatchAnswer, PredictAnswer
from tests.fakes.service_world import PNG, ServiceWorld, draw_picture, write_picture
from tests.fakes.serving_world import FakeSource, Gate

BOX = [4.0, 2.0, 10.0, 6.0]
BRIGHT = np.zeros((16, 24), bool)
BRIGHT[2:6, 4:10] = True


def as_json(data: bytes) -> dict[str, str]:
    return {"picture": base64.b64encode(data).decode()}


# --- one picture -------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP"])
def test_a_picture_may_be_sent_raw_as_a_form_or_as_json(world: ServiceWorld, format_name: str) -> None:
    data = write_picture(format_name, quality=100) if format_name != "PNG" else PNG

    async def story(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [
            await client.post("/v1/predict", content=data),
            await client.post("/v1/predict", content=data, headers={"Content-Type": f"image/{format_name}"}),
            await client.post("/v1/predict", files={"picture": ("a.bin", data)}),
            await client.post("/v1/predict", json=as_json(data)),
        ]

    for response in world.run(story):
        assert response.status_code == 200
        answer = PredictAnswer.model_validate_json(response.content)
        assert (answer.picture.width_px, answer.picture.height_px) == (24, 16)
        assert [one.class_name for one in answer.instances] == ["bolt"]


def test_an_answer_says_who_gave_it_and_how_long_each_stage_took(world: ServiceWorld) -> None:
    answer = PredictAnswer.model_validate(world.post(content=PNG).json())
    assert answer.model.model_dump() == {
        "name": "parts",
        "version": "1",
        "weights_digest": "1" * 64,
        "blessing_id": "b" * 64,
        "role": "champion",
        "engine": "torch",
    }
    assert list(answer.timings_ms) == ["decode", "queue", "model", "encode"]
    assert all(milliseconds >= 0 for milliseconds in answer.timings_ms.values())
    assert answer.batch_size == 1
    assert answer.instances[0].box_xyxy == tuple(BOX)
    assert {told["stage"] for told in world.observer.of("stage")} == {"decode", "queue", "model", "encode"}


@pytest.mark.parametrize("masks", ["rle", "polygon", "png", "none"])
def test_masks_come_as_asked_for(world: ServiceWorld, masks: str) -> None:
    (found,) = world.post(f"/v1/predict?masks={masks}", content=PNG).json()["instances"]
    if masks == "rle":
        assert (rle_from_coco(found["mask"], 16, 24).to_coco()) == found["mask"]
    elif masks == "polygon":
        x, y = np.array(found["mask"][0]).reshape(-1, 2).T
        assert [x.min(), y.min(), x.max(), y.max()] == [4.0, 2.0, 10.0, 6.0]
    elif masks == "png":
        image = Image.open(io.BytesIO(base64.b64decode(found["mask"])))
        assert (np.asarray(image.convert("L")) == BRIGHT * 255).all()
    else:
        assert found["mask"] is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("masks", ["rle", "png"])
def test_boxes_and_masks_are_those_of_the_file_whatever_its_orientation(
    world: ServiceWorld, orientation: int, masks: str
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    answer = world.post(f"/v1/predict?masks={masks}", content=write_picture(exif=exif)).json()
    assert answer["picture"] == {"width_px": 24, "height_px": 16}
    (found,) = answer["instances"]
    assert found["box_xyxy"] == BOX
    if masks == "png":
        image = Image.open(io.BytesIO(base64.b64decode(found["mask"])))
        assert (np.asarray(image.convert("L")) == BRIGHT * 255).all()
    else:
        assert found["mask"]["size"] == [16, 24]


def test_low_scores_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path, source=FakeSource(options={"1": {"score": 0.3}}))

    async def story(client: httpx.AsyncClient) -> list[int]:
        paths = ["/v1/predict", "/v1/predict?min_score=0.2", "/v1/predict?min_score=0.4"]
        return [len((await client.post(path, content=PNG)).json()["instances"]) for path in paths]

    assert world.run(story) == [0, 1, 0]


@pytest.mark.parametrize(("thresholds", "found"), [((0.2, 0.9), 1), ((0.9, 0.2), 0)])
def test_a_class_with_a_threshold_of_its_own_is_told_by_it(
    tmp_path: Path, thresholds: tuple[float, float], found: int
) -> None:
    options = {"class_index": 0, "score": 0.3, "score_threshold": thresholds}
    world = ServiceWorld(tmp_path, source=FakeSource(options={"1": options}))

    async def story(client: httpx.AsyncClient) -> list[Any]:
        paths = ["/v1/predict", "/v1/predict?min_score=0.25", "/v1/predict?min_score=0.4"]
        told = [len((await client.post(path, content=PNG)).json()["instances"]) for path in paths]
        return [*told, (await client.get("/v1/model")).json()]

    *told, described = world.run(story)
    assert told == [found, 1, 0]
    assert described["score_threshold"] == 0.2
    assert described["class_score_thresholds"] == dict(zip(["bolt", "nut"], thresholds, strict=True))


@pytest.mark.parametrize(
    ("path", "content", "kind", "status", "says"),
    [
        ("", b"", "", 415, "empty"),
        ("", b"hello", "image/png", 415, "no JPEG, PNG, WebP, BMP, TIFF, DICOM or HEIC picture"),
        ("", write_picture("GIF"), "image/gif", 415, "send the whole file of a JPEG, PNG"),
        ("", write_picture("BMP")[:60], "", 422, "cannot be decoded"),
        ("", PNG, "text/plain", 415, "bodies of type 'text/plain' are not read"),
        (
            "",
            PNG,
            "application/x-www-form-urlencoded",
            415,
            "send the picture's bytes as image/jpeg, image/png",
        ),
        ("", PNG[:60], "image/png", 422, "cannot be decoded"),
        ("", write_picture(pixels=np.zeros((1100, 1000, 3), np.uint8)), "", 422, "more than the 1 million"),
        ("", b"{}", "application/json", 422, "base64"),
        ("", b"[]", "application/json", 422, 'no text in "picture"'),
        ("", b'{"picture": 7}', "application/json", 422, 'no text in "picture"'),
        ("", b'{"picture": "%%"}', "application/json", 422, "base64"),
        ("", b"[" * 100_000, "application/json", 422, "base64"),
        ("", b"\xff\xfe", "application/json", 422, "base64"),
        ("", b"x", "multipart/form-data", 422, "form cannot be read"),
        ("", b"--a\r\n\r\nx", "multipart/form-data; boundary=a", 422, "form"),
        ("", b"--a--\r\n", "multipart/form-data; boundary=a", 422, "curl sends one with -F picture=@FILE"),
        ("?masks=painted", PNG, "", 422, "query.masks"),
        ("?min_score=2", PNG, "", 422, "query.min_score"),
        ("?min_score=nan", PNG, "", 422, "query.min_score"),
        ("?max_instances=0", PNG, "", 422, "query.max_instances"),
        ("?tile_px=-1", PNG, "", 422, "query.tile_px"),
        (
            "?mask=png",
            PNG,
            "",
            422,
            "query.mask: there is no such parameter; the parameters are masks, min_score",
        ),
        ("?tile_px=8&tile_overlap_px=8", PNG, "", 422, "overlap must be smaller"),
        ("?tile_px=1", PNG, "", 422, "tiles, more than 64"),
        ("?source=%00", PNG, "", 422, "query.source"),
    ],
)
def test_what_cannot_be_answered_says_why(
    world: ServiceWorld, path: str, content: bytes, kind: str, status: int, says: str
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = world.post(f"/v1/predict{path}", content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert says in answer.json()["detail"]


def test_a_parameter_that_comes_twice_counts_as_it_came_last(world: ServiceWorld) -> None:
    answer = world.post("/v1/predict?masks=rle&masks=none", content=PNG).json()
    assert [one["mask"] for one in answer["instances"]] == [None]


@pytest.mark.parametrize(("name", "value"), [("X-Sticky-Key", "k" * 257), ("X-Request-Id", "a b")])
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/overlay", "/v1/feedback"])
def test_an_invalid_header_is_refused_by_name(world: ServiceWorld, path: str, name: str, value: str) -> None:
    answer = world.post(path, content=PNG, headers={name: value})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"header.{name.lower()}: ")


def test_bytes_that_are_no_picture_are_offered_as_a_failed_sample(world: ServiceWorld) -> None:
    world.post("/v1/predict?source=line+7", content=PNG[:60])
    ((picture, answer, error, source),) = world.samples.offered
    assert (picture.data, answer, source) == (PNG[:60], None, "line 7")
    assert "cannot be decoded" in error


# --- tiles -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_picture_is_answered_by_tiles(world: ServiceWorld, orientation: int) -> None:
    pixels = np.zeros((100, 150, 3), np.uint8)
    pixels[44:52, 60:70] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = write_picture(pixels=pixels, exif=exif)
    answer = world.post("/v1/predict?tile_px=64&tile_overlap_px=24", content=data).json()
    assert [one["box_xyxy"] for one in answer["instances"]] == [[60.0, 44.0, 70.0, 52.0]]
    assert answer["instances"][0]["mask"]["size"] == [100, 150]
    assert list(answer["timings_ms"]) == ["decode", "queue", "model", "encode"]
    assert len(world.samples.offered) == 1


def test_tiles_ask_no_more_than_one_pass_at_a_time(tmp_path: Path) -> None:
    source = FakeSource()
    world = ServiceWorld(tmp_path, source=source, max_batch=4)
    data = write_picture(pixels=np.zeros((100, 100, 3), np.uint8))

    async def story(client: httpx.AsyncClient) -> list[int]:
        assert (await client.post("/v1/predict?tile_px=20", content=data)).status_code == 200
        assert world.service is not None
        return list(world.service.engine.host.hosted.champion.predictor.passes)  # type: ignore[attr-defined]

    passes = world.run(story)
    assert sum(passes) >= 36
    assert max(passes) <= 4


def test_tiles_are_all_answered_by_one_version(tmp_path: Path) -> None:
    """The champion changes while the first tiles are with the model."""
    gate = Gate()
    world = ServiceWorld(tmp_path, source=FakeSource(options={"2": {"class_index": 1}}), max_batch=2)
    pixels = np.zeros((60, 60, 3), np.uint8)
    pixels[10:14, 10:14] = pixels[45:49, 45:49] = 255

    async def story(client: httpx.AsyncClient) -> dict[str, Any]:
        assert world.service is not None
        host = world.service.engine.host
        host.hosted.champion.predictor.before = gate  # type: ignore[attr-defined]
        asking = asyncio.create_task(
            client.post("/v1/predict?tile_px=30&tile_overlap_px=0", content=write_picture(pixels=pixels))
        )
        assert await asyncio.to_thread(gate.arrived.wait, 20)
        world.source.champion = "2"
        await host.refresh()
        gate.opened.set()
        return (await asking).json()  # type: ignore[no-any-return]

    answer = world.run(story)
    assert answer["model"]["version"] == "2"
    assert [one["class_name"] for one in answer["instances"]] == ["nut", "nut"]


# --- several pictures --------------------------------------------------------------------------------


def test_in_a_batch_a_bad_picture_fails_alone(world: ServiceWorld) -> None:
    files = [
        ("pictures", (name, data)) for name, data in (("a", PNG), ("b", PNG[:60]), ("c", PNG), ("d", b"x"))
    ]
    response = world.post("/v1/predict/batch", files=files, headers={"X-Request-Id": "b1"})
    assert response.status_code == 200
    results = BatchAnswer.model_validate_json(response.content).results
    assert [one.file for one in results] == ["a", "b", "c", "d"]
    assert [one.answer.request_id if one.answer else "" for one in results] == ["b1.0", "", "b1.2", ""]
    assert [one.problem.status if one.problem else 0 for one in results] == [0, 422, 0, 415]
    assert results[1].problem is not None
    assert results[1].problem.request_id == "b1.1"


def test_in_a_batch_a_model_error_fails_one_picture_alone_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def break_on_dark(pictures: Any) -> None:
        if any(pixels.shape[0] == 16 and not pixels.any() for pixels in pictures):
            raise RuntimeError("/srv/secret")

    world = ServiceWorld(tmp_path, source=FakeSource(options={"1": {"before": break_on_dark}}))
    dark = write_picture(pixels=draw_picture(value=0))
    files = [("pictures", ("a", PNG)), ("pictures", ("b", dark)), ("pictures", ("c", PNG))]
    response = world.post("/v1/predict/batch", files=files)
    statuses = [one["problem"]["status"] if one["problem"] else 200 for one in response.json()["results"]]
    assert statuses == [200, 500, 200]
    assert "/srv/secret" not in response.text
    assert "/srv/secret" in caplog.text


@pytest.mark.parametrize("kind", ["", "application/json", "image/png"])
def test_a_batch_is_a_form(world: ServiceWorld, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = world.post("/v1/predict/batch", content=PNG, headers=headers)
    assert answer.status_code == 415
    assert "send a form with the field pictures" in answer.json()["detail"]


def test_a_batch_with_too_many_pictures_or_none_is_refused(tmp_path: Path) -> None:
    world = ServiceWorld(tmp_path, max_pictures_per_request=2)

    async def story(client: httpx.AsyncClient) -> list[str]:
        three = [("pictures", ("a", PNG))] * 3
        none = [("other", ("a", PNG))]
        return [
            (await client.post("/v1/predict/batch", files=files)).json()["detail"] for files in (three, none)
        ]

    many, none = world.run(story)
    assert "Maximum number of files is 2" in many
    assert "no file in the field pictures" in none


# --- drawings ----------------------------------------------------------------------------------------


def test_an_overlay_is_a_picture_that_names_its_version(world: ServiceWorld) -> None:
    answer = world.post("/v1/overlay", content=PNG)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-model-version"] == "1"
    drawn = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert drawn.shape[1] >= 512
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 2


def test_a_person_who_opens_the_address_is_led_to_the_documentation(world: ServiceWorld) -> None:
    answer = world.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "docs")
    assert world.get("/", follow_redirects=True).headers["content-type"].startswith("text/html")
