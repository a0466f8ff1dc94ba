"""Label Studio's brush masks: a stream of bits that holds the red, green, blue and alpha of every pixel.

The stream begins with the number of values (32 bits), the bits of a value less one (5), and the four sizes,
less one, that lengths may have (4 each). Then come pieces: one bit that says whether one value is repeated,
two bits that choose the size of the length, the length less one, and the value, or that many values.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maskloop.errors import MaskError
from maskloop.masks import MAX_AREA_PX, Rle, decode_masks, encode_masks

_CHANNELS: Final = 4
_VALUE_BITS: Final = 8
_HEAD_BYTES: Final = 7
_WINDOW_BYTES: Final = 8
_LENGTH_BITS: Final = (3, 4, 8, 16)


def read_brush(stream: Any, height_px: int, width_px: int) -> Rle:
    """Read one brush mask. Pixels with at least half of the greatest alpha belong to it.

    Args:
        stream: Whole numbers from 0 to 255, as they stand in the JSON.
        height_px: Of the picture that was labelled.
        width_px: Of the same.

    Raises:
        MaskError: if the stream is broken, or is for a picture of another size.
    """
    if not isinstance(stream, list) or not all(type(byte) is int and 0 <= byte <= 255 for byte in stream):
        raise MaskError("a brush mask is a list of whole numbers from 0 to 255")
    num_values = height_px * width_px * _CHANNELS
    if not 0 < num_values <= MAX_AREA_PX * _CHANNELS:
        raise MaskError(f"a brush mask of {width_px} x {height_px} px is impossible or too large")
    alpha_HW = decode_brush(bytes(stream), num_values).reshape(height_px, width_px, _CHANNELS)[..., 3]
    threshold = max(1, (int(alpha_HW.max()) + 1) // 2)
    return encode_masks(alpha_HW[None] >= threshold)[0]


def write_brush(mask: Rle) -> list[int]:
    """Write one brush mask as a stream: 255 in all channels where it is, 0 elsewhere."""
    pixels = decode_masks([mask])[0].ravel()
    ends = [0, *(np.flatnonzero(pixels[1:] != pixels[:-1]) + 1).tolist(), pixels.size]
    pieces = [format(pixels.size * _CHANNELS, "032b"), format(_VALUE_BITS - 1, "05b")]
    pieces += [format(size - 1, "04b") for size in _LENGTH_BITS]
    for start, end in pairwise(ends):
        value = format(255 * int(pixels[start]), "08b")
        left = (end - start) * _CHANNELS
        while left:
            length = min(left, 2 ** _LENGTH_BITS[-1])
            choice = next(number for number, size in enumerate(_LENGTH_BITS) if length <= 2**size)
            pieces.append(f"1{choice:02b}{length - 1:0{_LENGTH_BITS[choice]}b}{value}")
            left -= length
    bits = "".join(pieces)
    num_bytes = -(-len(bits) // 8)
    return list(int(bits.ljust(8 * num_bytes, "0"), 2).to_bytes(num_bytes, "big"))


def decode_brush(data: bytes, num_values: int) -> NDArray[np.uint8]:
    """Return the values of a stream, uint8 (N,). Raises MaskError if it is broken or holds another number."""
    head = int.from_bytes(data[:_HEAD_BYTES], "big")
    if len(data) < _HEAD_BYTES:
        raise MaskError("the brush mask is cut off before its first value")
    told = head >> (8 * _HEAD_BYTES - 32)
    if told != num_values:
        raise MaskError(
            f"the brush mask has {told} values, not the {num_values} of its picture: it was drawn on one of "
            "another size"
        )
    if (head >> (8 * _HEAD_BYTES - 37) & 31) + 1 != _VALUE_BITS:
        raise MaskError("the brush mask's values are not of 8 bits")
    sizes = [(head >> (8 * _HEAD_BYTES - 41 - 4 * number) & 15) + 1 for number in range(4)]
    values, at, position = bytearray(num_values), 0, 53
    padded = data + bytes(_WINDOW_BYTES)  # so that a window at the end is whole
    while at < num_values:
        window = int.from_bytes(padded[position >> 3 : (position >> 3) + _WINDOW_BYTES], "big")
        rest = 8 * _WINDOW_BYTES - (position & 7) - 3
        is_repeated, size = window >> rest & 4, sizes[window >> rest & 3]
        rest -= size
        length = (window >> rest & ((1 << size) - 1)) + 1
        end, position = at + length, position + 3 + size
        if end > num_values or position + _VALUE_BITS * (1 if is_repeated else length) > 8 * len(data):
            raise MaskError("the brush mask is cut off, or runs beyond its picture")
        value = window >> (rest - _VALUE_BITS) & 255
        if length == 1:
            values[at] = value
        elif not is_repeated:
            values[at:end] = _bytes_at(padded, position, length)
        elif value:
            values[at:end] = bytes((value,)) * length
        at, position = end, position + _VALUE_BITS * (1 if is_repeated else length)
    return np.frombuffer(values, np.uint8)


def _bytes_at(data: bytes, position: int, num_bytes: int) -> bytes:
    """Return the bytes that begin at a bit, which may lie in the middle of one."""
    first, skip = divmod(position, 8)
    whole = np.frombuffer(data, np.uint8, num_bytes + 1, first)
    return ((whole[:-1] << skip) | (whole[1:].astype(np.uint16) >> (8 - skip)).astype(np.uint8)).tobytes()
