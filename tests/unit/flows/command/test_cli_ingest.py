"""`maskloop ingest` and a batch that it refuses: what it says to people and to machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.command.main import main
from tests.fakes.coco_batches import coco_content, write_batch


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "MASKLOOP_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "240")
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "maskloop.toml").write_text("[gates]\n")
    return root


@pytest.fixture
def ingest(workspace: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["ingest", *map(str, arguments), "-w", str(workspace)])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


@pytest.fixture
def bad_batch(tmp_path: Path) -> Path:
    """Of four pictures two cannot be used, for two reasons."""
    content = coco_content(range(4))
    content["annotations"][2]["category_id"] = 9
    content["images"][3]["width"] = 41
    annotations, _ = write_batch(tmp_path / "batch", range(4), content)
    return annotations


def test_a_refusal_is_a_table_of_every_kind_with_its_hint_and_names_the_whole_report(
    ingest: Any, bad_batch: Path
) -> None:
    code, out, err = ingest(bad_batch)
    assert code == 65
    assert "unknown-category" in out
    assert "size-mismatch" in out
    assert "the list has the ids 1, 2" in out
    assert "if it were taken: 8 annotations: 4 kept, 4 left out with their picture" in out
    assert "2 of 4 pictures cannot be used (50.0 %; at most 5 % may be bad)" in err
    page = Path(err.rpartition("The whole report: ")[2].strip())
    assert page.is_file()
    assert json.loads(page.with_suffix(".json").read_text())["outcome"] == "refused"


def test_a_refusal_in_json_is_json_with_everything_in_it(ingest: Any, bad_batch: Path) -> None:
    code, out, _ = ingest(bad_batch, "--json")
    answer = json.loads(out)
    assert (code, answer["outcome"], answer["changed"], answer["quarantined"]) == (65, "refused", False, 2)
    assert {kind["code"] for kind in answer["kinds"]} == {"unknown-category", "size-mismatch"}
    assert answer["balance"]["num_annotations_kept"] == 4
    assert Path(answer["report"]).is_file()


def test_a_schema_that_does_not_fit_is_refused_in_json_before_pictures_are_read(
    ingest: Any, tmp_path: Path
) -> None:
    content = coco_content(range(2))
    content["categories"].append({"id": 2, "name": "gear"})
    annotations, _ = write_batch(tmp_path / "batch", range(2), content)
    code, out, _ = ingest(annotations, "--json")
    answer = json.loads(out)
    assert (code, answer["outcome"]) == (65, "refused")
    assert answer["balance"] == {"said": "its classes were refused before its pictures were read"}


def test_a_file_that_a_tool_keeps_beside_its_labels_is_refused_in_json_too(
    ingest: Any, tmp_path: Path
) -> None:
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: [bolt]\n")
    code, out, err = ingest(tmp_path / "data.yaml", "--json")
    assert code == 65
    assert "it looks like YOLO's data.yaml" in json.loads(out)["said"]
    assert "Name the folder that holds data.yaml, images/ and labels/" in err


def test_a_folder_means_the_coco_file_in_it(ingest: Any, bad_batch: Path) -> None:
    code, out, _ = ingest(bad_batch.parent, "--json")
    assert (code, json.loads(out)["annotations"]) == (65, str(bad_batch))


def test_a_class_of_crowds_names_the_options_that_settle_it(ingest: Any, tmp_path: Path) -> None:
    content = coco_content(range(2))
    for record in content["annotations"]:
        record["iscrowd"] = 1
    annotations, _ = write_batch(tmp_path / "batch", range(2), content)
    code, _, err = ingest(annotations)
    assert code == 65
    assert "--crowds-are-instances" in err
    assert "--crowds-are-regions" in err


def test_mends_are_asked_for_by_a_flag_and_listed_with_the_version(
    ingest: Any, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = coco_content(range(3))
    for record in content["annotations"]:
        x, y, width, height = record["bbox"]
        right, low = x + width - 1, y + height - 1
        record["segmentation"] = [[x, y, x, low, right - 2, low, right, low - 2, right, y]]
    annotations, _ = write_batch(tmp_path / "batch", range(3), content)
    code, out, _ = ingest(annotations, "--json")
    assert (code, json.loads(out)["mended"]) == (0, {})
    code, out, _ = ingest(annotations, "--mend", "--json")
    answer = json.loads(out)
    assert (code, answer["mended"], answer["updated"]) == (0, {"masks-one-pixel-short": 6}, 3)
    with pytest.raises(SystemExit):
        main(["data", "list", "-w", str(workspace)])
    assert "6 masks-one-pixel-short" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags",
    [("--add", "--replace"), ("--crowds-are-regions", "--crowds-are-instances")],
    ids=lambda one: one[0],
)
def test_flags_that_exclude_each_other_are_refused_together(
    ingest: Any, bad_batch: Path, flags: tuple[str, str]
) -> None:
    code, _, err = ingest(bad_batch, *flags)
    assert code == 2
    assert "exclude each other" in err


def test_a_folder_of_pictures_that_does_not_exist_is_named(ingest: Any, bad_batch: Path) -> None:
    nowhere = bad_batch.parent / "nowhere"
    code, _, err = ingest(bad_batch, "--images", nowhere)
    assert code == 66
    assert f"the pictures' folder does not exist ({nowhere})" in err
