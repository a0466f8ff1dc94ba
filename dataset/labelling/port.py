"""The port to a labelling tool: pictures go there as tasks, with a model's answers; annotations come back.

All masks here are of the picture as people see it, upright.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from maskloop.masks import Rle


@dataclass(frozen=True, slots=True)
class DrawnInstance:
    """One object of a picture.

    Attributes:
        class_name: What it is.
        mask: Of the upright picture's size.
        is_crowd: A region of many objects that were not outlined one by one.
        score: The model's, 0..1; None for what a person drew.
    """

    class_name: str
    mask: Rle
    is_crowd: bool = False
    score: float | None = None


@dataclass(frozen=True)
class LabelTask:
    """One picture that is to be labelled.

    Attributes:
        sample_id: The production sample that it came with.
        picture_digest: sha256 of the picture as it was received: its identity in the tool.
        picture: The file that people see: as it was received, or a PNG of what browsers cannot show.
        extension: Of that file, e.g. ``.png``.
        size_hw: Height and width of the upright picture in px.
        source: Where it comes from.
        request_id: Which request it belongs to.
        cause: Why labels are asked for.
        reason: Why this picture was chosen.
        model_version: Whose answers the `pre_labels` are.
        pre_labels: What the model found; a person corrects it.
    """

    sample_id: str
    picture_digest: str
    picture: bytes
    extension: str
    size_hw: tuple[int, int]
    source: str
    request_id: str
    cause: str
    reason: str
    model_version: str = ""
    pre_labels: tuple[DrawnInstance, ...] = ()


@dataclass(frozen=True, slots=True)
class PlacedTask:
    """A task as it is in the tool now.

    Attributes:
        task_id: The tool's.
        picture_digest: sha256 of the picture that was pushed; empty for a task that maskloop did not make.
        request_id: The request it was pushed for.
        num_finished: Annotations that people have submitted; None if only reading them tells.
        version: Another text whenever one of these annotations may have been added, changed or removed, and
            known without reading them; empty if the tool does not tell.
    """

    task_id: str
    picture_digest: str
    request_id: str
    num_finished: int | None
    version: str = ""


@dataclass(frozen=True)
class Annotation:
    """What one person made of one task, submitted.

    Attributes:
        task_id: The tool's.
        annotation_id: The tool's.
        annotator: Who drew it; empty if the tool does not tell.
        at: When it was last changed, ISO 8601; empty if the tool does not tell.
        size_hw: Height and width in px of the picture it was drawn on; None if nothing was drawn.
        instances: All objects.
        is_ground_truth: A person marked it as the one that counts.
        is_unchanged: It is the model's answer, mask by mask.
        trouble: Why it cannot be used; empty if it can.
    """

    task_id: str
    annotation_id: str
    annotator: str
    at: str
    size_hw: tuple[int, int] | None
    instances: tuple[DrawnInstance, ...] = ()
    is_ground_truth: bool = False
    is_unchanged: bool = False
    trouble: str = ""


class LabellingTool(Protocol):
    """The port. One contract suite, `tests/contracts/test_labelling_tools.py`, holds for all tools.

    Every method raises UnavailableError if the tool does not answer, and ConfigurationError if it refuses the
    credentials.
    """

    @property
    def name(self) -> str:
        """What the settings call the tool."""
        ...

    def open_project(self, class_names: Sequence[str]) -> str:
        """Find the project, or begin it; return its address without credentials.

        Raises:
            DataError: if the project has other classes.
        """
        ...

    def find_project(self) -> str:
        """Return the project's address without credentials; empty if there is none."""
        ...

    def list_tasks(self) -> Sequence[PlacedTask]:
        """Return all tasks of the project; none if there is no project."""
        ...

    def tell_losses(self, task: LabelTask) -> Sequence[str]:
        """Say what of a task the tool cannot hold, in one sentence each, before it is added."""
        ...

    def add_tasks(self, tasks: Iterable[LabelTask]) -> Iterator[LabelTask]:
        """Add tasks of one request, and yield each that was handed over.

        They are there once the iterator has ended. What a crash leaves half done is harmless, and the next
        call with the same tasks completes it.

        Raises:
            StorageError: if the tool did not take a picture as it is.
        """
        ...

    def pull(self, tasks: Sequence[PlacedTask]) -> Iterator[Annotation]:
        """Yield the submitted annotations of these tasks. A task that was deleted meanwhile has none."""
        ...

    def tell_warnings(self, tasks: Sequence[PlacedTask]) -> Sequence[str]:
        """Say in one sentence each which labels are of no task, and what an export did to the masks."""
        ...

    def fetch_picture(self, task: PlacedTask) -> bytes | None:
        """Return the picture of a task as the tool has it; None if it has it no more."""
        ...


def count_crowds(instances: Sequence[DrawnInstance]) -> int:
    """Return how many of the instances are crowd regions."""
    return sum(one.is_crowd for one in instances)
