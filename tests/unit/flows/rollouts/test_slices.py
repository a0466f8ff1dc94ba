"""Pictures a rollout failed on are asked about in the frame they were kept in, however old the slice is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataset.pictures.decoding import open_picture
from flows.rollouts.rollout import advance_rollout
from flows.rollouts.slices import check_slices
from maskloop.digest import digest_bytes, digest_value
from maskloop.records.kinds import Check, SliceRecorded, write_record
from serving.rollout.pairs import Comparison, KeptPair
from tests.fakes.feedback import photograph
from tests.fakes.loop_world import World
from tests.fakes.model_ports import CLASS_NAMES, ColourPredictor
from tests.fakes.rollout_world import make_world


def fail_on_turned_pictures(world: World, orientation: int) -> None:
    for number in range(40):
        data = photograph(number, orientation)
        (prediction,) = ColourPredictor(0.9).predict([open_picture(data, max_mpx=1.0).pixels])
        seen = Comparison(
            "cycle-2", f"r{number}", "champion", agreement=0.1, champion_s=0.01, challenger_s=0.01
        )
        found = prediction.detections
        world.pairs.add(KeptPair(seen, found, found, CLASS_NAMES, orientation, data))
    advance_rollout(world.app())


def checks_of(world: World, predictor: ColourPredictor) -> list[Check]:
    return check_slices(
        world.state.slices, predictor, world.corrections, world.workspace.slices_dir, max_mpx=1.0
    )


def rewrite_as_version_1(world: World) -> None:
    """Put a slice beside it as they were written before: upright, class and mask alone."""
    (kept,) = world.of_kind(SliceRecorded)
    new, old = (world.workspace.slices_dir / name for name in (kept.slice_id, "cycle-old"))
    rows = json.loads((new / "slice.json").read_text())["pictures"]
    old.mkdir()
    for number, row in enumerate(rows):
        data = (new / row["file"]).read_bytes()
        (old / row["file"]).write_bytes(data)
        found = ColourPredictor(0.9).predict([open_picture(data, max_mpx=1.0).pixels])[0].detections
        rows[number]["instances"] = [
            {"class_name": CLASS_NAMES[index], "segmentation": mask.to_coco()}
            for index, mask in zip(found.class_indices.tolist(), found.masks, strict=True)
        ]
    (old / "slice.json").write_text(json.dumps({"schema_version": 1, "pictures": rows}))
    files = sorted(old.iterdir())
    digest = digest_value([[file.name, digest_bytes(file.read_bytes())] for file in files])
    earlier = kept.model_copy(update={"slice_id": "cycle-old", "pictures_digest": digest})
    write_record(world.ledger, earlier, cycle_id="cycle-2", key="slice:cycle-old")


@pytest.mark.parametrize("orientation", [1, 3, 5, 6])
def test_turned_pictures_of_a_slice_agree_with_the_answer_they_were_kept_with(
    tmp_path: Path, orientation: int
) -> None:
    world = make_world(tmp_path)
    fail_on_turned_pictures(world, orientation)
    rewrite_as_version_1(world)
    now, earlier = checks_of(world, ColourPredictor(0.9))
    assert now.measured == pytest.approx(1.0)
    assert earlier.measured == pytest.approx(1.0)
    (worse, _) = checks_of(world, ColourPredictor(0.3))
    assert worse.measured == pytest.approx(0.3 / 0.9, abs=0.01)
