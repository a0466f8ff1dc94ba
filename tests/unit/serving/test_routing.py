from hypothesis import given
from hypothesis import strategies as st

from serving.answers import Traffic
from serving.routing import Counted, choose_role, point_of, wants_mirror


def at(share_percent: float, mirror_percent: float = 0.0) -> Traffic:
    return Traffic("cycle-2", "progressing", share_percent, mirror_percent)


@given(st.lists(st.text(max_size=5), max_size=300), st.floats(0, 100))
def test_the_challenger_never_gets_more_than_its_share_whichever_clients_ask(keys, share):
    counted, given_to_challenger = Counted(), 0
    for number, key in enumerate(keys, start=1):
        given_to_challenger += choose_role(at(share), key, counted) == "challenger"
        assert given_to_challenger <= number * share / 100 + 1e-6


def test_one_client_that_sends_everything_cannot_push_the_share_up():
    key = next(str(n) for n in range(1000) if point_of("cycle-2", str(n)) < 5)
    counted = Counted()
    roles = [choose_role(at(5), key, counted) for _ in range(1000)]
    assert roles.count("challenger") == 50


def test_many_clients_give_the_challenger_about_its_share():
    counted = Counted()
    roles = [choose_role(at(25), f"client {n}", counted) for n in range(4000)]
    assert 0.2 < roles.count("challenger") / 4000 <= 0.25


@given(st.text(), st.floats(1, 99))
def test_a_client_outside_a_share_is_outside_every_smaller_share(key, share):
    if point_of("cycle-2", key) >= share:
        assert all(choose_role(at(share), key, Counted(num_requests=0)) == "champion" for _ in range(3))


def test_the_count_begins_anew_with_each_share():
    counted = Counted()
    for _ in range(100):
        choose_role(at(1), "a", counted)
    choose_role(at(5), "a", counted)
    assert counted.num_requests == 1


def test_in_the_shadow_and_without_a_rollout_the_champion_answers_everything():
    assert {choose_role(at(0), str(n), Counted()) for n in range(50)} == {"champion"}
    assert {choose_role(Traffic(), str(n), Counted()) for n in range(50)} == {"champion"}


def test_the_share_of_mirrored_pictures_is_kept():
    mirrored = sum(wants_mirror(at(0, 30), str(n)) for n in range(2000))
    assert 0.25 < mirrored / 2000 < 0.35
    assert all(wants_mirror(at(0, 100), str(n)) for n in range(50))
    assert not any(wants_mirror(Traffic(), str(n)) for n in range(50))
