"""What lies in `data/`: pictures under their digest, and ordinary COCO files any tool can open.

``images/3f/3f….png`` and ``instances.json``; from 5,000 pictures on also ``instances-002.json`` and so on, so
that a batch changes few of them. COCO has no place for splits, groups and sources, so each image carries them
under ``maskloop``; other tools ignore that. A file's bytes depend on its content alone: one record a line,
everything sorted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from dataset.labelled_pictures import Catalog as Catalog
from dataset.labelled_pictures import LabelledInstance, LabelledPicture, LabelOrigin, Split
from dataset.origin import Origin, read_origin
from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from maskloop.digest import canonical_json, digest_bytes
from maskloop.errors import IntegrityError, NotFoundError
from maskloop.files import write_bytes
from maskloop.masks import Rle, areas_px, boxes_xyxy
from maskloop.memory import collector_paused
from maskloop.schema import refuse_newer

ANNOTATIONS_FILE: Final = "instances.json"
SCHEMA_VERSION: Final = 2
"""1: one file; 2: several."""
PICTURES_PER_FILE: Final = 5_000
"""An ingest writes the last file of a catalog anew, and those with pictures that it relabels."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_ENCODER: Final = msgspec.json.Encoder(order="sorted")
"""Writes records as `canonical_json` does."""


class _Mask(msgspec.Struct, gc=False):
    size: tuple[int, int]
    counts: str


class _Annotation(msgspec.Struct, gc=False):
    image_id: int
    category_id: int
    iscrowd: int
    segmentation: _Mask
    origin: Any = msgspec.UNSET


class _Own(msgspec.Struct, gc=False):
    """What an image has under ``maskloop``."""

    digest: str
    name: str
    source: str
    group: str
    split: Split
    added_in: str
    look: str
    label_origin: LabelOrigin = "human"
    mended: tuple[str, ...] = ()
    origin: Any = None


class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str
    width: int
    height: int
    maskloop: _Own


class _Category(msgspec.Struct, gc=False):
    name: str


class _Whole(msgspec.Struct):
    """A catalog whose long lists are not read yet: a newer schema may have others."""

    info: dict[str, Any]
    annotations: msgspec.Raw
    images: msgspec.Raw
    categories: list[_Category]


_read_whole: Final = msgspec.json.Decoder(_Whole).decode
_read_images: Final = msgspec.json.Decoder(list[_Image]).decode
_read_annotations: Final = msgspec.json.Decoder(list[_Annotation]).decode


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
    hashed = hashlib.sha256(b'{"classes":%s,"pictures":[' % _ENCODER.encode(list(class_names)))
    separator = b""
    for picture in sorted(pictures, key=_digest_of):
        instances = picture.instances
        keys = sorted(map(_instance_key, instances)) if len(instances) > 1 else map(_instance_key, instances)
        content = (
            picture.digest,
            picture.height_px,
            picture.width_px,
            picture.source,
            picture.group,
            picture.split,
            picture.label_origin,
            [(class_index, counts.decode("ascii"), is_crowd) for class_index, counts, is_crowd in keys],
        )
        hashed.update(separator + _ENCODER.encode(content))
        separator = b","
    hashed.update(b"]}")
    return hashed.hexdigest()


@collector_paused()
def in_order(catalog: Catalog, known: Iterable[LabelledPicture] = ()) -> Catalog:
    """Return a catalog as it reads after it was written: pictures and their instances sorted.

    Args:
        catalog: In any order.
        known: Pictures that are in order already.
    """
    sorted_already = set(map(id, known))
    pictures = sorted(catalog.pictures, key=_digest_of)
    return replace(
        catalog,
        pictures=tuple(one if id(one) in sorted_already else _sorted_instances(one) for one in pictures),
    )


def _sorted_instances(picture: LabelledPicture) -> LabelledPicture:
    return replace(picture, instances=tuple(sorted(picture.instances, key=_instance_key)))


@collector_paused()
def write_catalog(root: Path, catalog: Catalog, *, before: Catalog | None = None) -> Catalog:
    """Write a catalog's files into a folder, each atomically; those that are as they were are not written.

    Args:
        root: The folder.
        catalog: What to write.
        before: The catalog that the pictures of this one came from, as `read_catalog` or this returned it.

    Returns:
        The catalog with its files.

    Raises:
        StorageError: if a file could not be written.
    """
    arranged = arrange_files(catalog.pictures, before.files if before else ())
    schema_version = 1 if len(arranged) == 1 else SCHEMA_VERSION
    kept = _kept_files(catalog, arranged, before) if before else frozenset()
    for number, pictures in enumerate(arranged):
        if number not in kept:
            write_bytes(root / catalog_file(number), _written(catalog, pictures, schema_version))
    return replace(catalog, files=tuple(tuple(one.digest for one in pictures) for pictures in arranged))


def catalog_file(number: int) -> str:
    """Return the name of a catalog's file, counted from 0.

    >>> catalog_file(0), catalog_file(1)
    ('instances.json', 'instances-002.json')
    """
    return f"instances-{number + 1:03}.json" if number else ANNOTATIONS_FILE


