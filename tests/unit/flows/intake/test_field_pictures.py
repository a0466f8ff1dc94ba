"""Pictures of 12 bits go through the loop under one conversion: of the data, the model and its answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dataset.pictures.decoding import decode_picture
from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from flows.answering.batch_prediction import predict
from flows.intake.batch_intake import ingest
from flows.intake.feedback import ingest_corrections
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from maskloop.errors import RefusedError
from tests.fakes.feedback import correct, give, said
from tests.fakes.field_pictures import deep_png
from tests.fakes.loop_world import World
from tests.fakes.model_ports import CLASS_NAMES, SIDE_PX, draw_picture

TWELVE = PictureConversion((0.0, 4096.0))


def photograph(number: int) -> bytes:
    """A drawn picture as a camera of 12 bits writes it; read over 16 bits it is almost black."""
    return deep_png(draw_picture(number)[0].astype(np.uint16) * 16)


def batch(folder: Path, numbers: range) -> Path:
    folder.mkdir(parents=True)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number in numbers:
        (folder / f"{number}.png").write_bytes(photograph(number))
        images.append({"id": number, "file_name": f"{number}.png", "width": SIDE_PX, "height": SIDE_PX})
        for one in draw_picture(number)[1]:
            label = {"image_id": number, "category_id": one.class_index + 1, "iscrowd": 0}
            annotations.append(
                {"id": len(annotations) + 1, "segmentation": one.mask.to_coco(), "area": 1, **label}
            )
    categories = [{"id": index, "name": name} for index, name in enumerate(CLASS_NAMES, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(content))
    return folder / "labels.json"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A workspace of a 12-bit camera, whose first model serves."""
    made = World(tmp_path / "workspace", settings="[pictures]\ndepth_bits = 12\n")
    ingest(made.app(), batch(tmp_path / "batch", range(90)))
    run_turn(made.app(), starts_from="first-weights")
    made.tag_version("1", "approved")
    reconcile(made.app())
    return made


def state_another_conversion(world: World, stated: str) -> None:
    file = world.workspace.root / "maskloop.toml"
    file.write_text(file.read_text().replace("depth_bits = 12", stated))
    world.workspace = type(world.workspace)(world.workspace.root)


def test_data_model_and_answers_share_one_conversion(world: World, tmp_path: Path) -> None:
    version = world.data.current()
    assert version is not None
    assert version.conversion == TWELVE
    for picture in version.pictures:
        pixels = decode_picture(version.path(picture).read_bytes(), max_mpx=1.0)
        assert np.array_equal(pixels, draw_picture(int(Path(picture.name).stem))[0])
    assert [facts.conversion for facts in world.trainer.saved] == [TWELVE]

    state_another_conversion(world, "depth_bits = 16")
    (tmp_path / "asked.png").write_bytes(photograph(1000))
    (answer,) = predict(world.app(), [tmp_path / "asked.png"])
    assert sorted(one["class_name"] for one in answer.instances) == sorted(CLASS_NAMES)


def test_a_kept_production_picture_shows_what_the_model_saw_and_becomes_a_label(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "asked.png").write_bytes(photograph(1000))
    predict(world.app(), [tmp_path / "asked.png"])
    (sample,) = world.samples.newest(10)
    kept = world.samples.picture_bytes(sample)
    assert kept is not None
    assert np.array_equal(decode_picture(kept, max_mpx=1.0), draw_picture(1000)[0])
    give(world, said(sample.sample_id, instances=correct(1000)), "rita")
    assert ingest_corrections(world.app()) == ["data-v2 holds 1 corrected picture from production"]
    version = world.data.current()
    assert version is not None
    (added,) = [picture for picture in version.pictures if picture.added_in == "data-v2"]
    assert version.path(added).read_bytes() == kept
    assert set(added.instances) == set(draw_picture(1000)[1])


def test_a_batch_under_another_conversion_is_refused_with_a_way_out(world: World, tmp_path: Path) -> None:
    more = batch(tmp_path / "more", range(200, 210))
    state_another_conversion(world, "depth_bits = 10")
    with pytest.raises(RefusedError) as refused:
        ingest(world.app(), more)
    assert refused.value.headline == (
        "the pictures of data-v1 are converted under values 0 to 4096, "
        "and the settings state values 0 to 1024"
    )
    assert "begin a workspace with the new one and ingest the data folder" in refused.value.hint
    assert world.data.versions() == ("data-v1",)
    state_another_conversion(world, "depth_bits = 12")


def test_the_data_of_a_workspace_can_begin_one_with_another_conversion(world: World, tmp_path: Path) -> None:
    version = world.data.current()
    assert version is not None
    other = World(tmp_path / "other", settings="[pictures]\ndepth_bits = 16\n")
    ingest(other.app(), version.root)
    again = other.data.current()
    assert again is not None
    assert again.conversion == DEFAULT_CONVERSION
    assert len(again.pictures) == len(version.pictures)
    pixels = decode_picture(again.path(again.pictures[0]).read_bytes(), max_mpx=1.0)
    assert pixels.max() == 15


def test_the_same_batch_again_changes_nothing(world: World, tmp_path: Path) -> None:
    assert not ingest(world.app(), tmp_path / "batch" / "labels.json").changed
