import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ranks.places import share_items, share_places


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 6))
def test_ranks_have_each_place_once_and_parts_the_same_places_for_any_number_of_them(size, parts, count):
    if parts * count > size:
        with pytest.raises(ValueError, match="no picture for each"):
            share_places(size, parts=parts, count=count, rank=0)
        return
    shares = [share_places(size, parts=parts, count=count, rank=rank) for rank in range(count)]
    whole = share_places(size, parts=parts, count=1, rank=0)
    for number, part in enumerate(whole):
        assert [place for share in shares for place in share[number]] == [*part]
    assert [place for part in whole for place in part] == [*range(size)]
    assert {len(share[number]) for share in shares for number in range(parts)} >= {size // parts // count}


@given(st.integers(0, 200), st.integers(1, 9))
def test_every_item_is_on_exactly_one_rank(items, count):
    shares = [share_items(items, count=count, rank=rank) for rank in range(count)]
    assert sorted(item for share in shares for item in share) == [*range(items)]
