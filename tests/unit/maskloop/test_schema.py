"""What a newer maskloop has written is refused by name; what is as old as this one, or older, is read."""

from __future__ import annotations

import pytest

from maskloop.errors import ConfigurationError
from maskloop.schema import refuse_newer


def is_read(found: int) -> bool:
    try:
        refuse_newer(found, 2, what="the sample log", where="samples.db")
    except ConfigurationError:
        return False
    return True


def test_versions_up_to_the_known_one_are_read() -> None:
    assert [is_read(found) for found in range(5)] == [True, True, True, False, False]


def test_a_newer_version_is_refused_with_both_numbers_the_place_and_a_way_out() -> None:
    with pytest.raises(ConfigurationError) as refused:
        refuse_newer(3, 2, what="the sample log", where="samples.db")
    assert str(refused.value) == (
        "a newer maskloop has written the sample log: it has version 3, this one reads up to 2 (samples.db). "
        "Upgrade maskloop here too, or bring back a backup from before that upgrade"
    )
