"""What tells a place and what only looks like it, in blocks written by hand."""

from __future__ import annotations

import struct
import zlib

import pytest

from dataset.pictures.location import tells_place

GPS, EXIF, MAKE = 0x8825, 0x8769, 0x010F


def directory(*entries: tuple[int, int], following: int = 0) -> bytes:
    """Entries of a tag and a value each, then the offset of the next directory."""
    packed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)


def tiff(*directories: bytes) -> bytes:
    return b"II*\0" + struct.pack("<I", 8) + b"".join(directories)


LENGTH = len(directory((MAKE, 0)))
"""Of a directory with one entry: the second one begins at 8 + LENGTH."""
PLACE = directory((1, 0))


@pytest.mark.parametrize(
    ("block", "tells"),
    [
        (tiff(directory((MAKE, 0))), False),
        (tiff(directory((GPS, 8 + LENGTH)), PLACE), True),
        (tiff(directory((GPS, 8 + LENGTH)), directory()), False),
        (tiff(directory((GPS, 10_000))), False),
        (tiff(directory((MAKE, 8 + LENGTH)), PLACE), False),
        (tiff(directory((EXIF, 8 + LENGTH)), directory((GPS, 8 + 2 * LENGTH)), PLACE), True),
        (tiff(directory((MAKE, 0), following=8 + LENGTH), directory((GPS, 8 + 2 * LENGTH)), PLACE), True),
        (tiff(directory((MAKE, 0)), directory((GPS, 8)), PLACE), False),
        (tiff(directory((GPS, 8)))[:-8], False),
    ],
    ids=["none", "own", "empty", "outside", "other tag", "in exif", "in the next", "never named", "cut off"],
)
def test_a_place_in_exif_is_a_gps_directory_with_entries_that_can_be_reached(
    block: bytes, tells: bool
) -> None:
    assert tells_place(b"something before" + block) is tells


@pytest.mark.parametrize(
    ("record", "tells"),
    [
        (b"\x1c\x02\x5a\0\4Rome", True),
        (b"\x1c\x02\x5a\0\0", False),
        (b"\x1c\x02\x65\0\5Italy", True),
        (b"\x1c\x02\x78\0\4Rome", False),
        (b"\x1c\x01\x5a\0\4Rome", False),
    ],
    ids=["city", "empty city", "country", "caption", "another record"],
)
def test_a_place_in_iptc_is_a_field_of_a_place_that_is_not_empty(record: bytes, tells: bool) -> None:
    assert tells_place(b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record) is tells
    assert not tells_place(record), "outside of Photoshop's block it may be anything"


@pytest.mark.parametrize(
    ("words", "tells"),
    [
        (b"Latitude 41.9", True),
        (b"geotag", True),
        (b"geo:pos", True),
        (b"GPS off", True),
        (b"geology, altitude 21 m", False),
        (b"made in Rome", False),
    ],
)
def test_a_comment_tells_a_place_by_the_name_of_a_coordinate(words: bytes, tells: bool) -> None:
    comment = struct.pack(">BBH", 0xFF, 0xFE, len(words) + 2) + words
    assert tells_place(b"\xff\xd8" + comment + b"\xff\xd9") is tells
    makers = struct.pack(">BBH", 0xFF, 0xE5, len(words) + 2) + words
    assert not tells_place(b"\xff\xd8" + makers + b"\xff\xd9"), "words of a maker are no free text"


@pytest.mark.parametrize(
    ("box", "tells"),
    [(b"\0\0\0\x18ftypmp42", True), (b"\0\0\1\nftypisom", True), (b"\0\1\0\x18ftypmp42", False)],
)
def test_a_film_begins_with_its_type_in_a_small_box(box: bytes, tells: bool) -> None:
    assert tells_place(b"a still" + box) is tells


@pytest.mark.parametrize(
    ("content", "tells"),
    [
        (b"Where\0\0\0\0\0GPS 41.9", True),
        (b"Where\0\0\0it\0Wo\0GPS 41.9", True),
        (b"Where\0\1\0it\0Wo\0" + zlib.compress(b"GPS 41.9"), True),
        (b"Where\0\0\0it\0Wo\0nothing", False),
        (b"Where\0\1\0it\0Wo\0" + zlib.compress(b"nothing"), False),
        (b"GPS\0\1\0\0\0not compressed", True),
        (b"Where\0\0\0it", False),
    ],
    ids=["plain", "with languages", "compressed", "no place", "compressed no place", "key word", "cut off"],
)
def test_an_international_text_of_a_png_is_read_behind_its_languages(content: bytes, tells: bool) -> None:
    chunk = struct.pack(">I", len(content)) + b"iTXt" + content + b"sums"
    assert tells_place(b"\x89PNG\r\n\x1a\n" + chunk) is tells
