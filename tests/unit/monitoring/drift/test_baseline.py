"""The baseline and its file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskloop.errors import ConfigurationError, DataError, IntegrityError, NotFoundError
from monitoring.drift.baseline import (
    SCHEMA_VERSION,
    Baseline,
    build_baseline,
    load_baseline,
    save_baseline,
)
from monitoring.features.observation import Observation
from tests.fakes.drift_data import baseline_of, draw

RECORDS = Path(__file__).parents[3] / "records"


@pytest.fixture
def baseline() -> Baseline:
    return baseline_of(draw(np.random.default_rng(0), 20))


def test_a_saved_baseline_comes_back_with_its_digest(baseline: Baseline, tmp_path: Path) -> None:
    save_baseline(baseline, tmp_path / "baseline.npz")
    loaded = load_baseline(tmp_path / "baseline.npz")
    assert loaded.digest == baseline.digest
    np.testing.assert_array_equal(loaded.values, baseline.values)
    np.testing.assert_array_equal(loaded.embeddings, baseline.embeddings)


def test_the_digest_does_not_depend_on_the_order_of_pictures() -> None:
    observations = draw(np.random.default_rng(1), 15)
    assert baseline_of(observations).digest == baseline_of(observations[::-1]).digest


def test_the_digest_differs_by_weights_data_and_values(baseline: Baseline) -> None:
    others = [
        replace(baseline, weights_digest="w2"),
        replace(baseline, data_fingerprint="f2"),
        replace(baseline, values=baseline.values + 1e-9),
        replace(baseline, embeddings=baseline.embeddings[:-1]),
    ]
    assert len({baseline.digest, *(other.digest for other in others)}) == 5


def test_what_does_not_exist_is_nan_and_left_out_of_rows() -> None:
    baseline = baseline_of([Observation({"a": 1.0}), Observation({"b": 2.0, "a": None}, (1.0,))])
    assert baseline.feature_names == ("a", "b")
    assert sorted(map(str, baseline.rows())) == ["{'a': 1.0}", "{'b': 2.0}"]
    assert baseline.embeddings.shape == (1, 1)


def test_a_baseline_without_embeddings_survives_its_file(tmp_path: Path) -> None:
    baseline = baseline_of(draw(np.random.default_rng(2), 3, embedded=False))
    save_baseline(baseline, tmp_path / "b.npz")
    assert load_baseline(tmp_path / "b.npz").digest == baseline.digest


def test_a_baseline_knows_which_picture_each_embedding_is_of_whatever_the_order(tmp_path: Path) -> None:
    observations = [
        Observation({"a": 1.0}, (3.0, 0.0), picture_digest="third"),
        Observation({"a": 2.0}, picture_digest="without an embedding"),
        Observation({"a": 3.0}, (1.0, 0.0), picture_digest="first"),
    ]
    baseline = baseline_of(observations)
    save_baseline(baseline, tmp_path / "b.npz")
    loaded = load_baseline(tmp_path / "b.npz")
    assert loaded.digest == baseline.digest == baseline_of(observations[::-1]).digest
    told = dict(zip(loaded.picture_digests.tolist(), loaded.embeddings[:, 0].tolist(), strict=True))
    assert told == {"third": 3.0, "first": 1.0}


def test_a_baseline_without_picture_digests_has_the_digest_that_it_had_before_they_existed() -> None:
    plain = baseline_of([Observation({"a": 1.0}, (1.0,)), Observation({"a": 2.0}, (2.0,))])
    assert plain.picture_digests.size == 0
    assert plain.digest == "823dceee46e5f40510d5ea0a922591a526bc33df99bf12ad61081df1f5fc4507"


def test_a_baseline_of_schema_3_that_was_written_once_stays_readable() -> None:
    kept = load_baseline(RECORDS / "baseline-3.npz")
    assert kept.digest == "0c5b4c6a4f89c9edab188e7deb5e32639e81d6744cfa6c03c4c09e052468a7bf"
    assert (kept.weights_digest, kept.data_fingerprint) == ("weights", "data")
    assert kept.rows()[1:] == [
        {"brightness": 0.5, "count": 1.0},
        {"brightness": 0.75, "count": 2.0},
        {"brightness": 1.0},
    ]
    assert kept.scene_values[:, 0].tolist() == [0.5, 0.75]
    assert kept.looks.tolist() == [4, 8]
    assert kept.embeddings.tolist() == [[float(number), 0.5] for number in range(4)]
    assert kept.picture_digests.tolist() == [f"picture {number}" for number in range(4)]


def test_no_pictures_are_no_baseline() -> None:
    with pytest.raises(DataError):
        build_baseline([], weights_digest="w", data_fingerprint="f")


def test_embeddings_of_two_lengths_are_refused() -> None:
    with pytest.raises(DataError):
        baseline_of([Observation({"a": 1.0}, (1.0,)), Observation({"a": 1.0}, (1.0, 2.0))])


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_baseline(tmp_path / "none.npz")


def test_a_baseline_of_a_newer_maskloop_is_refused_by_name(baseline: Baseline, tmp_path: Path) -> None:
    file = tmp_path / "b.npz"
    save_baseline(baseline, file)
    with np.load(file) as arrays:
        content = dict(arrays)
    head = json.loads(str(content["head"])) | {"schema_version": SCHEMA_VERSION + 1}
    np.savez(file, **content | {"head": np.array(json.dumps(head))})
    with pytest.raises(ConfigurationError, match="a newer maskloop has written the baseline"):
        load_baseline(file)


@pytest.mark.parametrize("position", [0.05, 0.4, 0.6])
def test_damage_is_noticed(baseline: Baseline, tmp_path: Path, position: float) -> None:
    file = tmp_path / "b.npz"
    save_baseline(baseline, file)
    data = bytearray(file.read_bytes())
    data[int(position * len(data))] ^= 0xFF
    file.write_bytes(bytes(data))
    with pytest.raises(IntegrityError):
        load_baseline(file)


def test_a_well_formed_file_with_other_values_is_refused(baseline: Baseline, tmp_path: Path) -> None:
    file = tmp_path / "b.npz"
    save_baseline(baseline, file)
    with np.load(file) as arrays:
        changed = {**arrays, "values": arrays["values"] + 1.0}
    np.savez(file, **changed)
    with pytest.raises(IntegrityError, match="digest"):
        load_baseline(file)


def test_a_truncated_or_foreign_file_is_refused(tmp_path: Path) -> None:
    for number, content in enumerate((b"", b"PK\x03\x04", b"not a baseline")):
        file = tmp_path / f"{number}.npz"
        file.write_bytes(content)
        with pytest.raises(IntegrityError):
            load_baseline(file)
