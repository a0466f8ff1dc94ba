"""A sheet of what training sees, for a person."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from flows.command.main import main
from flows.learning.preview import write_preview
from maskloop.errors import DataError
from tests.fakes.loop_world import World


def test_a_sheet_shows_the_first_pictures_of_a_training(world: World) -> None:
    sheet = write_preview(world.app(), count=3)
    assert (sheet.tag, sheet.num_pictures, sheet.num_instances) == ("data-v1", 3, 6)
    with Image.open(sheet.file) as image:
        assert image.size == (3 * (480 + 6) + 6, 480 + 22 + 6 + 6)
    assert sheet.file == world.workspace.reports_dir / "preview.png"


def test_it_can_be_of_any_version_and_lie_anywhere(world: World, tmp_path: Path) -> None:
    world.label(range(12, 24))
    sheet = write_preview(world.app(), tmp_path / "seen" / "sheet.png", tag="data-v1", count=1)
    assert sheet.tag == "data-v1"
    assert (tmp_path / "seen" / "sheet.png").read_bytes() == sheet.file.read_bytes()


def test_the_same_settings_draw_the_same_sheet(world: World, tmp_path: Path) -> None:
    one, other = (write_preview(world.app(), tmp_path / name, count=2) for name in ("a.png", "b.png"))
    assert one.file.read_bytes() == other.file.read_bytes()


def test_a_sheet_with_fewer_pictures_than_asked_for_says_so(world: World) -> None:
    sheet = write_preview(world.app(), count=5)  # two steps of two pictures
    assert sheet.sentence() == (
        f"{sheet.file}: 4 pictures of data-v1 with 8 instances; 5 were asked for, but the steps of a training"
        " see no more"
    )
    assert "asked" not in write_preview(world.app(), count=4).sentence()


@pytest.mark.parametrize("name", ["sheet.txt", "sheet", "sheet.jpg", ".png"])
def test_a_sheet_under_a_name_of_something_else_is_refused_before_it_is_drawn(
    world: World, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["data", "preview", "--output", str(tmp_path / name), "-w", str(world.workspace.root)])
    assert ended.value.code == 2
    assert "must end with .png" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / name).exists()


def test_without_data_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    empty = World(tmp_path / "empty")
    with pytest.raises(DataError, match="nothing to look at yet"):
        write_preview(empty.app())
