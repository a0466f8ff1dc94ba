"""What did not change since the last pull is not downloaded again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flows.labelling.pull import pull_labels
from flows.labelling.push import push_labels
from maskloop.files import write_text
from tests.fakes.labelling_world import LabellingWorld, pull, pushed, truth


def num_downloads(labelling: LabellingWorld) -> int:
    return sum(request.endswith("/export") for request in labelling.server.requests)


def test_what_did_not_change_is_not_downloaded_again(labelling: LabellingWorld) -> None:
    pushed(labelling, 100, 101, 102)
    assert pull_labels(labelling.world.app()) == []
    assert num_downloads(labelling) == 0
    labelling.label(100)
    pull(labelling)
    assert num_downloads(labelling) == 1
    for _ in range(3):
        assert pull_labels(labelling.world.app()) == []
    assert num_downloads(labelling) == 1
    labelling.label(101)
    assert pull(labelling).num_new == 1
    assert num_downloads(labelling) == 2


def test_what_is_left_out_is_not_downloaded_again_until_something_changes(
    labelling: LabellingWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(labelling, 100, 101)
    labelling.label(100)
    labelling.label(101, [replace(truth(101)[0], class_name="gear")])
    assert pull(labelling).num_left_out == 1
    assert pull_labels(labelling.world.app()) == []
    assert num_downloads(labelling) == 1
    labelling.bench.redraw(labelling.task(101), truth(101))
    assert pull(labelling).num_new == 1


def test_a_request_that_is_named_is_looked_at_whatever_is_known(labelling: LabellingWorld) -> None:
    request = pushed(labelling, 100)
    labelling.label(100)
    pull(labelling)
    assert pull_labels(labelling.world.app(), request) == []
    assert num_downloads(labelling) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"x": ', None])
def test_a_lost_or_broken_watermark_costs_only_a_download(
    labelling: LabellingWorld, content: str | None
) -> None:
    pushed(labelling, 100)
    labelling.label(100)
    pull(labelling)
    file = labelling.world.app().workspace.state_dir / "seen-labels.json"
    file.unlink()
    if content is not None:
        file.write_text(content)
    assert pull_labels(labelling.world.app()) == []
    assert num_downloads(labelling) == 2
    assert pull_labels(labelling.world.app()) == []
    assert num_downloads(labelling) == 2


def test_a_watermark_of_another_ledger_hides_no_label(
    labelling: LabellingWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workspace that was restored from before the pull, with the file from after it."""
    request = pushed(labelling, 100)
    labelling.label(100)
    pull(labelling)
    file = labelling.world.app().workspace.state_dir / "seen-labels.json"
    restored = LabellingWorld.made(tmp_path / "restored", monkeypatch)
    restored.server.__dict__.update(labelling.server.__dict__)
    assert restored.ask(100) == request
    push_labels(restored.world.app())
    write_text(restored.world.app().workspace.state_dir / "seen-labels.json", file.read_text())
    assert pull(restored).num_new == 1
