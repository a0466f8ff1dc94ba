"""A world whose pictures are labelled in a fake Label Studio, behind the real adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.labelled_pictures import LabelledPicture
from dataset.labelling.label_studio import LabelStudio
from dataset.labelling.label_studio_api import LabelStudioApi
from dataset.labelling.port import DrawnInstance, PlacedTask
from flows.labelling.pull import pull_labels
from flows.labelling.push import push_labels
from maskloop.digest import digest_bytes
from maskloop.masks import decode_masks, encode_masks
from maskloop.records.kinds import ChosenPicture, LabelsPulled, LabelsRequested, name_request, write_record
from tests.fakes.feedback import answer_was_sampled, labelled
from tests.fakes.label_studio_server import LEGACY_TOKEN, FakeLabelStudio
from tests.fakes.labelling_benches import StudioBench
from tests.fakes.loop_world import World
from tests.fakes.model_ports import CLASS_NAMES, draw_picture


@dataclass
class LabellingWorld:
    """One workspace, its server, and the people who label."""

    world: World
    server: FakeLabelStudio = field(default_factory=FakeLabelStudio)
    pictures: dict[int, bytes] = field(default_factory=dict)
    """By number: what was asked for, as it was received."""

    api: LabelStudioApi | None = None
    """Of a real server, in the place of the fake one."""
    title: str = "maskloop mask-rcnn"

    def __post_init__(self) -> None:
        api = self.api or LabelStudioApi("http://studio", "STUDIO_TOKEN", transport=self.server.transport)
        self.tool = LabelStudio(api, title=self.title)
        self.bench = StudioBench(self.tool, api)
        self.world.labelling_tool = self.tool

    @classmethod
    def made(cls, root: Path, monkeypatch: pytest.MonkeyPatch, *, settings: str = "") -> LabellingWorld:
        monkeypatch.setenv("STUDIO_TOKEN", LEGACY_TOKEN)
        world = World(root, settings=settings)
        world.label(range(12))
        return cls(world)

    def ask(self, *numbers: int, source: str = "belt", cycle: str = "", orientation: int = 1) -> str:
        """Request labels of production pictures; returns the request's id."""
        chosen = []
        for number in numbers:
            sample = f"s{number}"
            data = answer_was_sampled(
                self.world, sample, number=number, source=source, orientation=orientation
            )
            self.pictures[number] = data
            digest = digest_bytes(data)
            chosen.append(
                ChosenPicture(sample_id=sample, picture_digest=digest, source=source, reason="it is dark")
            )
        request_id = name_request(chosen)
        record = LabelsRequested(request_id=request_id, cause="production drifted", chosen=tuple(chosen))
        write_record(self.world.ledger, record, cycle_id=cycle)
        return request_id

    def task(self, number: int) -> PlacedTask:
        digest = digest_bytes(self.pictures[number])
        (own,) = [one for one in self.tool.list_tasks() if one.picture_digest == digest]
        return own

    def label(self, number: int, instances: Sequence[DrawnInstance] | None = None, *, by: int = 1) -> None:
        """Let a person submit what is in a picture, or other instances."""
        self.bench.submit(self.task(number), truth(number) if instances is None else instances, by=by)

    def accept(self, number: int) -> None:
        self.bench.accept(self.task(number))

    def labels_of(self, number: int) -> LabelledPicture:
        return labelled(self.world, self.pictures[number])

    def is_labelled(self, number: int) -> bool:
        version = self.world.data.current()
        digest = digest_bytes(self.pictures[number])
        return version is not None and digest in {one.digest for one in version.pictures}

    @property
    def content(self) -> list[dict[str, Any]]:
        """What the server's tasks hold."""
        return [task["data"] for task in self.server.tasks.values()]


def truth(number: int) -> tuple[DrawnInstance, ...]:
    """What a picture shows."""
    return tuple(DrawnInstance(CLASS_NAMES[one.class_index], one.mask) for one in draw_picture(number)[1])


def shrunk(instances: Sequence[DrawnInstance], rows: int) -> tuple[DrawnInstance, ...]:
    """The same objects without their lowest rows of the ten."""
    masks = decode_masks([one.mask for one in instances])
    masks[:, 13 - rows :] = False
    return tuple(
        DrawnInstance(one.class_name, mask) for one, mask in zip(instances, encode_masks(masks), strict=True)
    )


def stretched(number: int) -> tuple[DrawnInstance, ...]:
    """Objects that were drawn on a picture of twice the size."""
    masks = np.kron(decode_masks([one.mask for one in truth(number)]), np.ones((1, 2, 2), dtype=bool))
    return tuple(DrawnInstance("bolt", mask) for mask in encode_masks(masks))


def pushed(labelling: LabellingWorld, *numbers: int, **options: str) -> str:
    """Ask for pictures, push them to the tool, and return the id of the request."""
    request = labelling.ask(*numbers, **options)  # type: ignore[arg-type]
    push_labels(labelling.world.app())
    return request


def pull(labelling: LabellingWorld) -> LabelsPulled:
    """Pull what people finished; there is some."""
    (record,) = pull_labels(labelling.world.app())
    return record
