from dataclasses import replace

import numpy as np
import pytest

from monitoring.drift.baseline import Baseline
from monitoring.drift.novelty import fit_novelty
from monitoring.features.table import EMBEDDING, FEATURES
from monitoring.selection.attribution import UNKNOWN, attribute_drift
from monitoring.signals.feature_signal import FeatureSignal
from tests.fakes.selection_data import kept_sample, own_pictures

OWN = own_pictures(brightness=[0.1, 0.2, 0.3, 0.4], noise=[1.0, 2.0, 3.0, 4.0])


def signal(name, before, after, *, effect=0.5, drifted=True):
    feature = EMBEDDING if name == EMBEDDING.name else FEATURES.find(name)
    assert feature is not None
    return FeatureSignal(feature, 4, 4, 0.0, effect, 0.0, 0.0, effect, before, after, drifted)


def drift_of(signals, *features):
    samples = [kept_sample(f"s{number}", one) for number, one in enumerate(features)]
    return attribute_drift(signals, OWN, samples)


def test_a_share_counts_the_own_pictures_that_lie_less_far_to_the_side_of_the_drift():
    rising = drift_of(
        [signal("brightness", 0.25, 0.4)], {"brightness": 0.05}, {"brightness": 0.25}, {"brightness": 9}
    )
    assert rising.shares[:, 0].tolist() == [0.0, 0.5, 1.0]
    falling = drift_of([signal("brightness", 0.25, 0.1)], {"brightness": 0.05}, {"brightness": 0.25})
    assert falling.shares[:, 0].tolist() == [1.0, 0.5]


def test_a_drift_without_a_direction_looks_at_both_sides():
    spread = drift_of(
        [signal("brightness", 0.25, 0.25)], {"brightness": -1}, {"brightness": 0.25}, {"brightness": 1}
    )
    assert spread.shares[:, 0].tolist() == [1.0, 0.0, 1.0]


def test_the_drift_of_a_sample_is_the_mean_weighted_by_effect():
    signals = [signal("brightness", 0.2, 0.4, effect=0.6), signal("noise", 2.0, 3.0, effect=0.2)]
    found = drift_of(signals, {"brightness": 1.0, "noise": 0.0})
    assert found.drift.tolist() == pytest.approx([0.6 * 1.0 / 0.8])


def test_a_feature_that_a_sample_lacks_does_not_count():
    signals = [signal("brightness", 0.2, 0.4), signal("noise", 2.0, 3.0)]
    found = drift_of(signals, {"noise": 2.5}, {})
    assert found.drift.tolist() == [0.5, UNKNOWN]


def test_without_a_drifted_signal_every_sample_counts_fully():
    found = drift_of([signal("brightness", 0.2, 0.4, drifted=False)], {"brightness": 0.1})
    assert found.drift.tolist() == [1.0]
    assert found.features == ()


def test_a_signal_that_the_reference_does_not_have_is_passed_over():
    assert drift_of([signal("sharpness", 0.2, 0.4)], {"sharpness": 1.0}).features == ()


def test_an_embedding_is_ranked_as_the_service_ranks_it():
    random = np.random.default_rng(0)
    own = random.normal(size=(60, 4)).astype(np.float32)
    baseline = Baseline("w1", "f1", (), np.zeros((60, 0)), own)
    rows = [*random.normal(size=(5, 4)), np.full(4, 9.0)]
    samples = [kept_sample(f"s{n}", embedding=row.tolist()) for n, row in enumerate(rows)]
    samples.append(replace(samples[0], embedding=(1.0,)))
    found = attribute_drift([signal("embedding", None, None)], baseline, samples)
    scorer = fit_novelty(baseline, out_of_distribution_percent=1.0)
    assert scorer is not None
    assert found.drift[:6].tolist() == [scorer.score(row.astype(np.float32)).score for row in rows]
    assert found.drift[6] == UNKNOWN
