import contextlib
import io
from importlib import import_module

import numpy as np
import pytest
from PIL import Image

from dataset.pictures.decoding import decode_picture, open_picture, values_of
from dataset.pictures.location import tells_place
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from dataset.raw.formats import RAW_FORMATS, RawFormat, find_raw_format
from maskloop.errors import PictureError
from tests.fakes.field_pictures import GEOTIFF, HEIC, dicom, geotiff_values, heic_pixels, tiff

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (24, 31, 3), dtype=np.uint8)
GREY_16 = RANDOM.integers(0, 65536, (24, 31), dtype=np.uint16)


def read(data, **stated):
    """Open a file as it comes in, and make sure that what is kept of it shows the same."""
    opened = open_picture(data, max_mpx=1, conversion=PictureConversion(**stated))
    assert opened.stored is not None
    assert opened.extension == ".tif"
    assert np.array_equal(decode_picture(opened.stored, max_mpx=1), opened.pixels)
    return opened


# --- TIFF -------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_a_tiff_of_eight_bits_comes_back_as_it_was(compression, tile):
    data = tiff(RGB, photometric="rgb", compression=compression, tile=tile)
    assert np.array_equal(read(data).pixels, RGB)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_sixteen_bits_keep_their_upper_byte_unless_a_depth_is_stated(byteorder, bigtiff):
    data = tiff(GREY_16, byteorder=byteorder, bigtiff=bigtiff)
    opened = read(data)
    assert np.array_equal(opened.pixels[:, :, 0], GREY_16 >> 8)
    assert opened.bits_used == 16
    twelve = read(tiff(GREY_16 >> 4, byteorder=byteorder, bigtiff=bigtiff), value_range=(0.0, 4096.0))
    assert np.array_equal(twelve.pixels, opened.pixels)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_bands_of_a_geotiff_are_chosen_however_they_are_laid_out(planar):
    bands = RANDOM.integers(0, 10_000, (4, 16, 24), dtype=np.uint16)
    values = np.moveaxis(bands, 0, 2) if planar == "contig" else bands
    data = tiff(values, photometric="minisblack", planarconfig=planar)
    opened = read(data, bands=(3, 2, 1), value_range=(0.0, 10_000.0))
    expected = np.stack([bands[2], bands[1], bands[0]], axis=2).astype(np.int64) * 256 // 10_000
    assert np.array_equal(opened.pixels, expected)
    with pytest.raises(PictureError, match="has 4 bands, and which are red, green and blue was not stated"):
        read(data)


