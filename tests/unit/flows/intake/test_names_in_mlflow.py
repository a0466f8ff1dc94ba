"""A person hears at the ingest which classes have another name in MLflow's charts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flows.intake.batch_intake import ingest
from flows.workspace.telling import SilentTeller
from tests.fakes.coco_batches import coco_content, write_batch
from tests.fakes.loop_world import World


class Listener(SilentTeller):
    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


@pytest.mark.parametrize(("name", "is_told"), [("screw (M6)", True), ("Öse", False)])
def test_an_ingest_says_which_class_has_another_name_in_mlflow(
    tmp_path: Path, name: str, is_told: bool
) -> None:
    content = coco_content(range(100, 110), (name, "nut"))
    annotations, _ = write_batch(tmp_path / "batch", range(100, 110), content)
    listener = Listener()
    ingest(replace(World(tmp_path / "workspace").app(), teller=listener), annotations)
    told = [sentence for sentence in listener.sentences if "MLflow" in sentence]
    assert bool(told) is is_told
    assert all("'screw (M6)'" in sentence and "'screw _M6_ 4b334c'" in sentence for sentence in told)
