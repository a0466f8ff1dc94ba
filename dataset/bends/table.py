"""The table of bends: one row for each thing that labelling tools' exports do to masks."""

from __future__ import annotations

from typing import Final

from dataset.bends.borders import (
    fill_inclusively,
    find_filled_holes,
    find_masks_off_by_half,
    find_short_masks,
    move_by_half,
    open_holes,
)
from dataset.bends.crowds import find_classes_of_crowds, find_crowds_by_shape, read_crowds_as_objects
from dataset.bends.evidence import Bend
from dataset.bends.figures import find_areas_of_boxes, find_boxes_for_masks, find_contradictions
from dataset.bends.losses import find_dropped_objects, find_lost_pixels, find_objects_in_parts, restore_pixels

BENDS: Final = (
    Bend(
        "masks-one-pixel-short",
        "warning",
        find_short_masks,
        "OpenCV's findContours gives the centres of border pixels where COCO expects the pixels' edges; "
        "Label Studio's brush export, datumaro, supervision and Supervisely write polygons so",
        "export the masks as RLE, or let --mend fill them to the last pixel. A hole or part that the export "
        "lost stays lost",
        fill_inclusively,
        "filled to the last pixel at right and below",
    ),
    Bend(
        "masks-half-a-pixel-off",
        "warning",
        find_masks_off_by_half,
        "scikit-image's find_contours counts from the centre of the first pixel where COCO counts from its "
        "edge; FiftyOne writes masks so",
        "export the masks as RLE, or let --mend move them",
        move_by_half,
        "moved by half a pixel to the right and down",
    ),
    Bend(
        "polygon-inside-polygon",
        "warning",
        find_filled_holes,
        "supervision and FiftyOne write the contour of a hole as one more polygon",
        "export objects with holes as RLE, or let --mend take the inner polygons out",
        open_holes,
        "inner polygons are holes",
    ),
    Bend(
        "class-of-crowds",
        "warning",
        find_classes_of_crowds,
        "datumaro and CVAT mark every mask as a crowd",
        "read them as objects with --mend or --crowds-are-instances",
        read_crowds_as_objects,
        "read as single objects",
        is_told=False,
    ),
    Bend(
        "crowds-by-shape",
        "warning",
        find_crowds_by_shape,
        "supervision marks every mask with a hole or several parts as a crowd; crowd regions are not learned",
        "if each is one object, let --mend read them so; if each holds many, say --crowds-are-regions",
        read_crowds_as_objects,
        "read as single objects",
    ),
    Bend(
        "pixel-lost",
        "warning",
        find_lost_pixels,
        "datumaro, supervision and FiftyOne drop contours of fewer than three points",
        "let --mend give the pixel back, or remove the speck in the tool; else its picture is left out",
        restore_pixels,
        "restored from area and box",
    ),
    Bend(
        "masks-are-boxes",
        "warning",
        find_boxes_for_masks,
        "SAHI replaces each RLE by its bounding box, and box labels can be converted to polygons",
        "fine if the objects are upright rectangles; else take the labels from the tool that drew them",
    ),
    Bend(
        "area-contradicts-mask",
        "warning",
        find_contradictions,
        "the mask was changed after its area and box were written, or the pictures were scaled",
        "look at the example: a hole or a part may be missing. Areas and boxes are taken from the masks",
    ),
    Bend(
        "area-is-the-boxs",
        "info",
        find_areas_of_boxes,
        "FiftyOne writes it so",
        "nothing; areas are taken from the masks",
    ),
    Bend(
        "object-in-parts",
        "warning",
        find_objects_in_parts,
        "Label Studio's brush export and Supervisely write each part of an object as an annotation",
        "join them in the labelling tool. Parts of one object that share no number and do not touch "
        "cannot be told from several objects",
    ),
    Bend(
        "objects-dropped",
        "warning",
        find_dropped_objects,
        "Label Studio's COCO export leaves brush labels out and keeps the picture, which teaches that its "
        "objects are background",
        "fine if the pictures show no object; if any was painted, ingest Label Studio's own JSON. Brush "
        "labels beside polygons of one picture are missing too, which the file does not show",
    ),
)
"""In the order in which they are looked for and mended."""
