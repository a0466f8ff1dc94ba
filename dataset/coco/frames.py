"""In which frame a picture's masks were drawn: on the file as stored, or as its EXIF orientation turns it.

A size that fits one of the two is a sign, not a proof: tools write the stored size beside upright outlines.
So whatever turns or stretches masks is told as a warning, with a way to say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol

from dataset.coco.document import identifier
from dataset.labelled_pictures import LabelledInstance
from dataset.pictures.decoding import orient
from dataset.pictures.orientation import is_sideways
from dataset.problems import DataProblem
from maskloop.masks import decode_masks, encode_masks

Frame = Literal["stored", "upright"]
FRAME_HINT: Final = (
    'say it for the whole batch with --frame stored or --frame upright, or with "frame" in entries of images'
)
_LOOK: Final = "look at the pictures in the report"


class TurnedPicture(Protocol):
    """What has to be known of a picture."""

    @property
    def name(self) -> str:
        """The file name the COCO file gives it."""

    @property
    def width_px(self) -> int:
        """Upright width."""

    @property
    def height_px(self) -> int:
        """Upright height."""

    @property
    def orientation(self) -> int:
        """EXIF orientation, 1-8."""


@dataclass(frozen=True)
class DrawnOn:
    """Where a picture's masks were drawn.

    Attributes:
        frame: On the upright picture, or on the file as it is stored.
        height_px: Of that frame.
        width_px: Of that frame.
        stretch_xy: What the x and y of outlines have to be multiplied with.
        is_guess: Nothing but the size speaks for the frame.
        remarks: What people should know about it.
    """

    frame: Frame
    height_px: int
    width_px: int
    stretch_xy: tuple[float, float] = (1.0, 1.0)
    is_guess: bool = False
    remarks: tuple[DataProblem, ...] = ()


def find_frame(
    record: Mapping[str, Any],
    picture: TurnedPicture,
    *,
    where: str,
    said: Frame | None,
    is_label_studio: bool,
) -> DrawnOn | DataProblem:
    """Find out where a picture's masks were drawn, or say why it cannot be known.

    Args:
        record: Its entry of ``images``; ``width``, ``height`` and ``frame`` count.
        picture: As it was found.
        where: The entry's place.
        said: What a person said about the whole batch; the entry's own ``frame`` counts more.
        is_label_studio: Label Studio wrote the file.
    """
    upright = (picture.width_px, picture.height_px)
    stored = upright[::-1] if is_sideways(picture.orientation) else upright
    size = _side(record.get("width")), _side(record.get("height"))
    fits_upright, fits_stored = _fits(size, upright), _fits(size, stored)
    if not fits_upright and not (fits_stored and picture.orientation != 1):
        return _mismatch(record, picture, where)
    remarks = _told_sizes(record, size, where, picture.name)
    on_upright = DrawnOn("upright", upright[1], upright[0], remarks=remarks)
    if picture.orientation == 1:
        return on_upright
    own = record.get("frame")
    frame = own if own in ("stored", "upright") else said
    if is_label_studio and frame != "stored" and fits_stored and None not in size:
        return _from_label_studio(picture, upright, stored, where)
    if frame == "upright" or (frame is None and fits_upright and not fits_stored):
        return on_upright
    if frame == "stored":
        return DrawnOn("stored", stored[1], stored[0], remarks=remarks)
    if fits_upright:
        message = "EXIF turns the picture, and its size does not tell whether the masks are turned too"
        return DataProblem("error", "orientation-unclear", where, message, FRAME_HINT, picture.name)
    message = (
        "the size is that of the picture before EXIF turns it, so the masks were taken for drawn on that, "
        "and turned with it"
    )
    hint = f"{_LOOK}: if the masks lie beside their objects, ingest with --frame upright"
    turned = DataProblem("warning", "masks-turned", where, message, hint, example=picture.name)
    return DrawnOn("stored", stored[1], stored[0], is_guess=True, remarks=(*remarks, turned))


def leaves_guessed_frame(picture_name: str, where: str) -> DataProblem:
    """Say that an outline leaves the frame that was guessed: it may have been the other one."""
    message = "an outline leaves the picture as stored; it may have been drawn on the upright picture"
    return DataProblem("error", "orientation-unclear", where, message, FRAME_HINT, picture_name)


def _from_label_studio(
    picture: TurnedPicture, upright: tuple[int, int], stored: tuple[int, int], where: str
) -> DrawnOn:
    """Undo what Label Studio does: per cents of the upright picture times the size of the stored one."""
    message = (
        "Label Studio wrote the outlines of a photograph that EXIF turns with its stored size; they were "
        "brought back to the upright picture"
    )
    hint = f"{_LOOK}: if the masks lie beside their objects, ingest with --frame stored"
    told = DataProblem("warning", "label-studio-photo", where, message, hint, example=picture.name)
    stretch = (upright[0] / stored[0], upright[1] / stored[1])
    return DrawnOn("upright", upright[1], upright[0], stretch, remarks=(told,))


def _side(value: Any) -> Any:
    """Return a side in px as a number, however it is spelled; None if it is missing, 0 or less."""
    number = identifier(value)
    if isinstance(number, int):
        return number if number > 0 else None
    return value


def _fits(size: tuple[Any, Any], expected: tuple[int, int]) -> bool:
    return all(told is None or told == side for told, side in zip(size, expected, strict=True))


def _told_sizes(
    record: Mapping[str, Any], size: tuple[Any, Any], where: str, name: str
) -> tuple[DataProblem, ...]:
    if None in size:
        message = "the size is missing or 0; the file's is used"
        return (DataProblem("info", "size-missing", where, message, example=name),)
    if any(isinstance(record.get(side), str) for side in ("width", "height")):
        message = "the size is written as text; it was read as a number"
        return (DataProblem("info", "size-as-text", where, message, example=name),)
    return ()


def _mismatch(record: Mapping[str, Any], picture: TurnedPicture, where: str) -> DataProblem:
    width, height = record.get("width"), record.get("height")
    message = (
        f"the file is {picture.width_px} x {picture.height_px} px, "
        f"the annotations are for {width!r} x {height!r} px"
    )
    hint = "name the folder of the pictures that were labelled; these were scaled, cut or exchanged since"
    return DataProblem("error", "size-mismatch", where, message, hint, picture.name)


def turn_upright(instances: tuple[LabelledInstance, ...], orientation: int) -> tuple[LabelledInstance, ...]:
    """Return instances drawn on the file as stored as they lie on the upright picture.

    Args:
        instances: Of one picture.
        orientation: Its EXIF orientation, 1 to 8.
    """
    if not instances:
        return ()
    masks = encode_masks(orient(decode_masks([instance.mask for instance in instances]), orientation))
    return tuple(replace(instance, mask=mask) for instance, mask in zip(instances, masks, strict=True))
