"""A place is found wherever a file may hide it, and gone afterwards, while every pixel stays."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from dataset.pictures.decoding import encode_png, open_picture
from dataset.pictures.location import tells_place
from dataset.pictures.metadata import without_metadata

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
XMP = b'<x:xmpmeta><rdf:Description exif:GPSLatitude="51,28.6N" exif:GPSLongitude="0,0.1W"/></x:xmpmeta>'
IPTC_XMP = b"<x:xmpmeta><photoshop:City>Greenwich</photoshop:City></x:xmpmeta>"
IPTC = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", 14) + b"\x1c\x02\x5a\0\x09Greenwich"
FILM = struct.pack(">I4s4sI", 16, b"ftyp", b"mp42", 0) + b"\xa9xyz+51.4778-000.0015/"


def exif_of(orientation: int = 1, *, has_place: bool = True, endian: str = "<") -> bytes:
    exif = Image.Exif()
    exif.endian = endian
    exif[ExifTags.Base.Make] = "made up"
    if orientation != 1:
        exif[ExifTags.Base.Orientation] = orientation
    if has_place:
        exif.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
        exif.get_ifd(ExifTags.IFD.GPSInfo)[2] = (51.0, 28.0, 38.0)
    return exif.tobytes()


def saved(format_name: str, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, format_name, **options)
    return file.getvalue()


def jpeg_segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def in_jpeg(*segments: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:2] + b"".join(segments) + data[2:]


def extended_xmp(data: bytes) -> bytes:
    """The words lie across two segments."""
    start = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">I", len(XMP))
    pieces = ((0, XMP[:42]), (42, XMP[42:]))
    assert not any(b"exif:GPSLatitude" in piece for _, piece in pieces)
    segments = [jpeg_segment(0xE1, start + struct.pack(">I", at) + piece) for at, piece in pieces]
    return in_jpeg(*segments)(data)


def second_still(data: bytes) -> bytes:
    """A camera's stereo picture: the second still tells the place, the first does not."""
    file = io.BytesIO()
    stills = [Image.open(io.BytesIO(data)), Image.open(io.BytesIO(saved("JPEG", exif=exif_of())))]
    stills[1].encoderinfo = {"exif": exif_of()}
    stills[0].save(
        file, "MPO", save_all=True, append_images=stills[1:], exif=stills[0].getexif(), quality="keep"
    )
    return file.getvalue()


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def in_png(name: bytes, content: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:33] + png_chunk(name, content) + data[33:]


def raw_profile(kind: bytes, profile: bytes) -> bytes:
    digits = profile.hex().encode()
    lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return b"\n%s\n%8d\n%s\n" % (kind, len(profile), lines)


def webp_chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def in_webp(name: bytes, content: bytes) -> Callable[[bytes], bytes]:
    def put(data: bytes) -> bytes:
        end = 8 + int.from_bytes(data[4:8], "little")
        body = data[8:end] + webp_chunk(name, content)
        return b"RIFF" + struct.pack("<I", len(body)) + body + data[end:]

    return put


def behind(more: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data + more


TIFF = exif_of()[6:]
TURNED_TIFF = exif_of(6)[6:]
JPEG_WITH_A_PLACE = in_jpeg(jpeg_segment(0xE1, exif_of()))(saved("JPEG"))
HIDDEN: dict[tuple[str, str], Callable[[bytes], bytes]] = {
    ("JPEG", "exif"): in_jpeg(jpeg_segment(0xE1, exif_of())),
    ("JPEG", "exif, big endian"): in_jpeg(jpeg_segment(0xE1, exif_of(endian=">"))),
    ("JPEG", "exif behind fill bytes"): in_jpeg(b"\xff\xff\xff" + jpeg_segment(0xE1, exif_of())),
    ("JPEG", "xmp"): in_jpeg(jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)),
    ("JPEG", "iptc in xmp"): in_jpeg(jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + IPTC_XMP)),
    ("JPEG", "extended xmp"): extended_xmp,
    ("JPEG", "iptc"): in_jpeg(jpeg_segment(0xED, IPTC)),
    ("JPEG", "comment"): in_jpeg(jpeg_segment(0xFE, b"latitude 51.4778")),
    ("JPEG", "a maker's segment"): in_jpeg(jpeg_segment(0xE5, TIFF)),
    ("JPEG", "second still"): second_still,
    ("JPEG", "another JPEG behind"): behind(JPEG_WITH_A_PLACE),
    ("JPEG", "film behind"): behind(FILM),
    ("PNG", "exif"): in_png(b"eXIf", TIFF),
    ("PNG", "xmp"): in_png(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    ("PNG", "compressed xmp"): in_png(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)),
    ("PNG", "text"): in_png(b"tEXt", b"Comment\0GPS 51.4778 N"),
    ("PNG", "raw exif"): in_png(
        b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile(b"exif", exif_of()))
    ),
    ("PNG", "raw iptc"): in_png(b"tEXt", b"Raw profile type iptc\0" + raw_profile(b"iptc", IPTC)),
    ("PNG", "a JPEG behind"): behind(JPEG_WITH_A_PLACE),
    ("PNG", "film behind"): behind(FILM),
    ("WEBP", "exif"): in_webp(b"EXIF", exif_of()),
    ("WEBP", "exif without its name"): in_webp(b"EXIF", TIFF),
    ("WEBP", "xmp"): in_webp(b"XMP ", XMP),
    ("WEBP", "an unknown chunk"): in_webp(b"MINE", XMP),
    ("WEBP", "a JPEG behind"): behind(JPEG_WITH_A_PLACE),
}
SAVED: dict[str, list[dict[str, Any]]] = {
    "JPEG": [
        {"mode": "RGB"},
        {"mode": "L"},
        {"mode": "CMYK"},
        {"mode": "RGB", "progressive": True},
        {"mode": "RGB", "restart_marker_rows": 1},
        {"mode": "RGB", "icc_profile": b"a profile"},
    ],
    "PNG": [{"mode": mode} for mode in ("RGB", "L", "P", "LA", "RGBA", "1", "I;16")],
    "WEBP": [
        {"mode": "RGB"},
        {"mode": "RGBA"},
        {"mode": "RGB", "lossless": True},
        {"mode": "L", "quality": 20},
    ],
}
STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\0\0\0WEBP")
FILES = [(name, options) for name, all_options in SAVED.items() for options in all_options]


