"""What lies in `data/`: pictures under their digest, and one ordinary COCO file any tool can open.

``images/3f/3f….png`` and ``instances.json``. COCO has no place for splits, groups and sources, so each image
carries them under ``maskloop``; other tools ignore that. The file's bytes depend on its content alone: one
record a line, everything sorted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from dataset.labelled_pictures import Catalog as Catalog
from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from dataset.origin import Origin, read_origin
from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from maskloop.digest import canonical_json, digest_bytes, digest_value
from maskloop.errors import IntegrityError, NotFoundError
from maskloop.files import write_bytes
from maskloop.masks import Rle, areas_px, boxes_xyxy
from maskloop.memory import collector_paused
from maskloop.schema import refuse_newer

ANNOTATIONS_FILE: Final = "instances.json"
SCHEMA_VERSION: Final = 1
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_ENCODER: Final = msgspec.json.Encoder(order="sorted")
"""Writes records as `canonical_json` does."""


def picture_file(digest: str, extension: str) -> str:
    """Return where a picture lies, relative to the data folder.

    >>> picture_file("3fa1", ".png")
    'images/3f/3fa1.png'
    """
    return f"images/{digest[:2]}/{digest}{extension}"


def read_picture_file(path: Path) -> bytes:
    """Return the bytes of a version's picture, which are what its name says.

    Raises:
        IntegrityError: if they are not: disks alter bytes without telling.
        OSError: if there is no such file.
    """
    data = path.read_bytes()
    if _DIGEST.fullmatch(path.stem) and digest_bytes(data) != path.stem:
        raise IntegrityError(
            "the file of a picture was altered since it was taken in",
            where=str(path),
            hint="`maskloop data verify TAG --mend` brings it back, from data/ or from the remote",
        )
    return data


@collector_paused()
def fingerprint(class_names: Sequence[str], pictures: Iterable[LabelledPicture]) -> str:
    """Return the sha256 of what a model could learn from: classes, pictures, splits, instances.

    The order of pictures and instances does not count, nor do file names and the history of versions.
    """
    content = [
        (
            picture.digest,
            picture.height_px,
            picture.width_px,
            picture.source,
            picture.group,
            picture.split,
            picture.label_origin,
            [
                (class_index, counts.decode("ascii"), is_crowd)
                for class_index, counts, is_crowd in sorted(map(_instance_key, picture.instances))
            ],
        )
        for picture in sorted(pictures, key=lambda picture: picture.digest)
    ]
    return digest_value({"classes": list(class_names), "pictures": content})


@collector_paused()
def in_order(catalog: Catalog, known: Iterable[LabelledPicture] = ()) -> Catalog:
    """Return a catalog as it reads after it was written: pictures and their instances sorted.

    Args:
        catalog: In any order.
        known: Pictures that are in order already.
    """
    sorted_already = set(map(id, known))
    pictures = sorted(catalog.pictures, key=lambda picture: picture.digest)
    return replace(
        catalog,
        pictures=tuple(one if id(one) in sorted_already else _sorted_instances(one) for one in pictures),
    )


def _sorted_instances(picture: LabelledPicture) -> LabelledPicture:
    return replace(picture, instances=tuple(sorted(picture.instances, key=_instance_key)))


@collector_paused()
def write_catalog(root: Path, catalog: Catalog) -> None:
    """Write ``root/instances.json``, atomically. Raises StorageError."""
    pictures = sorted(catalog.pictures, key=lambda picture: picture.digest)
    images: list[bytes] = []
    annotations: list[bytes] = []
    for number, picture in enumerate(pictures, start=1):
        record = _image_record(number, picture, catalog.difference_hashes[picture.digest])
        images.append(_ENCODER.encode(record))
        records = annotation_records(picture, number, first_id=len(annotations) + 1)
        annotations += map(_ENCODER.encode, _with_origins(records, picture))
    categories = [
        _ENCODER.encode({"id": number, "name": name})
        for number, name in enumerate(catalog.class_names, start=1)
    ]
    info: dict[str, Any] = {"description": "written by maskloop", "schema_version": SCHEMA_VERSION}
    if catalog.conversion != DEFAULT_CONVERSION:
        info["conversion"] = catalog.conversion.to_json()
    lists = {"annotations": annotations, "categories": categories, "images": images}
    body = b",\n".join(
        b'"%s":[\n%s\n]' % (name.encode(), b",\n".join(lines)) for name, lines in lists.items()
    )
    write_bytes(root / ANNOTATIONS_FILE, b'{"info":%s,\n%s}\n' % (canonical_json(info).encode(), body))


@collector_paused()
def read_catalog(root: Path) -> Catalog:
    """Read ``root/instances.json``, as `write_catalog` wrote it.

    Masks were checked when they came in and are not checked again: compare digests or `fingerprint` with
    what was recorded before using them.

    Raises:
        NotFoundError: if there is no such file.
        ConfigurationError: if a newer maskloop has written it.
        IntegrityError: if it is not what `write_catalog` writes.
    """
    path = root / ANNOTATIONS_FILE
    try:
        content = msgspec.json.decode(path.read_bytes())
        version = content["info"]["schema_version"]
        refuse_newer(version, SCHEMA_VERSION, what="the catalog of a data version", where=str(path))
        instances: dict[int, list[LabelledInstance]] = {image["id"]: [] for image in content["images"]}
        origins = {image["id"]: read_origin(image["maskloop"].get("origin")) for image in content["images"]}
        for record in content["annotations"]:
            instances[record["image_id"]].append(_instance(record, origins[record["image_id"]]))
        pictures = tuple(_picture(image, instances[image["id"]]) for image in content["images"])
        hashes = {
            image["maskloop"]["digest"]: int(image["maskloop"]["look"], 16) for image in content["images"]
        }
        names = tuple(category["name"] for category in content["categories"])
        conversion = PictureConversion.from_json(content["info"].get("conversion", {}))
        return Catalog(names, pictures, hashes, conversion)
    except FileNotFoundError as error:
        raise NotFoundError("this folder holds no data version", where=str(root)) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(
            f"the catalog is damaged: {error!r}", where=str(path), hint="restore the version it belongs to"
        ) from error


def _instance_key(instance: LabelledInstance) -> tuple[int, bytes, bool]:
    return instance.class_index, instance.mask.counts, instance.is_crowd


def _image_record(number: int, picture: LabelledPicture, difference_hash: int) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": picture.file,
        "width": picture.width_px,
        "height": picture.height_px,
        "maskloop": {
            "digest": picture.digest,
            "name": picture.name,
            "source": picture.source,
            "group": picture.group,
            "split": picture.split,
            "added_in": picture.added_in,
            "label_origin": picture.label_origin,
            "look": f"{difference_hash:016x}",
            **({"mended": list(picture.mended)} if picture.mended else {}),
            **({"origin": picture.origin.to_json()} if picture.origin else {}),
        },
    }


def _with_origins(records: Sequence[dict[str, Any]], picture: LabelledPicture) -> list[dict[str, Any]]:
    """Add to each record its instance's origin where that is not the picture's; empty: it is not known."""
    if all(one.origin == picture.origin for one in picture.instances):
        return [*records]
    instances = sorted(picture.instances, key=_instance_key)
    return [
        record
        if one.origin == picture.origin
        else {**record, "origin": one.origin.to_json() if one.origin else {}}
        for record, one in zip(records, instances, strict=True)
    ]


def annotation_records(picture: LabelledPicture, image_id: int, *, first_id: int) -> list[dict[str, Any]]:
    """Return a picture's instances as COCO's annotations with RLE, in an order that their content decides."""
    instances = sorted(picture.instances, key=_instance_key)
    masks = [instance.mask for instance in instances]
    boxes, areas = boxes_xyxy(masks).astype(int).tolist(), areas_px(masks).tolist()
    return [
        {
            "id": first_id + number,
            "image_id": image_id,
            "category_id": instance.class_index + 1,
            "iscrowd": int(instance.is_crowd),
            "segmentation": instance.mask.to_coco(),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": area,
        }
        for number, (instance, (x0, y0, x1, y1), area) in enumerate(zip(instances, boxes, areas, strict=True))
    ]


def _instance(record: Mapping[str, Any], origin: Origin | None) -> LabelledInstance:
    """Read an instance; ``origin`` is the picture's."""
    height, width = record["segmentation"]["size"]
    mask = Rle(height, width, record["segmentation"]["counts"].encode("ascii"))
    own = read_origin(record["origin"]) if "origin" in record else origin
    return LabelledInstance(record["category_id"] - 1, mask, bool(record["iscrowd"]), own)


def _picture(image: Mapping[str, Any], instances: Sequence[LabelledInstance]) -> LabelledPicture:
    own = image["maskloop"]
    return LabelledPicture(
        digest=own["digest"],
        file=image["file_name"],
        name=own["name"],
        width_px=image["width"],
        height_px=image["height"],
        source=own["source"],
        group=own["group"],
        split=own["split"],
        added_in=own["added_in"],
        label_origin=own.get("label_origin", "human"),
        instances=tuple(instances),
        mended=tuple(own.get("mended", ())),
        origin=read_origin(own.get("origin")),
    )
