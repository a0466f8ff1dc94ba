"""A person who works with CVAT's own client: looks at what was pushed, draws, and makes a task of their own.

    python -m tests.label_tools.cvat_client ADDRESS TOKEN FOLDER    # within the environment of cvat-sdk

FOLDER holds ``draw.json``, masks by class as rows of 0 and 1, which are drawn into the first frame in place
of what is there, and ``own.png``, a picture for the task of their own. ``seen.json`` is written: the masks of
the first frame as they were, and the values of its tags.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from cvat_sdk import make_client, models
from cvat_sdk.masks import decode_mask, encode_mask


def main(address: str, token: str, folder: Path) -> None:
    with make_client(address, access_token=token) as client:
        client.config.status_check_period = 0.01
        (project,) = client.projects.list()
        labels = {label.name: label for label in project.get_labels()}
        names = {label.id: name for name, label in labels.items()}
        (task,) = client.tasks.list()
        frame = task.get_meta().frames[0]
        job = min(task.get_jobs(), key=lambda one: one.start_frame)
        held = job.get_annotations()
        size = {"image_width": frame.width, "image_height": frame.height}
        shapes = [one for one in held.shapes if one.frame == 0]
        masks = [
            [names[one.label_id], decode_mask(one.points, **size).astype(int).tolist()] for one in shapes
        ]
        told = [value.value for tag in held.tags if tag.frame == 0 for value in tag.attributes]
        seen = {
            "frame": frame.name,
            "masks": masks,
            "told": told,
            "sources": [one.source for one in shapes],
        }
        (folder / "seen.json").write_text(json.dumps(seen))
        drawn = [
            models.LabeledShapeRequest(
                type="mask", frame=0, label_id=labels[name].id, points=encode_mask(np.array(rows, dtype=bool))
            )
            for name, rows in json.loads((folder / "draw.json").read_text())
        ]
        job.set_annotations(models.LabeledDataRequest(shapes=drawn, tags=[], tracks=[]))
        job.update(models.PatchedJobWriteRequest(state="completed"))
        client.tasks.create_from_data(
            models.TaskWriteRequest(name="my own", project_id=project.id), [folder / "own.png"]
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
