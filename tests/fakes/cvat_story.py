"""One walk through everything that maskloop asks a CVAT server, for comparison with its schema."""

from __future__ import annotations

from dataset.labelling.cvat import Cvat
from dataset.labelling.cvat_api import CvatApi
from dataset.labelling.port import DrawnInstance, LabelTask
from maskloop.digest import digest_bytes
from maskloop.masks import encode_masks
from tests.fakes.label_scene import CLASSES, HEIGHT_PX, SCENE, WIDTH_PX, scene_png
from tests.fakes.labelling_benches import CvatBench


def scene_task(seed: int) -> LabelTask:
    """A picture with every object of the scene as the model's answer."""
    picture = scene_png(seed)
    instances = tuple(
        DrawnInstance(one.class_name, encode_masks(one.mask[None])[0], one.is_crowd, score=0.75)
        for one in SCENE
    )
    size, digest = (HEIGHT_PX, WIDTH_PX), digest_bytes(picture)
    return LabelTask(f"s{seed}", digest, picture, ".png", size, "belt", "r1", "drift", "dark", "7", instances)


def walk_through(api: CvatApi) -> Cvat:
    """Push, label in every way, look, push again after a death, and pull."""
    tool = Cvat(api, title="maskloop scene", pictures_per_job=2)
    tool.open_project(CLASSES)
    dying = iter(tool.add_tasks([scene_task(0)]))
    next(dying)
    del dying  # it has uploaded a picture
    list(tool.add_tasks([scene_task(seed) for seed in range(3)]))
    bench = CvatBench(tool, api)
    first, _, third = tool.list_tasks()
    bench.accept(first)
    bench.submit(first, scene_task(0).pre_labels[:2], by=2)
    bench.submit(third, ())
    bench.redraw(first, scene_task(0).pre_labels[1:])
    list(tool.pull(tool.list_tasks()))
    tool.fetch_picture(first)
    bench.delete(third)
    tool.list_tasks()
    return tool