def test_a_geotiff_as_gdal_writes_it_is_read_to_the_value():
    pytest.importorskip("imagecodecs")
    opened = read(GEOTIFF, bands=(3, 2, 1), value_range=(0.0, 10_000.0), nodata=65535.0)
    values = geotiff_values()[:, :, [2, 1, 0]].astype(np.int64)
    assert np.array_equal(opened.pixels, np.where(values == 65535, 0, values * 256 // 10_000))
    with pytest.raises(PictureError, match="nothing was measured where the value is 65535"):
        read(GEOTIFF, bands=(3, 2, 1), value_range=(0.0, 10_000.0))
    assert b"UTM zone 32N" in GEOTIFF
    assert b"UTM" not in (opened.stored or b"")


def test_floating_point_needs_a_range():
    data = tiff(np.array([[-0.5, 0.0, 0.25, 1.0, 9.0, np.nan]], np.float32))
    assert read(data, value_range=(0.0, 1.0)).pixels[0, :, 0].tolist() == [0, 0, 64, 255, 255, 0]
    with pytest.raises(PictureError, match="type float32"):
        read(data)


def test_a_page_is_chosen_by_the_setting_and_never_silently():
    pages = np.stack([np.full((4, 6), level, np.uint8) for level in (10, 20, 30)])
    data = tiff(pages, photometric="minisblack")
    assert set(read(data, page=2).pixels.flat) == {20}
    with pytest.raises(PictureError, match=r"the file has 3 pages, and which one is read.*pictures.page"):
        read(data)
    with pytest.raises(PictureError, match="the file has 3 pages, and page 4 is read"):
        read(data, page=4)


def test_reduced_copies_and_masks_are_no_pages():
    tifffile = pytest.importorskip("tifffile")
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(RGB, photometric="rgb")
        file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1)
        file.write(RGB[:, :, 0] > 9, subfiletype=4)
    assert np.array_equal(read(buffer.getvalue()).pixels, RGB)


def test_no_data_of_a_geotiff_has_to_be_stated():
    values = np.array([[[0, 9], [65535, 512]]], np.uint16)[0]
    data = tiff(values, extratags=[(42113, "s", 0, "65535", True)])
    with pytest.raises(PictureError, match="nothing was measured where the value is 65535, as the file says"):
        read(data)
    assert read(data, nodata=65535.0).pixels[:, :, 0].tolist() == [[0, 0], [0, 2]]


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_two_tone_grey_and_palette_tiffs_show_what_pillow_shows(mode):
    buffer = io.BytesIO()
    image = Image.fromarray(RGB).convert(mode)
    image.save(buffer, "TIFF")
    tiff(RGB)  # skips where tifffile is not installed
    assert np.array_equal(read(buffer.getvalue()).pixels, np.asarray(image.convert("RGB")))


def test_a_tiff_in_which_zero_is_white_is_inverted():
    assert read(tiff(np.array([[0, 55]], np.uint8), photometric="miniswhite")).pixels[0, :, 0].tolist() == [
        255,
        200,
    ]


def test_cmyk_is_refused_by_name():
    with pytest.raises(PictureError, match="colours of the TIFF are CMYK"):
        read(tiff(np.zeros((4, 5, 4), np.uint8), photometric="separated"))


def test_the_orientation_of_a_tiff_is_applied_and_kept():
    opened = read(tiff(RGB, photometric="rgb", extratags=[(274, "H", 1, 6, True)]))
    assert opened.orientation == 6
    assert np.array_equal(opened.pixels, np.rot90(RGB, -1))


# --- DICOM ------------------------------------------------------------------------------------


def test_a_film_is_inverted_and_twelve_bits_keep_their_contrast():
    film = dicom(np.array([[0, 1024], [2048, 4095]], np.uint16), "MONOCHROME1")
    assert read(film, value_range=(0.0, 4096.0)).pixels[:, :, 0].tolist() == [[255, 191], [127, 0]]


def test_a_tomogram_is_in_hounsfield_units_and_shown_in_the_stated_window():
    # 24 - 1024 = -1000 (air), 1024 - 1024 = 0 (water), 1164 - 1024 = 140, 2024 - 1024 = 1000 (bone)
    values = np.array([[24, 1024, 1164, 2024]], np.int16)
    data = dicom(values, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=300, WindowWidth=1500)
    opened = read(data, value_range=(-160.0, 240.0))
    assert opened.pixels[0, :, 0].tolist() == [0, 102, 192, 255]
    with pytest.raises(PictureError, match=r"nothing says which values are black and white.*value_range"):
        read(data)


def test_a_slope_is_applied():
    data = dicom(np.array([[0, 100, 200]], np.uint16), RescaleSlope=0.5, RescaleIntercept=10)
    assert read(data, value_range=(10.0, 110.0)).pixels[0, :, 0].tolist() == [0, 128, 255]


def test_the_rescale_of_one_frame_may_stand_in_its_functional_groups():
    pydicom = pytest.importorskip("pydicom")

    def group(intercept):
        rescale, frame = pydicom.Dataset(), pydicom.Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept = 1, intercept
        frame.PixelValueTransformationSequence = [rescale]
        return frame

    frames = np.full((2, 1, 3), 100, np.uint16)
    data = dicom(frames, PerFrameFunctionalGroupsSequence=[group(0), group(100)])
    assert set(read(data, value_range=(0.0, 256.0), page=1).pixels.flat) == {100}
    assert set(read(data, value_range=(0.0, 256.0), page=2).pixels.flat) == {200}
    with pytest.raises(PictureError, match="the file has 2 frames, and which one is read"):
        read(data, value_range=(0.0, 256.0))


@pytest.mark.parametrize(
    ("syntax", "codec", "options"),
    [
        ("1.2.840.10008.1.2.4.70", "ljpeg_encode", {"bitspersample": 12}),
        ("1.2.840.10008.1.2.4.80", "jpegls_encode", {}),
        ("1.2.840.10008.1.2.4.90", "jpeg2k_encode", {"level": 0, "codecformat": "j2k"}),
    ],
    ids=["lossless JPEG", "JPEG-LS", "JPEG 2000"],
)
def test_a_dicom_file_that_is_compressed_without_loss_is_read_to_the_value(syntax, codec, options):
    imagecodecs, pydicom = pytest.importorskip("imagecodecs"), pytest.importorskip("pydicom")
    pytest.importorskip("gdcm")
    values = np.add.outer(np.arange(64) * 60, np.arange(64)).astype(np.uint16)
    file = pydicom.dcmread(io.BytesIO(dicom(values, BitsStored=12, HighBit=11)))
    file.PixelData = pydicom.encaps.encapsulate([getattr(imagecodecs, codec)(values, **options)])
    file["PixelData"].VR, file["PixelData"].is_undefined_length = "OB", True
    file.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    file.save_as(buffer)
    with SandboxedDecoder(DecodingLimits(max_mpx=1), PictureConversion((0.0, 4096.0))) as decoder:
        assert np.array_equal(decoder.open(buffer.getvalue()).pixels[:, :, 0], values >> 4)


def test_colours_of_a_dicom_file_come_back_as_they_were():
    assert np.array_equal(read(dicom(RGB, "RGB")).pixels, RGB)


def test_a_dicom_file_of_a_palette_or_without_a_picture_is_refused_by_name():
    with pytest.raises(PictureError, match="colours of the DICOM file are PALETTE COLOR"):
        read(dicom(np.zeros((2, 2), np.uint8), "PALETTE COLOR"))


# --- HEIC -------------------------------------------------------------------------------------


def test_a_heic_photograph_is_upright_and_close_to_what_was_drawn():
    pytest.importorskip("pi_heif")
    opened = read(HEIC)
    assert opened.orientation == 1
    assert np.abs(opened.pixels.astype(int) - heic_pixels()).mean() < 12


# --- all --------------------------------------------------------------------------------------


def test_nothing_of_a_person_or_a_place_is_kept():
    pytest.importorskip("pi_heif")
    geotiff = tiff(
        GREY_16,
        description="48.14 N 11.58 E, taken by Jane Doe",
        extratags=[(33922, "d", 6, (0, 0, 0, 11.58, 48.14, 0), True), (34737, "s", 0, "UTM zone 32N|", True)],
    )
    for data, secrets in (
        (dicom(GREY_16), (b"Doe^Jane", b"Hospital")),
        (geotiff, (b"Jane Doe", b"48.14", b"UTM zone", np.float64(11.58).tobytes())),
        (HEIC, (b"Exif",)),
    ):
        kept = read(data).stored
        assert kept is not None
        for secret in secrets:
            assert secret in data
            assert secret not in kept
        assert not tells_place(kept)


def test_a_tiff_painted_with_numbers_gives_the_numbers():
    numbers = np.array([[0, 1, 65535]], np.uint16)
    painted = open_picture(tiff(numbers), max_mpx=1, conversion=DEFAULT_CONVERSION, as_values=True)
    assert values_of(painted.pixels).tolist() == [[0, 1, 65535]]
    colours = open_picture(tiff(RGB, photometric="rgb"), max_mpx=1, as_values=True)
    assert np.array_equal(colours.pixels, RGB)
    with pytest.raises(PictureError, match="neither one whole number a pixel nor 8-bit RGB"):
        open_picture(tiff(numbers.astype(np.float32)), max_mpx=1, as_values=True)


def files():
    return {"TIFF": tiff(GREY_16, compression="lzw"), "DICOM": dicom(GREY_16), "HEIC": HEIC}


def test_every_format_is_told_by_its_first_bytes():
    for name, data in files().items():
        found = find_raw_format(data[:256])
        assert found is not None
        assert found.name == name
    assert find_raw_format(b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf") is None
    assert find_raw_format(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic") is not None


@pytest.mark.parametrize("name", ["TIFF", "DICOM", "HEIC"])
def test_its_size_is_refused_by_the_header(name):
    pytest.importorskip("pi_heif")
    with pytest.raises(PictureError, match=r"px, more than the 0\.0001 million accepted"):
        open_picture(files()[name], max_mpx=0.0001, conversion=DEFAULT_CONVERSION)


def test_more_bytes_a_pixel_than_are_accepted_are_refused():
    data = tiff(np.zeros((2, 2, 5), np.float32), photometric="minisblack", planarconfig="contig")
    with pytest.raises(PictureError, match="20 bytes a pixel, more than the 16 accepted"):
        read(data, bands=(1,), value_range=(0.0, 1.0))


def test_a_format_whose_library_is_missing_names_the_extra():
    def reader(data, *, page, max_mpx):
        import_module("no_such_library_at_all")

    one = RawFormat("TIFF", ".tif", "tiff", lambda _data: True, reader)
    with pytest.raises(PictureError, match=r"need the package no_such_library_at_all.*maskloop\[tiff\]"):
        one.read(b"", page=None, max_mpx=1)


def test_every_extra_that_is_named_exists():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())["project"]
    assert {one.extra for one in RAW_FORMATS} <= project["optional-dependencies"].keys()


@pytest.mark.slow
def test_a_truncated_or_damaged_file_costs_one_picture():
    pytest.importorskip("pi_heif")
    whole = np.repeat((GREY_16 >> 8).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
    with SandboxedDecoder(DecodingLimits(max_mpx=1)) as decoder:
        for data in files().values():
            for num_bytes in (len(data) // 3, len(data) // 2, len(data) - 40):
                with pytest.raises(PictureError):
                    decoder.open(data[:num_bytes])
            for at in RANDOM.integers(0, len(data), 15):
                damaged = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
                with contextlib.suppress(PictureError):
                    assert decoder.open(damaged).pixels.dtype == np.uint8
        assert np.array_equal(decoder.open(files()["TIFF"]).pixels, whole)
