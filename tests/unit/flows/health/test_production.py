"""`maskloop data check` beside the kept production pictures: what a model knew before production sent it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dataset.health.sent_again import SentAgain
from dataset.labelled_pictures import LabelledInstance, LabelledPicture, Split
from dataset.pictures.decoding import encode_png
from dataset.pictures.looks import difference_hash
from dataset.versions.catalog import Catalog
from flows.answering.batch_prediction import predict
from flows.health.check import DataCheck, check_data
from flows.health.findings import tell_sent_again
from flows.health.page import write_check_page
from flows.health.production import compare_with_production, describe_sent
from maskloop.digest import digest_bytes
from maskloop.masks import encode_masks
from maskloop.state.loop_state import LoopState
from tests.fakes.drift_data import sample_of
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World
from tests.fakes.model_ports import draw_picture

Pixels = NDArray[np.uint8]
Instances = tuple[LabelledInstance, ...]
DISC = ((np.indices((40, 40)) - 20) ** 2).sum(axis=0) < 100


def open_world(tmp_path: Path, policy: str = "") -> World:
    """A workspace whose champion was trained on twelve pictures."""
    world = World(tmp_path / "own", settings=f"[data]\n{policy}")
    world.label(range(12))
    first_champion(world)
    return world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return open_world(tmp_path)


def send(world: World, *pictures: Pixels) -> None:
    """Let the champion answer production pictures."""
    folder = world.workspace.root / f"incoming-{len(list(world.workspace.root.iterdir()))}"
    folder.mkdir()
    for number, pixels in enumerate(pictures):
        (folder / f"{number}.png").write_bytes(encode_png(pixels))
    predict(world.app(), [folder], source="line-2")


def add(world: World, pictures: Mapping[str, tuple[Split, Pixels]], instances: Instances = ()) -> None:
    """Commit a version with further pictures, by name, each with these instances and the hash of its look."""
    before = world.data.current()
    assert before is not None
    tag, added, hashes = f"data-v{len(world.data.versions()) + 1}", [], dict(before.difference_hashes)
    with world.data.staging() as folder:
        (folder / "images").mkdir(parents=True)
        for picture in before.pictures:
            (folder / picture.file).write_bytes(before.path(picture).read_bytes())
        for name, (split, pixels) in pictures.items():
            data = encode_png(pixels)
            digest = digest_bytes(data)
            height, width = pixels.shape[:2]
            file, hashes[digest] = f"images/{digest}.png", difference_hash(pixels)
            (folder / file).write_bytes(data)
            where = (width, height, "belt", digest, split, tag)
            added.append(LabelledPicture(digest, file, name, *where, "human", instances))
        catalog = Catalog(before.class_names, (*before.pictures, *added), hashes)
        world.data.commit(folder, catalog, "more pictures")


def numbers_of(world: World, split: Split) -> list[int]:
    version = world.data.current()
    assert version is not None
    return sorted(int(Path(one.name).stem) for one in version.pictures if one.split == split)


def found_in(check: DataCheck) -> dict[str, int]:
    return {kind: number for kind, number in check.counts.items() if kind.startswith("sent-")}


def test_pictures_that_were_trained_on_and_held_out_ones_are_told_apart(world: World) -> None:
    trained, tested = numbers_of(world, "train")[:2], numbers_of(world, "test")[:1]
    send(world, *(draw_picture(number)[0] for number in (*trained, *tested, 77)))
    check = check_data(world.app(), num_compared=0)
    assert found_in(check) == {"sent-held-out": 1, "sent-trained": 2}
    assert not check.is_clean
    assert check.basis_of_production == "The data were compared with 4 kept production pictures"
    (held_out,) = check.of_kind("sent-held-out")
    assert held_out.picture.name == f"{tested[0]:03d}.png"
    assert held_out.said.startswith("production sent this very file once, from 'line-2' (20")
    assert world.samples.get(held_out.sample) is not None
    assert check.to_json()["findings"][0]["sample"] == held_out.sample


@pytest.mark.parametrize(
    ("number", "said"), [(1, "once, from 'camera 1'"), (2, "2 times, the last time from 'camera 1'")]
)
def test_how_often_a_picture_was_sent_is_told(number: int, said: str) -> None:
    picture = LabelledPicture(
        "d", "images/d.png", "d.png", 8, 8, "belt", "d", "train", "data-v1", "human", ()
    )
    (found,) = tell_sent_again([SentAgain(picture, 0, number, True, 1.0)], [sample_of("s")])
    assert found.said.startswith(f"production sent this very file {said} (")


def test_a_picture_that_is_in_the_data_because_production_sent_it_is_not_told(world: World) -> None:
    send(world, draw_picture(100)[0], draw_picture(101)[0])
    world.label(range(100, 102))
    assert found_in(check_data(world.app(), num_compared=0)) == {}


def test_a_near_copy_of_what_was_trained_on_is_told_and_shown_beside_it(tmp_path: Path) -> None:
    world = World(tmp_path / "own")
    world.label(range(12))
    texture = np.kron(np.random.default_rng(3).integers(20, 200, (9, 9, 3)), np.ones((8, 8, 1)))
    add(world, {"seen.png": ("train", texture.astype(np.uint8))})
    first_champion(world)
    send(world, (texture + 12).astype(np.uint8), (texture[::-1] + 12).astype(np.uint8))
    check = check_data(world.app(), num_compared=0)
    assert found_in(check) == {"sent-trained": 1}
    (found,) = check.of_kind("sent-trained")
    assert found.picture.name == "seen.png"
    assert "a picture that looks like it once" in found.said
    assert 0.95 <= found.score <= 1.0
    page = write_check_page(tmp_path / "page.html", check, 1.0).read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert f"what production sent, sample {found.sample}" in page


def test_an_object_of_the_data_in_another_picture_is_told_with_its_place_and_shown(tmp_path: Path) -> None:
    world = World(tmp_path / "own")
    world.label(range(12))
    held_out, trained, scene = (
        np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8) for seed in range(3)
    )
    objects = tuple(LabelledInstance(0, mask) for mask in encode_masks(DISC[np.newaxis]))
    add(world, {"held-out.png": ("test", held_out), "trained.png": ("train", trained)}, objects)
    first_champion(world)
    pasted = np.tile(scene, (2, 2, 1))
    pasted[33:73, 7:47][DISC] = trained[DISC]
    send(world, held_out[5:35, 8:33], pasted, pasted[:40])
    check = check_data(world.app(), num_compared=0)
    assert found_in(check) == {"sent-instance-held-out": 1, "sent-instance-trained": 1}
    (cropped,), (moved,) = (check.of_kind(kind) for kind in found_in(check))
    assert (cropped.picture.name, cropped.labels, moved.picture.name) == ("held-out.png", (0,), "trained.png")
    assert cropped.said.startswith(
        "production sent 1 instance of this picture, the same to the pixel, once, from 'line-2'"
    )
    assert cropped.said.endswith("the first one's box begins there at 3, 6 px")
    assert moved.said.endswith("the first one's box begins there at 18, 44 px")
    assert not check.is_clean
    page = write_check_page(tmp_path / "page.html", check, 1.0).read_text()
    assert page.count("data:image/jpeg;base64,") == 4
    assert "at 3, 6 px. The second picture is what production sent." in page
    for finding in (cropped, moved):
        assert f"what production sent, sample {finding.sample}" in page


def test_a_picture_of_the_data_that_cannot_be_read_costs_its_instances_alone(tmp_path: Path) -> None:
    world = World(tmp_path / "own")
    world.label(range(12))
    lost, kept = (
        np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8) for seed in range(2)
    )
    objects = tuple(LabelledInstance(0, mask) for mask in encode_masks(DISC[np.newaxis]))
    add(world, {"lost.png": ("train", lost), "kept.png": ("train", kept)}, objects)
    first_champion(world)
    send(world, lost[5:35, 8:33], kept[5:35, 8:33])
    version = world.data.current()
    assert version is not None
    (file,) = (version.path(one) for one in version.pictures if one.name == "lost.png")
    file.write_bytes(b"no picture")
    found = compare_with_production(
        version, world.samples, world.ledger, world.app().state(), world.app().settings, world.app().teller
    )
    assert [one.picture.name for one in found.instances] == ["kept.png"]


def test_nothing_is_read_or_told_if_all_kinds_are_ignored(tmp_path: Path) -> None:
    kinds = ("sent-held-out", "sent-trained", "sent-instance-held-out", "sent-instance-trained")
    ignored = ", ".join(f'{kind} = "ignore"' for kind in kinds)
    world = open_world(tmp_path, f"check_policy = {{ {ignored} }}")
    send(world, draw_picture(0)[0])
    check = check_data(world.app(), num_compared=0)
    assert (found_in(check), check.production.samples) == ({}, ())


def test_what_production_sends_can_hold_a_training_where_the_settings_say_so(tmp_path: Path) -> None:
    world = open_world(tmp_path, 'check_policy = { sent-held-out = "block" }')
    send(world, draw_picture(numbers_of(world, "test")[0])[0])
    check = check_data(world.app(), num_compared=0)
    assert "sent-held-out" in check.in_short(datetime.now(UTC)).found


def test_of_unknown_weights_the_versions_made_before_the_sample_count() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made_at = [(start + timedelta(days=day), day) for day in (1, 2, 3)]
    samples = [
        replace(sample_of(str(hours)), received_at=start + timedelta(hours=hours))
        for hours in (0, 24, 60, 999)
    ]
    assert [one.known for one in describe_sent(samples, LoopState(), made_at)] == [0, 1, 2, 3]


def test_the_check_says_which_of_the_two_it_is_that_no_model_was_asked(tmp_path: Path) -> None:
    world = World(tmp_path / "own")
    world.label(range(12))
    none_yet = check_data(world.app(), num_compared=200).basis
    assert "there is no champion yet" in none_yet
    assert "`maskloop promote`" in none_yet
    first_champion(world)
    not_asked = check_data(world.app(), num_compared=0).basis
    assert "it was not asked" in not_asked
    assert "`maskloop data check --compare 200`" in not_asked
