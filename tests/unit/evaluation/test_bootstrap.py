import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.bootstrap import class_iou_interval, paired_drop


def random_pair(table, *, num_pictures=60, num_classes=3, drop=0.0, seed=0):
    random = np.random.default_rng(seed)
    count = random.poisson(1.5, (num_pictures, num_classes))
    quality = random.beta(6, 3, count.shape)
    noise = random.normal(drop, 0.05, count.shape)
    return table(count * (quality - noise), count), table(count * quality, count)


def test_the_point_estimate_is_champion_minus_candidate(table):
    drops = paired_drop(
        table([[0.5, 1], [0.7, 0]], [[1, 1], [1, 0]]), table([[0.9, 1], [0.9, 0]], [[1, 1], [1, 0]])
    )
    np.testing.assert_allclose(drops.drop, [0.3, 0.0], atol=1e-12)
    assert drops.mean_drop == pytest.approx(0.15)
    assert drops.num_instances.tolist() == [2, 1]
    assert drops.num_pictures.tolist() == [2, 1]


def test_two_pictures_worked_out_by_hand(table):
    """Losses of 0 and 0.4: of the four ordered draws one loses 0, two lose 0.2, one loses 0.4."""
    drops = paired_drop(table([[1.0], [0.6]], [[1], [1]]), table([[1.0], [1.0]], [[1], [1]]), confidence=0.4)
    assert (drops.low[0], drops.high[0]) == pytest.approx((0.2, 0.2))
    drops = paired_drop(table([[1.0], [0.6]], [[1], [1]]), table([[1.0], [1.0]], [[1], [1]]), confidence=0.9)
    assert (drops.low[0], drops.high[0]) == pytest.approx((0.0, 0.4))


def test_the_interval_of_one_models_iou_worked_out_by_hand(table):
    """IoU 1.0 and 0.6: of the four ordered draws one gives 1.0, two 0.8, one 0.6."""
    one = table([[1.0, 0.0], [0.6, 0.0]], [[1, 0], [1, 0]])
    low, high = class_iou_interval(one, resamples=2000, confidence=0.9, seed=0)
    assert (low[0], high[0]) == pytest.approx((0.6, 1.0))
    assert np.isnan([low[1], high[1]]).all()
    low, high = class_iou_interval(one, resamples=2000, confidence=0.4, seed=0)
    assert (low[0], high[0]) == pytest.approx((0.8, 0.8))


def test_a_model_does_not_lose_against_itself(table):
    champion = random_pair(table)[1]
    drops = paired_drop(champion, champion, resamples=200)
    for values in (drops.drop, drops.low, drops.high, [drops.mean_drop, drops.mean_low, drops.mean_high]):
        np.testing.assert_array_equal(values, 0)


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(table):
    pair = random_pair(table)
    first, again, other = (paired_drop(*pair, resamples=500, seed=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.low, again.low)
    assert first.mean_high == again.mean_high
    assert first.low.tolist() != other.low.tolist()


def test_a_class_without_instances_is_not_a_number_and_not_in_the_mean(table):
    count = [[1, 0], [2, 0]]
    drops = paired_drop(table([[0.5, 0], [1, 0]], count), table([[1, 0], [2, 0]], count), resamples=50)
    assert np.isnan([drops.drop[1], drops.low[1], drops.high[1]]).all()
    assert drops.mean_drop == pytest.approx(0.5)
    assert np.isfinite([drops.mean_low, drops.mean_high]).all()


def test_no_pictures_give_no_figures(table):
    empty = table(np.zeros((0, 2)), np.zeros((0, 2)))
    drops = paired_drop(empty, empty, resamples=10)
    assert np.isnan([*drops.drop, *drops.low, *drops.high, drops.mean_drop, drops.mean_low]).all()


def test_tables_of_different_pictures_are_refused_by_name(table):
    with pytest.raises(ValueError, match=r"2 pictures were seen by one model only: 000, x"):
        paired_drop(table([[1]], [[1]]), table([[1]], [[1]], picture_ids=("x",)))


def test_tables_of_different_annotations_or_classes_are_refused(table):
    with pytest.raises(ValueError, match="annotated differently"):
        paired_drop(table([[1]], [[1]]), table([[1]], [[2]]))
    with pytest.raises(ValueError, match="classes differ"):
        paired_drop(table([[1]], [[1]]), table([[1, 1]], [[1, 1]]))


@pytest.mark.parametrize("options", [{"resamples": 0}, {"confidence": 1.0}, {"confidence": 0.0}])
def test_senseless_options_are_refused(table, options):
    with pytest.raises(ValueError, match="resamples must be"):
        paired_drop(table([[1]], [[1]]), table([[1]], [[1]]), **options)


def test_pairing_sees_a_small_loss_behind_large_differences_between_pictures(table):
    random = np.random.default_rng(1)
    quality = random.uniform(0.3, 1.0, (200, 1))
    count = np.ones((200, 1))
    drops = paired_drop(
        table(quality - random.normal(0.02, 0.02, quality.shape), count), table(quality, count)
    )
    assert 0 < drops.low[0] < 0.02 < drops.high[0] < 0.03


def test_intervals_cover_the_true_loss_about_as_often_as_they_say(table):
    covered = 0
    for seed in range(150):
        drops = paired_drop(
            *random_pair(table, drop=0.03, seed=seed, num_classes=1), resamples=400, confidence=0.9
        )
        covered += drops.low[0] <= 0.03 <= drops.high[0]
    assert 0.82 <= covered / 150 <= 0.96


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.5, 0.99))
def test_the_interval_brackets_and_grows_with_confidence(table_seed, confidence):
    random = np.random.default_rng(table_seed)
    drops = _intervals(random, confidence)
    wider = _intervals(np.random.default_rng(table_seed), (1 + confidence) / 2)
    assert (drops.low <= drops.high).all()
    assert (wider.low <= drops.low).all()
    assert (drops.high <= wider.high).all()
    assert (np.abs([wider.low, wider.high]) <= 1).all()


def _intervals(random, confidence):
    from evaluation.instances import IouTable

    count = random.integers(1, 4, (12, 2))
    ids = tuple(f"{index:02}" for index in range(12))

    def measured():
        return IouTable(
            ("x", "y"), ids, ("s",) * 12, 0.5, count * random.random((12, 2)), count, count, count
        )

    return paired_drop(measured(), measured(), resamples=100, confidence=confidence)
