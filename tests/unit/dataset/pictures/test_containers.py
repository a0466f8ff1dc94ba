"""Files of hand-written bytes are taken apart into exactly the parts they were put together from."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.pictures.containers import (
    SCAN,
    Chunk,
    Segment,
    jpeg_segments,
    png_chunks,
    riff_chunks,
    webp_chunks,
)

START, END = b"\xff\xd8", b"\xff\xd9"
PNG_START = b"\x89PNG\r\n\x1a\n"
CHUNKS = st.lists(
    st.builds(
        Chunk, st.binary(min_size=4, max_size=4).filter(lambda name: name != b"IEND"), st.binary(max_size=9)
    )
)


def segment(marker: int, payload: bytes, scan: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + scan


def png(*chunks: Chunk) -> bytes:
    return PNG_START + b"".join(
        struct.pack(">I", len(content)) + name + content + b"sums" for name, content in chunks
    )


def riff_body(*chunks: Chunk) -> bytes:
    return b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for name, content in chunks
    )


def webp(*chunks: Chunk, behind: bytes = b"") -> bytes:
    body = b"WEBP" + riff_body(*chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body + behind


# --- JPEG ----------------------------------------------------------------------------------------


def test_a_scan_reaches_over_stuffed_bytes_and_restarts_to_the_next_marker() -> None:
    scan = b"ab\xff\x00cd\xff\xd0ef\xff\xd7gh"
    data = START + segment(0xE1, b"Exif") + segment(SCAN, b"head", scan) + END
    assert list(jpeg_segments(data)) == [Segment(0xE1, b"Exif", b""), Segment(SCAN, b"head", scan)]


def test_tables_between_two_scans_belong_to_neither() -> None:
    data = START + segment(SCAN, b"1", b"one") + segment(0xC4, b"table") + segment(SCAN, b"2", b"two") + END
    assert list(jpeg_segments(data)) == [
        Segment(SCAN, b"1", b"one"),
        Segment(0xC4, b"table", b""),
        Segment(SCAN, b"2", b"two"),
    ]


def test_what_lies_behind_the_end_of_the_image_is_in_no_segment() -> None:
    data = START + segment(0xDB, b"q") + END + START + segment(0xE1, b"second still") + END
    assert list(jpeg_segments(data)) == [Segment(0xDB, b"q", b"")]


@pytest.mark.parametrize("alone", [b"\xff\x01", b"\xff\xd8", b"\xff\xd0", b"\xff\xd7"])
def test_a_marker_without_a_length_takes_nothing_of_what_follows(alone: bytes) -> None:
    data = START + alone + segment(0xE1, b"Exif") + END
    assert list(jpeg_segments(data)) == [Segment(0xE1, b"Exif", b"")]


def test_fill_bytes_before_a_marker_are_passed_over() -> None:
    data = START + b"\xff\xff\xff" + segment(0xFE, b"words") + b"\xff\xff" + END
    assert list(jpeg_segments(data)) == [Segment(0xFE, b"words", b"")]


def test_a_cut_off_scan_reaches_to_the_end_of_the_file() -> None:
    data = START + segment(SCAN, b"head", b"ab\xff\x00c")
    assert list(jpeg_segments(data)) == [Segment(SCAN, b"head", b"ab\xff\x00c")]


@given(
    st.lists(st.tuples(st.sampled_from([0xC0, 0xC4, 0xDB, 0xE0, 0xE1, 0xEF, 0xFE]), st.binary(max_size=12)))
)
def test_segments_come_back_as_they_were_put_in_a_row(parts: list[tuple[int, bytes]]) -> None:
    data = START + b"".join(segment(marker, payload) for marker, payload in parts) + END
    assert list(jpeg_segments(data)) == [Segment(marker, payload, b"") for marker, payload in parts]


# --- PNG and WebP --------------------------------------------------------------------------------


@given(CHUNKS)
def test_the_chunks_of_a_png_come_back_up_to_its_end(chunks: list[Chunk]) -> None:
    end = Chunk(b"IEND", b"")
    data = png(*chunks, end)
    assert list(png_chunks(data + png(Chunk(b"tEXt", b"behind"))[8:])) == [*chunks, end]


def test_a_png_that_breaks_off_in_a_chunks_head_ends_with_the_chunk_before() -> None:
    data = png(Chunk(b"IHDR", b"head"), Chunk(b"tEXt", b""))
    assert list(png_chunks(data)) == [Chunk(b"IHDR", b"head"), Chunk(b"tEXt", b"")]
    assert list(png_chunks(data[:-1])) == [Chunk(b"IHDR", b"head")]


@given(CHUNKS)
def test_the_chunks_of_a_webp_come_back_as_far_as_its_header_says(chunks: list[Chunk]) -> None:
    data = webp(*chunks, behind=riff_body(Chunk(b"MORE", b"behind")))
    assert list(webp_chunks(data)) == chunks


def test_a_chunk_of_odd_length_is_padded_and_the_padding_is_no_content() -> None:
    chunks = [Chunk(b"ODD ", b"abc"), Chunk(b"EVEN", b"ab"), Chunk(b"NONE", b"")]
    assert list(riff_chunks(riff_body(*chunks))) == chunks


def test_a_chunk_that_breaks_off_holds_what_is_there() -> None:
    assert list(riff_chunks(riff_body(Chunk(b"EVEN", b"abcd"))[:-2])) == [Chunk(b"EVEN", b"ab")]
    assert list(riff_chunks(b"EVEN\0\0\0")) == []