def file_of(format_name: str, options: dict[str, Any], orientation: int) -> bytes:
    own = dict(options)
    if own["mode"] == "I;16":
        file = io.BytesIO()
        Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257).save(
            file, "PNG", exif=exif_of(orientation, has_place=False)
        )
        return file.getvalue()
    return saved(format_name, exif=exif_of(orientation, has_place=False), **own)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(FILES), st.integers(1, 8), st.data())
def test_a_place_is_found_and_goes_while_pixels_and_orientation_stay(
    file: tuple[str, dict[str, Any]], orientation: int, data: st.DataObject
) -> None:
    """Up to three of the ways to tell a place at once, in any order."""
    ways = [way for name, way in HIDDEN if name == file[0]]
    chosen = data.draw(st.lists(st.sampled_from(ways), min_size=1, max_size=3, unique=True))
    if "second still" in chosen:  # Pillow writes that file anew, so it comes first
        chosen.sort(key=lambda way: way != "second still")
    picture = file_of(*file, orientation)
    assert not tells_place(picture)
    for way in chosen:
        picture = HIDDEN[file[0], way](picture)
    before = open_picture(picture, max_mpx=1)
    assert tells_place(picture), chosen
    clean = without_metadata(picture, orientation=before.orientation)
    after = open_picture(clean, max_mpx=1)
    assert not tells_place(clean)
    assert not Image.open(io.BytesIO(clean)).getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert after.orientation == before.orientation
    assert np.array_equal(after.pixels, before.pixels)
    assert without_metadata(clean, orientation=after.orientation) == clean


@pytest.mark.parametrize(("format_name", "way"), HIDDEN)
def test_nothing_of_what_told_the_place_is_left_in_the_bytes(format_name: str, way: str) -> None:
    clean = without_metadata(HIDDEN[format_name, way](saved(format_name)), orientation=1)
    for word in (b"GPS", b"Greenwich", b"51.4778", b"made up", b"ftyp", b"Exif", struct.pack("<II", 51, 1)):
        assert word not in clean


def test_only_the_first_still_and_no_index_of_the_others_is_left() -> None:
    clean = without_metadata(second_still(saved("JPEG")), orientation=1)
    assert clean.count(b"\xff\xd8\xff") == 1
    assert b"MPF" not in clean
    assert getattr(Image.open(io.BytesIO(clean)), "n_frames", 1) == 1


def test_a_picture_that_moves_keeps_its_first_frame() -> None:
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    for format_name in ("PNG", "WEBP"):
        file = io.BytesIO()
        frames[0].save(file, format_name, save_all=True, append_images=frames[1:], exif=exif_of(6))
        before = open_picture(file.getvalue(), max_mpx=1)
        clean = without_metadata(file.getvalue(), orientation=6)
        assert not tells_place(clean)
        assert np.array_equal(open_picture(clean, max_mpx=1).pixels, before.pixels)


@pytest.mark.parametrize(("format_name", "options"), FILES)
def test_a_colour_profile_stays_and_so_does_a_clean_png(format_name: str, options: dict[str, Any]) -> None:
    if "icc_profile" in options:
        clean = without_metadata(saved(format_name, **options), orientation=1)
        assert Image.open(io.BytesIO(clean)).info["icc_profile"] == b"a profile"
    data = encode_png(PIXELS)
    assert without_metadata(data, orientation=1) == data


def test_a_jpeg_whose_end_is_missing_gets_one() -> None:
    data = in_jpeg(jpeg_segment(0xE1, exif_of()))(saved("JPEG"))
    clean = without_metadata(data.removesuffix(b"\xff\xd9"), orientation=1)
    assert clean == saved("JPEG")


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\0\0\0WEBP"]), st.binary(max_size=300)
)
def test_hostile_bytes_are_walked_to_an_end(start: bytes, rest: bytes) -> None:
    for data in (start + rest, start + rest + TIFF + rest):
        assert tells_place(data) in (True, False)
        assert isinstance(without_metadata(data, orientation=6), bytes)


def test_directories_that_name_each_other_are_walked_to_an_end() -> None:
    """The next directory of this TIFF block is itself."""
    assert not tells_place(b"\xff\xd8\xff" + struct.pack("<2sHIHI", b"II", 42, 8, 0, 8))
