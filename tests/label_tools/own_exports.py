"""The scene as `maskloop data export` writes it, for the tools to read.

python -m tests.label_tools.own_exports    # write tests/records/exports anew
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

from dataset.exports.table import WRITERS
from dataset.exports.version_export import export_version
from dataset.labelled_pictures import DatasetVersion, LabelledInstance, LabelledPicture
from maskloop.masks import encode_masks
from tests.fakes.exported import stored
from tests.label_tools.environments import RECORDS
from tests.label_tools.scene import CATEGORIES, EMPTY, HEIGHT_PX, OBJECTS, SCENE, WIDTH_PX

OWN_EXPORTS: Final = RECORDS.parent / "exports"


def write_exports(folder: Path) -> None:
    """Write the scene in every format, each into a folder of its name."""
    with tempfile.TemporaryDirectory() as root:
        version = _scene_version(Path(root))
        for writer in WRITERS:
            export_version(version, writer, folder / writer.key, accepts_losses=True)


def _scene_version(root: Path) -> DatasetVersion:
    classes = tuple(CATEGORIES.values())
    instances = [
        LabelledInstance(
            list(CATEGORIES).index(drawn.category_id), encode_masks(drawn.mask()[None])[0], drawn.is_crowd
        )
        for drawn in OBJECTS
    ]
    pictures = (_picture(root, SCENE, instances), _picture(root, EMPTY, []))
    return DatasetVersion("data-v1", "f" * 64, "m", "c", classes, pictures, root)


def _picture(root: Path, name: str, instances: list[LabelledInstance]) -> LabelledPicture:
    data = (RECORDS / "pictures" / name).read_bytes()
    return stored(root, data, name, (HEIGHT_PX, WIDTH_PX), instances)


if __name__ == "__main__":
    shutil.rmtree(OWN_EXPORTS, ignore_errors=True)
    write_exports(OWN_EXPORTS)
