"""`maskloop label push`, `pull` and `status` on a workspace whose tool is a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.command.main import main
from maskloop.digest import digest_bytes
from maskloop.records.kinds import ChosenPicture, LabelsRequested, name_request, write_record
from tests.fakes.feedback import answer_was_sampled
from tests.fakes.loop_world import World, leave_alone


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    leave_alone(monkeypatch)
    monkeypatch.delenv("MASKLOOP_WORKSPACE", raising=False)
    made = World(tmp_path)
    made.label(range(12))
    return made


def run(world: World, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run a command in the world; returns what it printed on standard output."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "-w", str(world.workspace.root)], opener=lambda *_, **__: world.app())
    assert ended.value.code == code
    return capsys.readouterr().out


def ask(world: World, *numbers: int) -> str:
    chosen = [
        ChosenPicture(
            sample_id=f"s{number}",
            picture_digest=digest_bytes(answer_was_sampled(world, f"s{number}", number=number)),
            source="belt",
            reason="it is dark",
        )
        for number in numbers
    ]
    request_id = name_request(chosen)
    record = LabelsRequested(request_id=request_id, cause="production drifted", chosen=tuple(chosen))
    write_record(world.ledger, record)
    return request_id


def accept_all(world: World, request_id: str) -> None:
    """Put labels into the folder: an object in each picture."""
    folder = world.workspace.root / "labelling" / request_id
    images = [
        {"id": number, "file_name": file.name, "width": 16, "height": 16}
        for number, file in enumerate(sorted((folder / "images").iterdir()), start=1)
    ]
    square = [[1, 3, 6, 3, 6, 13, 1, 13]]
    content: dict[str, Any] = {
        "images": images,
        "annotations": [
            {"id": one["id"], "image_id": one["id"], "category_id": 1, "segmentation": square}
            for one in images
        ],
        "categories": [{"id": 1, "name": "bolt"}],
    }
    (folder / "labels" / "labels.json").write_text(json.dumps(content))


def test_a_request_goes_out_and_comes_back_by_three_commands(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    request = ask(world, 100, 101)
    pushed = json.loads(run(world, capsys, "label", "push", "--json"))["pushed"]
    assert [(one["request_id"], one["num_there"], one["num_added"]) for one in pushed] == [(request, 2, 2)]
    accept_all(world, request)
    (progress,) = json.loads(run(world, capsys, "label", "status", "--json"))["requests"]
    assert (progress["in_tool"], progress["finished"], progress["in_data"]) == (2, 2, 0)
    (pulled,) = json.loads(run(world, capsys, "label", "pull", "--json"))["pulled"]
    assert (pulled["num_new"], pulled["data_tag"]) == (2, "data-v2")
    told = run(world, capsys, "label", "status")
    assert request in told
    assert str(world.workspace.root / "labelling") in told.replace("\n", "")
    again = run(world, capsys, "label", "push")
    assert "`maskloop label push REQUEST` adds tasks again that were deleted" in again


def test_a_request_that_was_not_pushed_is_named_when_labels_are_pulled(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(world, 100)
    assert "a request was not pushed yet, `maskloop label push` does it" in run(
        world, capsys, "label", "pull"
    )
    assert "`maskloop label pull` takes what is finished" in run(world, capsys, "label", "push")


def test_with_nothing_to_do_each_command_says_so(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing to push" in run(world, capsys, "label", "push")
    assert "no new labels: `maskloop label status` tells" in run(world, capsys, "label", "pull")
    assert "no labels were asked for" in run(world, capsys, "label", "status")


def test_an_unknown_request_ends_with_its_exit_code(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(world, capsys, "label", "pull", "0000", code=66) == ""
