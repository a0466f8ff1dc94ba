"""Pictures decoded in a child process that may die: pixels come in shared memory.

A native decoder fed with hostile bytes may crash, compute for ever or take all the memory. Here that costs
one picture. A machine that is merely busy costs none: a child is ready before a picture's clock starts, its
computing time is what is limited, and a picture whose child died or did not answer is tried in a fresh one.
"""

from __future__ import annotations

import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.pictures.child_process import ChildFailedError, ChildProcess, receive, send
from dataset.pictures.decoding import DecodedPicture, sniff_format, values_of
from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from dataset.raw.raw_file import EXTENSION, MAX_DIRECTORY_BYTES
from dataset.raw.raw_picture import MAX_BYTES_PER_PX
from maskloop.digest import canonical_json
from maskloop.errors import MaskloopError, PictureError, UnavailableError

REQUEST: Final = struct.Struct(">QBBH")
"""To the child: the file's number of bytes, how it is wanted, whether the file lies in the shared memory, and
the length of the conversion, which follows as JSON. A file that does not lie there comes behind it."""
AS_STORED, UPRIGHT, AS_VALUES = 0, 1, 2
"""How a picture is wanted: pixels as the file stores them, turned upright, or for `decoding.values_of`."""
ANSWER: Final = struct.Struct(">IIBBBHQ")
"""From the child: height, width, orientation, bits used, number of frames, and the number of bytes that
follow: none with a picture, which lies in the shared memory; otherwise why there is no picture. Last, the
number of bytes behind the picture in the shared memory: of what is kept instead of the file, if anything."""
_MAX_SHARED_FILE_BYTES: Final = 2**26
_MAX_REASON_BYTES: Final = 2000


@dataclass(frozen=True)
class DecodingLimits:
    """What a child may use.

    Attributes:
        max_mpx: Larger pictures are refused before they are decoded, in million px.
        cpu_s: Computing time for one picture, which no load on the machine can use up; whole seconds.
        timeout_s: Until a child that neither answers nor computes is given up.
        memory_mb: For one picture and the libraries; MiB.
        max_frames: A file with more is refused; 0 for any number.
    """

    max_mpx: float = 25.0
    cpu_s: float = 20.0
    timeout_s: float = 120.0
    memory_mb: int = 2048
    max_frames: int = 0

    @property
    def file_bytes(self) -> int:
        """Size of the largest file that is put into the shared memory."""
        return max(3 * int(self.max_mpx * 1e6), _MAX_SHARED_FILE_BYTES)

    @property
    def shared_bytes(self) -> int:
        """Size of the shared memory: the largest file, or the largest picture and what is kept of it.

        Untouched pages cost nothing.
        """
        picture_bytes = (3 + MAX_BYTES_PER_PX) * int(self.max_mpx * 1e6) + MAX_DIRECTORY_BYTES
        return max(picture_bytes, self.file_bytes)


class SandboxedDecoder:
    """Decodes outside bytes in one long-lived child process with limited memory and time.

    A decoder that crashes, computes too long or asks for too much memory costs that one picture: the child is
    replaced for the next. May be shared between threads: `open` decodes one picture after the other.

    Args:
        limits: What a child may use.
        conversion: How values that are no 8-bit RGB become it.

    >>> from dataset.pictures.decoding import encode_png
    >>> with SandboxedDecoder(DecodingLimits(max_mpx=1.0)) as decoder:
    ...     decoder.open(encode_png(np.zeros((2, 3, 3), np.uint8))).pixels.shape
    (2, 3, 3)
    """

    def __init__(self, limits: DecodingLimits, conversion: PictureConversion = DEFAULT_CONVERSION) -> None:
        self._limits, self._conversion = limits, conversion
        self._child: Child | None = None
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> SandboxedDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, data: bytes, *, apply_orientation: bool = True) -> DecodedPicture:
        """Do what `open_picture` does, in the child; if that fails, once more in another child.

        Raises:
            PictureError: if the picture is refused, or costs both children.
            UnavailableError: if no child can be started, or neither answers in time.
        """
        return self._open(data, UPRIGHT if apply_orientation else AS_STORED)

    def open_values(self, data: bytes) -> NDArray[np.uint32]:
        """Return the numbers that a picture stores, uint32 (H, W), see `values_of`. Raises as `open` does."""
        return values_of(self._open(data, AS_VALUES).pixels)

    def _open(self, data: bytes, how: int) -> DecodedPicture:
        _, extension = sniff_format(data)
        with self._one_at_a_time:
            try:
                return self._ask(data, how, extension)
            except ChildFailedError as first:
                if first.exceeded_cpu:
                    raise name_failure(first, self._limits) from first
            try:
                return self._ask(data, how, extension)
            except ChildFailedError as second:
                raise name_failure(second, self._limits) from second

    @property
    def is_running(self) -> bool:
        """A child is there and lives."""
        return self._child is not None and self._child.is_running

    def start(self) -> Child:
        """Start the child if none lives, so that no picture waits for that. Blocking."""
        if self._child is None or not self.is_running:
            self._stop()
            self._child = Child(self._limits)
        return self._child

    def close(self) -> None:
        """Stop the child. The next picture starts another."""
        with self._one_at_a_time:
            self._stop()

    def _ask(self, data: bytes, how: int, extension: str) -> DecodedPicture:
        child = self.start()
        deadline_s = time.monotonic() + self._limits.timeout_s
        try:
            send(child.socket, _pack(data, how, self._conversion), deadline_s)
            answer = ChildAnswer(*ANSWER.unpack(receive(child.socket, ANSWER.size, deadline_s)))
            answer.refuse(receive(child.socket, answer.num_bytes, deadline_s))
            return child.take(answer, extension)
        except (OSError, EOFError) as error:
            self._child = None
            raise child.failed(error) from error

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child:
            child.stop()


