"""The service reads pictures of the field as its model's data were read, and keeps no names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataset.pictures.decoding import decode_picture
from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from tests.fakes.field_pictures import HEIC, deep_png, dicom, tiff
from tests.fakes.service_world import ServiceWorld
from tests.fakes.serving_world import FakeSource

TWELVE = PictureConversion((0.0, 4096.0))
GREY = np.zeros((16, 24), np.uint16)
GREY[2:6, 4:10] = 4080


def make_world(directory: Path, conversion: PictureConversion, *, sandboxed: bool = False) -> ServiceWorld:
    source = FakeSource(options={"1": {"conversion": conversion}})
    return ServiceWorld(directory, source=source, sandboxed=sandboxed)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "DICOM"])
@pytest.mark.parametrize("sandboxed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_picture_of_twelve_bits_is_read_as_the_model_s_data_were(
    tmp_path: Path, kind: str, sandboxed: bool
) -> None:
    data = {"PNG": deep_png, "TIFF": tiff, "DICOM": dicom}[kind](GREY)
    world = make_world(tmp_path, TWELVE, sandboxed=sandboxed)
    answer = world.post(content=data)
    assert answer.status_code == 200
    (found,) = answer.json()["instances"]
    assert found["box_xyxy"] == [4.0, 2.0, 10.0, 6.0]
    ((picture, _, _, _),) = world.samples.offered
    assert np.array_equal(picture.pixels[:, :, 0], GREY >> 4)
    assert np.array_equal(decode_picture(picture.data, max_mpx=1.0), picture.pixels)
    over_sixteen = make_world(tmp_path, DEFAULT_CONVERSION)
    assert over_sixteen.post(content=data).json()["instances"] == []


def test_the_service_tells_how_it_reads_pictures(tmp_path: Path) -> None:
    told = make_world(tmp_path, TWELVE).get("/v1/model").json()
    assert told["picture_conversion"] == "values 0 to 4096"


def test_nothing_of_a_patient_is_kept(tmp_path: Path) -> None:
    world = make_world(tmp_path, TWELVE)
    data = dicom(GREY)
    assert b"Doe^Jane" in data
    assert world.post(content=data, headers={"Content-Type": "application/dicom"}).status_code == 200
    ((picture, _, _, _),) = world.samples.offered
    assert b"Doe^Jane" not in picture.data


def test_a_photograph_of_a_phone_is_answered(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif")
    answer = make_world(tmp_path, DEFAULT_CONVERSION).post(content=HEIC)
    assert answer.json()["picture"] == {"width_px": 32, "height_px": 48}


def test_what_the_conversion_does_not_say_is_refused_with_the_setting(tmp_path: Path) -> None:
    world = make_world(tmp_path, DEFAULT_CONVERSION)
    answer = world.post(content=tiff(GREY.astype(np.float32)))
    assert answer.status_code == 422
    assert "pictures.value_range" in answer.text
