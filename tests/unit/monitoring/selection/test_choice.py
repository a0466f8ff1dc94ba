import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.pictures.looks import difference_hash, grey_cells
from monitoring.selection.candidates import best_candidates
from monitoring.selection.choice import Look, Looks, divide, draw_at_random, pick_best
from tests.fakes.selection_data import candidate, kept_sample

SAMPLES = [kept_sample(f"s{number:03d}") for number in range(100)]


def look_of(seed, noise=0):
    even = np.random.default_rng(seed).integers(0, 200, (8, 8, 3)).repeat(8, 0).repeat(8, 1)
    pixels = (even + np.random.default_rng(noise).integers(0, 5, even.shape)).astype(np.uint8)
    return Look(difference_hash(pixels), lambda: grey_cells(pixels))


@given(st.integers(0, 200), st.floats(0, 100), st.integers(0, 300))
def test_both_shares_add_up_and_the_random_one_is_rounded(num, percent, num_eligible):
    num_random, num_best = divide(num, percent, num_eligible)
    assert num_random + num_best == min(num, num_eligible)
    assert abs(num_random - min(num, num_eligible) * percent / 100) <= 0.5


def test_the_same_seed_draws_the_same_samples_and_another_seed_others():
    draws = [draw_at_random(SAMPLES, 10, seed=seed, take=lambda _: True) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert len({one.picture_digest for one in draws[0]}) == 10


def test_every_sample_is_drawn_about_equally_often():
    times = dict.fromkeys((one.sample_id for one in SAMPLES), 0)
    for seed in range(400):
        for one in draw_at_random(SAMPLES, 10, seed=seed, take=lambda _: True):
            times[one.sample_id] += 1
    assert np.mean(list(times.values())) == 40
    assert np.std(list(times.values())) == pytest.approx(np.sqrt(400 * 0.1 * 0.9), rel=0.25)


def test_what_is_refused_is_replaced_by_the_next_one():
    refused = {one.sample_id for one in SAMPLES[::2]}
    drawn = draw_at_random(SAMPLES, 50, seed=0, take=lambda one: one.sample_id not in refused)
    assert sorted(one.sample_id for one in drawn) == [one.sample_id for one in SAMPLES[1::2]]


def test_a_picture_that_looks_like_a_labelled_one_is_not_taken():
    looks = Looks(3, [look_of(1)])
    assert not looks.take(look_of(1, noise=7))
    assert looks.take(look_of(2))


def test_of_two_pictures_that_look_alike_one_is_taken():
    looks = Looks(3)
    assert [looks.take(look_of(1)), looks.take(look_of(1, noise=7)), looks.take(look_of(3))] == [
        True,
        False,
        True,
    ]


def test_below_zero_bits_no_two_pictures_are_alike():
    looks = Looks(-1, [look_of(1)])
    assert looks.take(look_of(1))


def test_cells_are_read_only_where_hashes_are_near():
    def fail():
        raise AssertionError("not asked for")

    far = Look(look_of(1).difference_hash ^ 0xFFFF, fail)
    assert Looks(3, [look_of(1)]).take(far)


@given(st.floats(0.0, 0.99), st.floats(0.001, 0.01))
def test_all_else_equal_the_less_certain_picture_is_chosen_first(uncertainty, more):
    pair = [candidate("a", uncertainty), candidate("b", uncertainty + more)]
    assert [one.sample.sample_id for one in pick_best(pair, 1, take=lambda _: True)] == ["b"]
    assert best_candidates(pair, 1)[0].sample.sample_id == "b"


def test_all_else_equal_more_drift_and_a_needier_class_come_first():
    found = best_candidates(
        [candidate("a"), candidate("b", drift=0.5), candidate("c", need=0.5), candidate("d", need=1.0)], 4
    )
    assert [one.sample.sample_id for one in found] == ["d", "c", "a", "b"]


def test_a_candidate_that_is_not_taken_makes_room_for_the_next():
    three = [candidate("a", 0.9), candidate("b", 0.8), candidate("c", 0.7)]
    chosen = pick_best(three, 2, take=lambda one: one.sample_id != "a")
    assert [one.sample.sample_id for one in chosen] == ["b", "c"]
