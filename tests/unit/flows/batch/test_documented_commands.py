"""Every command of docs/batch.md is typed as it stands there, with workers in processes of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.command.main import main
from tests.fakes.batch_world import make_batch_world, read_instances, write_numbers
from tests.fakes.field_pictures import tiff
from tests.fakes.loop_world import leave_alone
from tests.fakes.opened import opens

PAGE = Path(__file__).resolve().parents[4] / "docs" / "batch.md"


def commands() -> list[str]:
    blocks = re.findall(
        r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    return [line for block in blocks for line in block.splitlines()]


def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_alone(monkeypatch)
    world = make_batch_world(tmp_path / "workspace")
    monkeypatch.chdir(tmp_path)
    for number in (1, 2, 3):
        write_numbers(tmp_path / "photos" / f"{number}.png", number)
    (tmp_path / "tonight.csv").write_text("picture\nphotos/2.png\nphotos/3.png\n")
    scene = np.zeros((100, 130, 3), np.uint8)
    scene[20:80, 25:110] = 3
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "sea.tif").write_bytes(tiff(scene, photometric="rgb"))

    typed = [line.split() for line in commands()]
    for line in typed:
        main_ends_well(line, world)

    assert [line[3] for line in typed] == ["answers", "answers-tonight", "ships", "answers"]
    answers = read_instances(tmp_path / "answers" / "predictions.coco.json")
    assert answers == {"1.png": [(2, 144)], "2.png": [(1, 144)], "3.png": [(2, 144)]}
    assert pq.read_table(tmp_path / "answers" / "predictions.parquet").num_rows == 3
    tonight = read_instances(tmp_path / "answers-tonight" / "predictions.coco.json")
    assert tonight == {"photos/2.png": [(1, 144)], "photos/3.png": [(2, 144)]}
    (ship,) = json.loads((tmp_path / "ships" / "predictions.geojson").read_text())["features"]
    assert ship["properties"]["box_px"] == [25, 20, 110, 80]


def main_ends_well(line: list[str], world: object) -> None:
    program, *arguments = line
    assert program == "maskloop"
    with pytest.raises(SystemExit) as ended:
        main(arguments, opener=opens(world))  # type: ignore[arg-type]
    assert ended.value.code == 0


@pytest.mark.parametrize(
    "file", ["predictions.coco.json", "set-aside.csv", "report.json", "run.json", "plan.jsonl"]
)
def test_every_file_of_a_run_is_on_the_page(file: str) -> None:
    assert f"`{file}`" in PAGE.read_text(encoding="utf-8")
