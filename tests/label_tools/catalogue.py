"""Every export among the records: the tool's call that wrote it, and how the objects were drawn in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.label_tools.environments import TOOLS

WRITTEN_ON: Final = "30 November 2026"


@dataclass(frozen=True)
class Export:
    """One folder of the records.

    Attributes:
        folder: Its name.
        title: What a person chooses in the tool, or calls.
        drawn_as: What the objects are in the tool.
        call: The code that wrote it.
    """

    folder: str
    title: str
    drawn_as: str
    call: str


@dataclass(frozen=True)
class ToolExports:
    """The exports of one tool.

    Attributes:
        name: Of the tool, for people.
        package: What `pip` calls it.
        exports: In the order of the tables.
    """

    name: str
    package: str
    exports: tuple[Export, ...]

    @property
    def version(self) -> str:
        """The version that is pinned."""
        asked = [tool.lock.with_suffix(".in").read_text(encoding="utf-8") for tool in TOOLS]
        pinned = re.search(rf"^{re.escape(self.package)}==(.+)$", "\n".join(asked), re.MULTILINE)
        assert pinned, self.package
        return pinned[1]


_CONVERT: Final = "Converter(config, …).convert(tasks, folder, {})"
_LABEL_STUDIO: Final = ToolExports(
    "Label Studio",
    "label-studio-sdk",
    (
        Export("label-studio-json-brush", "JSON", "brush", "tasks, brush by `mask2rle`"),
        Export("label-studio-json-polygons", "JSON", "polygons", "tasks"),
        Export("label-studio-json-two-annotators", "JSON", "brush, two annotators", "tasks"),
        Export(
            "label-studio-json-bitmask",
            "JSON",
            "bitmask",
            "tasks, each value checked by `BitmaskLabelsValue`",
        ),
        Export("label-studio-json-min-brush", "JSON-MIN", "brush", _CONVERT.format("JSON_MIN")),
        Export("label-studio-json-min-polygons", "JSON-MIN", "polygons", _CONVERT.format("JSON_MIN")),
        Export(
            "label-studio-json-min-two-annotators",
            "JSON-MIN",
            "brush, two annotators",
            _CONVERT.format("JSON_MIN"),
        ),
        Export("label-studio-coco-polygons", "COCO", "polygons", _CONVERT.format("COCO_WITH_IMAGES")),
        Export(
            "label-studio-coco-polygons-and-brush",
            "COCO",
            "edge a polygon, the rest brush",
            _CONVERT.format("COCO_WITH_IMAGES"),
        ),
        Export("label-studio-coco-brush", "COCO", "brush", _CONVERT.format("COCO_WITH_IMAGES")),
        Export(
            "label-studio-coco-two-annotators",
            "COCO",
            "polygons, two annotators",
            _CONVERT.format("COCO_WITH_IMAGES"),
        ),
        Export("label-studio-brush-to-coco", "BRUSH_TO_COCO", "brush", _CONVERT.format("BRUSH_TO_COCO")),
        Export("label-studio-yolo-polygons", "YOLO", "polygons", _CONVERT.format("YOLO_WITH_IMAGES")),
        Export("label-studio-json-photo", "JSON", "polygon", "tasks"),
        Export("label-studio-json-photo-brush", "JSON", "brush", "tasks, brush by `mask2rle`"),
        Export("label-studio-coco-photo", "COCO", "polygon", _CONVERT.format("COCO_WITH_IMAGES")),
        Export(
            "label-studio-brush-to-coco-photo", "BRUSH_TO_COCO", "brush", _CONVERT.format("BRUSH_TO_COCO")
        ),
    ),
)
_EXPORT: Final = "Dataset.export(folder, {})"
_DATUMARO: Final = ToolExports(
    "Datumaro",
    "datumaro",
    (
        Export("datumaro-json-masks", "datumaro", "masks", _EXPORT.format("'datumaro'")),
        Export("datumaro-json-from-mixed", "datumaro", "COCO, mixed", _EXPORT.format("'datumaro'")),
        Export("datumaro-cvat-masks", "cvat", "masks", _EXPORT.format("'cvat'")),
        Export("datumaro-cvat-from-mixed", "cvat", "COCO, mixed", _EXPORT.format("'cvat'")),
        Export(
            "datumaro-coco-from-mixed", "coco_instances", "COCO, mixed", _EXPORT.format("'coco_instances'")
        ),
        Export("datumaro-coco-from-rle", "coco_instances", "COCO, RLE", _EXPORT.format("'coco_instances'")),
        Export(
            "datumaro-coco-masks",
            "coco_instances",
            "masks without is_crowd",
            _EXPORT.format("'coco_instances'"),
        ),
        Export(
            "datumaro-coco-masks-that-say-crowd",
            "coco_instances",
            "masks with is_crowd",
            _EXPORT.format("'coco_instances'"),
        ),
        Export(
            "datumaro-coco-masks-as-masks",
            "coco_instances, segmentation_mode mask",
            "masks with is_crowd",
            _EXPORT.format("'coco_instances', segmentation_mode='mask'"),
        ),
        Export(
            "datumaro-coco-polygons-mode",
            "coco_instances, segmentation_mode polygons",
            "masks with is_crowd",
            _EXPORT.format("'coco_instances', segmentation_mode='polygons'"),
        ),
        Export(
            "datumaro-voc-masks",
            "voc_instance_segmentation",
            "masks",
            _EXPORT.format("'voc_instance_segmentation'"),
        ),
        Export("datumaro-labelme-xml-masks", "label_me", "masks", _EXPORT.format("'label_me'")),
        Export("datumaro-labelme-xml-from-mixed", "label_me", "COCO, mixed", _EXPORT.format("'label_me'")),
        Export("datumaro-cityscapes-masks", "cityscapes", "masks", _EXPORT.format("'cityscapes'")),
        Export(
            "datumaro-yolo-ultralytics-from-mixed",
            "yolo_ultralytics",
            "COCO, mixed",
            _EXPORT.format("'yolo_ultralytics'"),
        ),
        Export("datumaro-coco-photo", "coco_instances", "polygon", _EXPORT.format("'coco_instances'")),
    ),
)
_FROM_COCO: Final = "DetectionDataset.from_coco(…, force_masks=True)"
_SUPERVISION: Final = ToolExports(
    "supervision",
    "supervision",
    (
        Export("supervision-coco-from-mixed", "as_coco", "COCO, mixed", f"{_FROM_COCO}.as_coco"),
        Export("supervision-coco-from-rle", "as_coco", "COCO, RLE", f"{_FROM_COCO}.as_coco"),
        Export(
            "supervision-coco-of-detections",
            "as_coco",
            "Detections with masks",
            "DetectionDataset(…).as_coco",
        ),
        Export("supervision-yolo", "as_yolo", "COCO, RLE", f"{_FROM_COCO}.as_yolo"),
        Export("supervision-labelme", "as_labelme", "COCO, RLE", f"{_FROM_COCO}.as_labelme"),
        Export("supervision-voc", "as_pascal_voc", "COCO, RLE", f"{_FROM_COCO}.as_pascal_voc"),
    ),
)
_SLICE: Final = "slice_coco(…, slice_height=80, slice_width=100, overlap 0)"
_SAHI: Final = ToolExports(
    "sahi",
    "sahi",
    (
        Export("sahi-slices-of-mixed", "slice_coco", "COCO, mixed", _SLICE),
        Export("sahi-slices-of-rle", "slice_coco", "COCO, RLE", _SLICE),
        Export("sahi-coco-of-mixed", "Coco.json", "COCO, mixed", "Coco.from_coco_dict_or_path(…).json"),
        Export("sahi-coco-of-rle", "Coco.json", "COCO, RLE", "Coco.from_coco_dict_or_path(…).json"),
    ),
)
_SUPERVISELY: Final = ToolExports(
    "Supervisely",
    "supervisely",
    (
        Export("supervisely-project-bitmaps", "project", "bitmaps", "Project.create_dataset, add_item_np"),
        Export("supervisely-project-polygons", "project", "polygons", "Project.create_dataset, add_item_np"),
        Export("supervisely-coco-bitmaps", "COCO", "bitmaps", "sly_ds_to_coco"),
        Export("supervisely-coco-polygons", "COCO", "polygons", "sly_ds_to_coco"),
    ),
)
_LABELME: Final = ToolExports(
    "labelme",
    "labelme",
    (
        Export("labelme-masks", "JSON", "masks", "_label_file.write_label_file"),
        Export("labelme-polygons", "JSON", "polygons", "_label_file.write_label_file"),
        Export("labelme-photo", "JSON", "polygon", "_label_file.write_label_file"),
    ),
)
_FIFTYONE: Final = ToolExports(
    "FiftyOne",
    "fiftyone",
    (
        Export("fiftyone-coco-from-mixed", "COCO", "COCO, mixed", "COCOObject.to_detection, from_label"),
        Export("fiftyone-coco-from-rle", "COCO", "COCO, RLE", "COCOObject.to_detection, from_label"),
    ),
)
CATALOGUE: Final = (_LABEL_STUDIO, _LABELME, _DATUMARO, _SUPERVISELY, _FIFTYONE, _SUPERVISION, _SAHI)
READERS: Final = {
    "supervision-reads": ("supervision", "`DetectionDataset.from_coco`"),
    "datumaro-reads": ("Datumaro", "`coco_instances`, with the pictures in `images/` beside `annotations/`"),
    "fiftyone-reads": ("FiftyOne", "`COCOObject.to_detection`"),
    "supervisely-reads": ("Supervisely", "its importer of COCO"),
    "sahi-reads": ("sahi", "`Coco`, `slice_coco`"),
    "label-studio-reads": ("Label Studio", "`convert_coco_to_ls`"),
}
"""Folders with what tools had of maskloop's own COCO: the tool, and how it read it."""
EXPORT_READERS: Final = {
    "supervision-reads-coco": ("coco", "supervision", "`DetectionDataset.from_coco`"),
    "datumaro-reads-coco": ("coco", "Datumaro", "`coco_instances`"),
    "fiftyone-reads-fiftyone": ("fiftyone", "FiftyOne", "`COCOObject.to_detection`"),
    "datumaro-reads-datumaro": ("datumaro", "Datumaro", "`datumaro`"),
    "labelme-reads-labelme": ("labelme", "labelme", "`_label_file.read_label_file`"),
    "label-studio-reads-label-studio": ("label-studio", "Label Studio", "its SDK's `decode_rle`"),
    "supervision-reads-yolo": ("yolo", "supervision", "`DetectionDataset.from_yolo`"),
}
"""Folders with what tools had of maskloop's exports: ``--format``, the tool, and how it read it."""
