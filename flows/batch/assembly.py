"""From the finished shards to whole pictures: the tiles of scenes are merged, row by row.

Only the answers that reach into the next row of tiles are in memory, however large the run is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from dataset.raw.geo_reference import GeoReference
from flows.batch.plan import Scene, Shard
from flows.batch.results import ShardResult, UnitResult
from flows.runs.kept import KeptInstance
from maskloop.masks import Rle, rle_from_coco
from models.answering.tile_merging import MergedInstance, merge_rows
from models.answering.tile_pairing import Piece


@dataclass(frozen=True)
class WholeInstance:
    """One instance of a picture.

    Attributes:
        class_name: What it is.
        score: 0..1.
        box_xyxy: Left, top, right, bottom in px of the picture as its file stores it.
        left_px: First column of the mask in the picture.
        top_px: Its first row.
        mask: Its pixels.
    """

    class_name: str
    score: float
    box_xyxy: tuple[float, float, float, float]
    left_px: int
    top_px: int
    mask: Rle


@dataclass(frozen=True)
class AnsweredPicture:
    """One picture of a run.

    Attributes:
        name: As it is called in the input.
        height_px: Its height as its file stores it; 0 if nothing is known of it.
        width_px: Its width.
        geo: Where it lies on Earth, if its file says so.
        num_tiles: Passes of the model over it.
        problems: Tiles without an answer and why; the tile is None for the whole picture.
        is_picture: False if the file is no picture.
        instances: To be taken before the next picture is asked for.
    """

    name: str
    height_px: int
    width_px: int
    geo: GeoReference | None
    num_tiles: int
    problems: list[tuple[int | None, str]]
    is_picture: bool
    instances: Iterator[WholeInstance]

    @property
    def is_answered(self) -> bool:
        """Whether any of it was answered; ask once the instances were taken."""
        return self.num_tiles > 0


def assemble(
    shards: Iterable[Shard], result_of: Callable[[int], ShardResult], class_names: Sequence[str]
) -> Iterator[AnsweredPicture]:
    """Yield every picture of a run, in the order of its plan.

    Args:
        shards: All of them.
        result_of: Returns the answers of a shard.
        class_names: What classes are called.
    """
    units = (
        (unit.name, unit.scene, answer)
        for shard in shards
        for unit, answer in zip(
            (one for stretch in shard.stretches for one in stretch.units()),
            result_of(shard.number).units,
            strict=True,
        )
    )
    for name, group in groupby(units, key=lambda unit: unit[0]):
        _, scene, first = next(group)
        if scene is None:
            yield _whole_picture(first)
        else:
            yield _scene_picture(name, scene, first, (answer for _, _, answer in group), class_names)


def _whole_picture(answer: UnitResult) -> AnsweredPicture:
    return AnsweredPicture(
        answer.name,
        answer.height_px,
        answer.width_px,
        None,
        answer.num_tiles,
        [(None, answer.error)] if answer.error else [],
        answer.is_picture,
        (
            WholeInstance(one.class_name, one.score, one.box_xyxy, 0, 0, _mask_of(one))
            for one in answer.instances
        ),
    )


def _scene_picture(
    name: str, scene: Scene, first: UnitResult, rest: Iterator[UnitResult], class_names: Sequence[str]
) -> AnsweredPicture:
    grid, index_of = scene.grid, {called: index for index, called in enumerate(class_names)}
    problems: list[tuple[int | None, str]] = []

    def rows() -> Iterator[list[Piece]]:
        for _, row in groupby(_chain(first, rest), key=lambda answer: (answer.tile or 0) // grid.num_columns):
            pieces = []
            for answer in row:
                if answer.error:
                    problems.append((answer.tile, answer.error))
                pieces += [_read_piece(scene, answer, one, index_of) for one in answer.instances]
            yield pieces

    instances = (_tell(one, class_names) for one in merge_rows(rows(), grid))
    return AnsweredPicture(
        name, scene.height_px, scene.width_px, scene.geo, grid.num_tiles, problems, True, instances
    )


def _chain(first: UnitResult, rest: Iterator[UnitResult]) -> Iterator[UnitResult]:
    yield first
    yield from rest


def _read_piece(scene: Scene, answer: UnitResult, one: KeptInstance, index_of: dict[str, int]) -> Piece:
    return Piece(
        scene.grid.tile(answer.tile or 0),
        float("inf") if one.margin_px is None else one.margin_px,
        index_of[one.class_name],
        one.score,
        one.box_xyxy,
        one.left_px,
        one.top_px,
        _mask_of(one),
    )


def _tell(one: MergedInstance, class_names: Sequence[str]) -> WholeInstance:
    return WholeInstance(
        class_names[one.first.class_index],
        one.score,
        one.box_xyxy,
        one.left_px,
        one.top_px,
        one.mask,
    )


def _mask_of(one: KeptInstance) -> Rle:
    height, width = one.segmentation["size"]
    return rle_from_coco(one.segmentation, height, width)
