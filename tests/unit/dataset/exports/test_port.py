"""Names of exported pictures are unique and safe on every system, and depend on the content alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataset.exports.port import name_pictures
from dataset.labelled_pictures import LabelledPicture
from maskloop.digest import digest_bytes


def picture(name: str, number: int = 0, ending: str = ".png") -> LabelledPicture:
    digest = digest_bytes(f"{name}{number}".encode())
    file = f"images/{digest[:2]}/{digest}{ending}"
    return LabelledPicture(digest, file, name, 10, 10, "s", "g", "train", "data-v1", "human", ())


def names(*pictures: LabelledPicture) -> list[str]:
    by_digest = {each.labelled.digest: each.name for each in name_pictures(pictures)}
    return [by_digest[each.digest] for each in pictures]


def test_a_name_of_its_own_stays() -> None:
    assert names(picture("Line-1_a.png"), picture("line.2.png")) == ["Line-1_a.png", "line.2.png"]


def test_the_ending_is_that_of_the_stored_file() -> None:
    assert names(picture("scan.dcm", ending=".png")) == ["scan.png"]


def test_folders_blanks_and_special_characters_go() -> None:
    told = names(
        picture("../x/a b?#%.png"), picture("C:\\photos\\ö.png"), picture(".hidden"), picture("NUL.png")
    )
    assert told == ["a_b_.png", "ö.png", "hidden.png", "_NUL.png"]


def test_names_that_differ_by_capitals_or_ending_alone_get_their_digests() -> None:
    one, other, third = picture("a.png"), picture("A.jpg", ending=".jpg"), picture("b.png")
    assert names(one, other, third) == [f"a-{one.digest[:12]}.png", f"A-{other.digest[:12]}.jpg", "b.png"]


@given(st.lists(st.text(max_size=12), max_size=8))
def test_no_two_pictures_share_a_stem_and_their_order_does_not_count(told: list[str]) -> None:
    pictures = [picture(name, number) for number, name in enumerate(told)]
    found = name_pictures(pictures)
    stems = [each.stem.casefold() for each in found]
    assert len({*stems}) == len(pictures)
    assert all(each.name.lower().endswith(".png") and not each.name.startswith(".") for each in found)
    assert name_pictures(reversed(pictures)) == found
