"""A source is read by the one reader that recognises it; where two do, or none, people are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dataset.formats.port import LabelSource
from dataset.readers import coco
from dataset.readers.table import FORMATS, READERS, choose_reader, read_labels
from flows.usage.intake import LABEL_FORMATS
from maskloop.errors import DataError, NotFoundError
from tests.fakes.coco_batches import coco_content


def test_every_reader_has_a_key_and_a_name_of_its_own() -> None:
    assert len(set(FORMATS)) == len({reader.format for reader in READERS}) == len(READERS)


def test_the_option_that_names_a_format_offers_every_reader() -> None:
    assert LABEL_FORMATS == FORMATS


def test_two_readers_that_know_a_source_are_both_named_with_the_option_that_decides(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(coco_content(range(2))))
    other = replace(coco.READER, key="other", format="Another format")
    with pytest.raises(DataError, match="COCO and as Another format") as caught:
        choose_reader(LabelSource(tmp_path), (coco.READER, other))
    assert caught.value.hint == "say which it is: --format coco or --format other"
    assert choose_reader(LabelSource(tmp_path), (coco.READER, other), key="other") is other


def test_what_nobody_knows_is_told_as_what_it_looks_like(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(DataError, match="no list of images and annotations and categories"):
        read_labels(LabelSource(tmp_path / "a.json"))


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        LabelSource(tmp_path / "none.json")
