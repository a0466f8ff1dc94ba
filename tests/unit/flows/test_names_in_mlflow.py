"""A person hears at the ingest which classes have another name in MLflow's charts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dataset.balance import Balance
from flows.ingest import ingest
from flows.reconcile import reconcile
from flows.telling import SilentTeller
from tests.fakes.loop_world import World


class Listener(SilentTeller):
    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


@pytest.mark.parametrize(("name", "is_told"), [("screw (M6)", True), ("Öse", False)])
def test_an_ingest_says_which_class_has_another_name_in_mlflow(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, is_told: bool
) -> None:
    reconcile(world.app())
    version = replace(world.label(range(12, 24)), class_names=(name, "nut"))
    balance = Balance(12, 12, {}, 12, 12, {}, 0, 12, 0, 12, 1, ())
    result = SimpleNamespace(
        version=version, changed=True, num_added=12, num_updated=0, num_quarantined=0, balance=balance
    )
    monkeypatch.setattr("dataset.ingestion.ingest_batch", lambda *_a, **_k: result)
    listener = Listener()
    ingest(replace(world.app(), teller=listener), Path("batch.json"), Path("images"))
    told = [sentence for sentence in listener.sentences if "MLflow" in sentence]
    assert bool(told) is is_told
    assert all("'screw (M6)'" in sentence and "'screw _M6_ 4b334c'" in sentence for sentence in told)