def arrange_files(
    pictures: Iterable[LabelledPicture], before: Sequence[Sequence[str]]
) -> list[list[LabelledPicture]]:
    """Say which picture is in which file: where it was; new ones in the last file while it has room. Pure.

    Args:
        pictures: All of them, in any order.
        before: Digests of the pictures in each file before.

    Returns:
        The pictures of each file, sorted by digest; one file or more.
    """
    left = {picture.digest: picture for picture in pictures}
    arranged = [[left.pop(digest) for digest in digests if digest in left] for digests in before]
    arranged = [some for some in arranged if some]
    new = sorted(left.values(), key=_digest_of)
    if arranged and len(arranged[-1]) < PICTURES_PER_FILE:
        room = PICTURES_PER_FILE - len(arranged[-1])
        arranged[-1] += new[:room]
        new = new[room:]
    arranged += [new[start : start + PICTURES_PER_FILE] for start in range(0, len(new), PICTURES_PER_FILE)]
    return [sorted(some, key=_digest_of) for some in arranged] or [[]]


def _kept_files(
    catalog: Catalog, arranged: Sequence[Sequence[LabelledPicture]], before: Catalog
) -> frozenset[int]:
    """Return the numbers of the files that hold what they held."""
    is_other = (catalog.class_names, catalog.conversion) != (before.class_names, before.conversion)
    if is_other or (len(arranged) > 1) != (len(before.files) > 1):
        return frozenset()
    unchanged = set(map(id, before.pictures))
    return frozenset(
        number
        for number, (pictures, digests) in enumerate(zip(arranged, before.files, strict=False))
        if len(pictures) == len(digests) and all(id(picture) in unchanged for picture in pictures)
    )


def _written(catalog: Catalog, pictures: Sequence[LabelledPicture], schema_version: int) -> bytes:
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
    info: dict[str, Any] = {"description": "written by maskloop", "schema_version": schema_version}
    if catalog.conversion != DEFAULT_CONVERSION:
        info["conversion"] = catalog.conversion.to_json()
    lists = {"annotations": annotations, "categories": categories, "images": images}
    body = b",\n".join(
        b'"%s":[\n%s\n]' % (name.encode(), b",\n".join(lines)) for name, lines in lists.items()
    )
    return b'{"info":%s,\n%s}\n' % (canonical_json(info).encode(), body)


@collector_paused()
def read_catalog(root: Path) -> Catalog:
    """Read the files of a catalog, as `write_catalog` wrote them.

    Masks were checked when they came in and are not checked again: compare digests or `fingerprint` with
    what was recorded before using them.

    Raises:
        NotFoundError: if there is no such file.
        ConfigurationError: if a newer maskloop has written it.
        IntegrityError: if it is not what `write_catalog` writes.
    """
    if not (root / ANNOTATIONS_FILE).is_file():
        raise NotFoundError("this folder holds no data version", where=str(root))
    parts: list[Catalog] = []
    while (path := root / catalog_file(len(parts))).is_file():
        parts.append(_read_file(path))
    first, hashes = parts[0], dict[str, int]()
    for part in parts:
        hashes |= part.difference_hashes
    pictures = [picture for part in parts for picture in part.pictures]
    files = tuple(tuple(one.digest for one in part.pictures) for part in parts)
    ordered = first.pictures if len(parts) == 1 else tuple(sorted(pictures, key=_digest_of))
    return Catalog(first.class_names, ordered, hashes, first.conversion, files)


def _read_file(path: Path) -> Catalog:
    try:
        whole = _read_whole(path.read_bytes())
        version = whole.info["schema_version"]
        refuse_newer(version, SCHEMA_VERSION, what="the catalog of a data version", where=str(path))
        images = _read_images(whole.images)
        instances: dict[int, list[LabelledInstance]] = {image.id: [] for image in images}
        origins = {image.id: read_origin(image.maskloop.origin) for image in images}
        for one in _read_annotations(whole.annotations):
            instances[one.image_id].append(_instance(one, origins[one.image_id]))
        pictures = tuple(_picture(image, instances[image.id], origins[image.id]) for image in images)
        hashes = {image.maskloop.digest: int(image.maskloop.look, 16) for image in images}
        conversion = PictureConversion.from_json(whole.info.get("conversion", {}))
        return Catalog(tuple(one.name for one in whole.categories), pictures, hashes, conversion)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(
            f"the catalog is damaged: {error!r}", where=str(path), hint="restore the version it belongs to"
        ) from error


def _digest_of(picture: LabelledPicture) -> str:
    return picture.digest


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


def _instance(one: _Annotation, origin: Origin | None) -> LabelledInstance:
    """Read an instance; ``origin`` is the picture's."""
    height, width = one.segmentation.size
    mask = Rle(height, width, one.segmentation.counts.encode("ascii"))
    own = origin if one.origin is msgspec.UNSET else read_origin(one.origin)
    return LabelledInstance(one.category_id - 1, mask, one.iscrowd != 0, own)


def _picture(image: _Image, instances: Sequence[LabelledInstance], origin: Origin | None) -> LabelledPicture:
    own = image.maskloop
    return LabelledPicture(
        digest=own.digest,
        file=image.file_name,
        name=own.name,
        width_px=image.width,
        height_px=image.height,
        source=own.source,
        group=own.group,
        split=own.split,
        added_in=own.added_in,
        label_origin=own.label_origin,
        instances=tuple(instances),
        mended=own.mended,
        origin=origin,
    )
