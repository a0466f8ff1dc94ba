"""Who labels the demo's pictures in the labelling tool: a stand-in for a person, who knows what was drawn."""

from __future__ import annotations

import json
from collections import ChainMap, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from dataset.coco.document import read_coco
from dataset.labelling.drawings import list_drawings
from dataset.labelling.label_studio_api import LabelStudioApi
from dataset.labelling.label_studio_form import write_region
from dataset.labelling.port import DrawnInstance, LabellingTool, PlacedTask
from maskloop.digest import digest_bytes
from maskloop.errors import ConfigurationError
from maskloop.files import write_text
from maskloop.settings.labelling_settings import LabellingSettings

Drawn = Mapping[PlacedTask, Sequence[DrawnInstance]]
"""What the annotator drew, by task."""

_LABELS_FILE: Final = "stand-in-annotator.json"


@dataclass(frozen=True)
class StandInAnnotator:
    """Labels pictures as a person would, through the tool's own files or HTTP interface.

    Attributes:
        truth: What the generator drew, by the digest of the picture's file.
        submit: Enters what was drawn into the tool.
    """

    truth: Mapping[str, Sequence[DrawnInstance]]
    submit: Callable[[Drawn], None]

    def label(self, tool: LabellingTool) -> int:
        """Label every task that nobody has finished yet; returns how many these were."""
        tasks = tool.list_tasks()
        unknown = [one for one in tasks if one.num_finished is None]
        finished = {one.task_id for one in tasks if one.num_finished}
        finished |= {annotation.task_id for annotation in tool.pull(unknown)}
        drawn = {
            one: self.truth[one.picture_digest]
            for one in tasks
            if one.task_id not in finished and one.picture_digest in self.truth
        }
        self.submit(drawn)
        return len(drawn)


def employ_annotator(truth: Sequence[Path], settings: LabellingSettings, root: Path) -> StandInAnnotator:
    """Return an annotator for the tool of the settings.

    Args:
        truth: What the generator drew, batch by batch, see `read_truth`.
        settings: Of the workspace.
        root: Of the workspace.

    Raises:
        ConfigurationError: if it is a tool that the annotator cannot work in.
    """
    if settings.tool == "folder":
        submit = partial(submit_to_folder, root / settings.folder)
    elif settings.tool != "label-studio":
        raise ConfigurationError(
            f"the demo's stand-in annotator works in a folder or in Label Studio, not in {settings.tool}",
            where="labelling.tool",
            hint='set it to "folder" or "label-studio"',
        )
    else:
        submit = partial(submit_to_label_studio, LabelStudioApi(settings.url, settings.token_variable))
    known = ChainMap(*map(read_truth, truth))
    return StandInAnnotator(known, submit)


def read_truth(file: Path) -> dict[str, Sequence[DrawnInstance]]:
    """Return what pictures show, by the digest of their files.

    Args:
        file: As `dataset.synthetic.generation.generate` writes it, with ``images/`` beside it.
    """
    images_dir = file.parent / "images"
    return {
        digest_bytes((images_dir / name).read_bytes()): drawing.instances
        for name, drawing in list_drawings(read_coco(file)).items()
    }


def submit_to_folder(root: Path, drawn: Drawn) -> None:
    """Write a COCO file into the ``labels/`` of each request, as if a tool had exported it.

    Args:
        root: The folder of all requests.
        drawn: What was drawn; at least one object in each picture.
    """
    by_request: dict[str, dict[PlacedTask, Sequence[DrawnInstance]]] = defaultdict(dict)
    for task, instances in drawn.items():
        by_request[task.request_id][task] = instances
    for request_id, own in by_request.items():
        folder = root / request_id
        write_text(folder / "labels" / _LABELS_FILE, json.dumps(_to_coco(folder / "images", own)))


def submit_to_label_studio(api: LabelStudioApi, drawn: Drawn) -> None:
    """Submit one annotation for each task, with a brush region for each object."""
    for task, instances in drawn.items():
        regions = [write_region(number, one, "brush") for number, one in enumerate(instances, start=1)]
        api.post(f"/api/tasks/{task.task_id}/annotations/", json={"result": regions})


def _to_coco(images_dir: Path, drawn: Drawn) -> dict[str, Any]:
    names = sorted({one.class_name for instances in drawn.values() for one in instances})
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    files = {file.stem: file.name for file in images_dir.iterdir()}
    for number, (task, instances) in enumerate(drawn.items(), start=1):
        mask = instances[0].mask
        name = files[task.task_id.rpartition("/")[2]]
        images.append({"id": number, "file_name": name, "width": mask.width_px, "height": mask.height_px})
        annotations += [
            {
                "id": len(annotations) + at,
                "image_id": number,
                "category_id": 1 + names.index(one.class_name),
                "segmentation": one.mask.to_coco(),
                "iscrowd": 0,
            }
            for at, one in enumerate(instances, start=1)
        ]
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}
