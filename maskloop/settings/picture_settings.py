"""How pictures of more than 8 bits or of other bands become 8-bit RGB, and how videos are answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from maskloop.settings.sections import Count, Section


class PictureSettings(Section):
    """One conversion for all pictures: of the data, and of what their models are asked about.

    At most one of ``depth_bits``, ``value_range`` and ``window`` may be stated. Without any, unsigned 16-bit
    values are read over their full range, and other values of more than 8 bits are refused.
    """

    depth_bits: Annotated[int, Field(ge=1, le=16)] | None = None
    """The bits that a camera fills: 12 reads the values 0 to 4095 from black to white."""
    value_range: tuple[float, float] | None = None
    """What becomes black, and what becomes white."""
    window: tuple[float, float] | None = None
    """The same as centre and width, as radiologists say it (DICOM's function LINEAR_EXACT)."""
    bands: tuple[Count, ...] = ()
    """Numbers of the bands that become red, green and blue, counted from 1; or of one that becomes grey."""
    page: Count | None = None
    """Which page of a TIFF or frame of a DICOM file is read, counted from 1."""
    nodata: float | None = None
    """A value where nothing was measured; it becomes black."""

    @property
    def states_range(self) -> bool:
        """Whether it is said which values become black and white."""
        return any(stated is not None for stated in (self.depth_bits, self.value_range, self.window))

    @field_validator("bands")
    @classmethod
    def _bands_are_grey_or_rgb(cls, bands: tuple[int, ...]) -> tuple[int, ...]:
        if len(bands) not in (0, 1, 3):
            raise ValueError("name three bands, for red, green and blue, or one for grey")
        return bands

    @model_validator(mode="after")
    def _there_is_one_range_and_it_is_not_empty(self) -> PictureSettings:
        stated = [name for name in ("depth_bits", "value_range", "window") if getattr(self, name) is not None]
        if len(stated) > 1:
            raise ValueError(f"{' and '.join(stated)} say the same thing; keep one of them")
        if self.value_range and not self.value_range[0] < self.value_range[1]:
            raise ValueError("value_range names what becomes black, then what becomes white: [low, high]")
        if self.window and not self.window[1] > 0.0:
            raise ValueError("window is [centre, width], and the width is above 0")
        return self


class VideoSettings(Section):
    """How `maskloop video` follows instances, smooths their masks, and takes samples."""

    smoothing_frames: Annotated[int, Field(ge=0)] = 3
    """Frames before and behind each that take part in smoothing; 0 tells what was measured."""
    lost_s: Annotated[float, Field(ge=0.0)] = 1.0
    """How long an object may stay unseen until its track ends."""
    sample_gap_s: Annotated[float, Field(ge=0.0)] = 10.0
    """The least time between two frames that become production samples; 0: none does."""