@dataclass(frozen=True)
class ChildAnswer:
    """The fields of `ANSWER`."""

    height_px: int
    width_px: int
    orientation: int
    bits_used: int
    num_frames: int
    num_bytes: int
    num_stored_bytes: int

    @property
    def num_pixel_bytes(self) -> int:
        """Size of the picture."""
        return 3 * self.height_px * self.width_px

    def refuse(self, reason: bytes | bytearray) -> None:
        """Raise PictureError if the child has said why there is no picture."""
        if reason:
            raise to_refusal(reason)


class Child(ChildProcess):
    """One child process, ready for pictures. Raises UnavailableError if it does not get ready."""

    module = "dataset.pictures.sandbox_child"

    def __init__(self, limits: DecodingLimits) -> None:
        self._file_bytes = limits.file_bytes
        told = (limits.max_mpx, limits.memory_mb, limits.max_frames, limits.cpu_s)
        super().__init__(told, limits.shared_bytes)

    def put(self, data: bytes, conversion: PictureConversion) -> bytes:
        """Write a file into the memory that the picture will replace; return the request to the child.

        Raises:
            PictureError: if it is too large.
        """
        if len(data) > self._file_bytes:
            raise PictureError(f"the file has more than the {self._file_bytes / 1e6:g} MB that are read")
        self._memory[: len(data)] = data
        stated = _pack_conversion(conversion)
        return REQUEST.pack(len(data), UPRIGHT, True, len(stated)) + stated

    def take(self, answer: ChildAnswer, extension: str) -> DecodedPicture:
        """Copy the picture out of the shared memory, which the next one is put into.

        Raises:
            EOFError: if no picture can be as the child says: something else speaks through it.
        """
        num_bytes = answer.num_pixel_bytes + answer.num_stored_bytes
        if num_bytes > len(self._memory) or answer.orientation not in range(1, 9):
            raise EOFError("the child says what cannot be")
        shared = np.frombuffer(self._memory, np.uint8, answer.num_pixel_bytes)
        pixels = shared.reshape(answer.height_px, answer.width_px, 3).copy()
        stored = self._memory[answer.num_pixel_bytes : num_bytes] if answer.num_stored_bytes else None
        return DecodedPicture(
            pixels,
            EXTENSION if stored else extension,
            answer.orientation,
            answer.bits_used,
            answer.num_frames,
            stored,
        )


def to_refusal(reason: bytes | bytearray) -> PictureError:
    """Return the error that `refusal_bytes` made these bytes of."""
    headline, _, hint = reason.decode(errors="replace").partition("\0")
    return PictureError(headline or "the picture is broken", hint=hint)


def refusal_bytes(refusal: PictureError) -> bytes:
    """Return what the child sends: the headline and the hint."""
    return f"{refusal.headline}\0{refusal.hint}".encode()[:_MAX_REASON_BYTES]


def name_failure(failure: ChildFailedError, limits: DecodingLimits) -> MaskloopError:
    """Return the error of a picture whose child has failed: its own fault, or the machine's."""
    if failure.exceeded_cpu:
        return PictureError(f"decoding the picture took more than {limits.cpu_s:g} s of computing time")
    if failure.timed_out:
        return UnavailableError(
            f"decoding a picture was not over after {limits.timeout_s:g} s",
            hint="the machine may be busy; try again later",
        )
    return PictureError("decoding the picture crashed or ran out of memory")


def _pack(data: bytes, how: int, conversion: PictureConversion) -> bytes:
    stated = _pack_conversion(conversion)
    return REQUEST.pack(len(data), how, False, len(stated)) + stated + data


def _pack_conversion(conversion: PictureConversion) -> bytes:
    return canonical_json(conversion.to_json()).encode("ascii")
