"""What a worker does: it reads the pictures of a shard, asks the model, and says what was found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from dataset.formats.port import is_called_picture
from dataset.pictures.decoding import FORMATS_READ, sniff_format
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.raw.tiff_window import TiffScene
from evaluation.instances import Detections, ScoreThreshold
from flows.batch.plan import Shard, Stretch
from flows.batch.results import ShardResult, UnitResult
from flows.batch.sources import Pictures
from flows.runs.kept import KeptInstance, pack
from flows.runs.reading_ahead import read_ahead
from maskloop.errors import PictureError
from models.answering.instance_json import list_instances
from models.answering.tile_grid import TileBox, TileGrid, cut_pixels
from models.answering.tile_merging import merge_tiles
from models.answering.tile_pairing import find_pieces
from models.ports import Machine, Predictor, Predictors

_VIEWS_AT_ONCE: Final = 8
_PX_AT_ONCE: Final = 16_000_000


@dataclass(frozen=True)
class AnswerWork:
    """What every worker of a run needs: `flows.workers.port.Work`.

    Attributes:
        pictures: Where they are.
        model_dir: The model's folder, which every worker can read.
        weights_digest: Of the model in it.
        device: That it computes on.
        cores: That one worker computes with.
        num_workers: That share the machine.
        limits: Of a decoder.
        tile_px: Side of the tiles of pictures that are read whole; 0: they are not cut.
        overlap_px: What two neighbours share at least.
        min_score: Instances with a lower score are left out; None: the model's own threshold.
        open_models: Opens the ports that load models and count cores.
    """

    pictures: Pictures
    model_dir: Path
    weights_digest: str
    device: str
    cores: int
    num_workers: int
    limits: DecodingLimits
    tile_px: int
    overlap_px: int
    min_score: float | None
    open_models: Callable[[], tuple[Predictors, Machine]]

    @contextmanager
    def begin(self) -> Iterator[Callable[[bytes], bytes]]:
        """Load the model, verified; give what answers shards."""
        predictors, machine = self.open_models()
        machine.use_cores(self.cores)
        predictor = predictors.load(self.model_dir, expected_digest=self.weights_digest, device=self.device)
        with SandboxedDecoder(self.limits, predictor.conversion) as decoder:
            yield partial(_answer_task, _Answering(self, predictor, decoder))


@dataclass(frozen=True)
class _Read:
    """What was read of a stretch: its tiles and their pixels, uint8 (H, W, 3) each; or why nothing was."""

    stretch: Stretch
    tiles: list[TileBox] = field(default_factory=list)
    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    orientation: int = 1
    error: str = ""
    is_picture: bool = True


def _answer_task(answering: _Answering, task: bytes) -> bytes:
    shard = msgspec.json.decode(task, type=Shard)
    started = time.perf_counter()
    units = tuple(answering.answer(shard.stretches))
    seconds = round(time.perf_counter() - started, 3)
    return pack(ShardResult(shard.number, units, seconds, answering.work.num_workers))


@dataclass(frozen=True)
class _Answering:
    work: AnswerWork
    predictor: Predictor
    decoder: SandboxedDecoder

    def answer(self, stretches: Sequence[Stretch]) -> Iterator[UnitResult]:
        """Yield the answer about each picture and tile, in order."""
        reads = read_ahead([partial(self._read, one) for one in stretches])
        for group in _gather(one for some in reads for one in some):
            yield from self._answer_group(group)

    def _read(self, stretch: Stretch) -> list[_Read]:
        """Read a stretch; where part of it cannot be read, each of its tiles by itself."""
        try:
            return [self._read_scene(stretch) if stretch.scene else self._read_picture(stretch)]
        except (PictureError, OSError) as error:
            if stretch.num_tiles > 1:
                return [one for unit in stretch.units() for one in self._read(unit)]
            is_told = isinstance(error, PictureError)
            reason = str(error) if is_told else f"cannot be read: {error.strerror or error}"  # type: ignore[union-attr]
            return [_Read(stretch, error=reason)]

    def _read_picture(self, stretch: Stretch) -> _Read:
        data = self.work.pictures.read(stretch.name)
        try:
            sniff_format(data)
        except PictureError:
            is_meant = self.work.pictures.are_named or is_called_picture(stretch.name)
            return _Read(stretch, error=f"not {FORMATS_READ}", is_picture=is_meant)
        decoded = self.decoder.open(data)
        height, width = decoded.pixels.shape[:2]
        if not self.work.tile_px:
            return _Read(stretch, [TileBox(0, 0, height, width)], [decoded.pixels], decoded.orientation)
        tiles = [*TileGrid(height, width, self.work.tile_px, self.work.overlap_px).tiles()]
        return _Read(
            stretch, tiles, [cut_pixels(decoded.pixels, tile) for tile in tiles], decoded.orientation
        )

    def _read_scene(self, stretch: Stretch) -> _Read:
        tiles = stretch.tiles()
        left, right = tiles[0].left_px, tiles[-1].right_px
        with self.work.pictures.open(stretch.name) as file:
            window = TiffScene(file, page=self.predictor.conversion.page).read(
                lambda data: self.decoder.open(data, apply_orientation=False).pixels,
                top_px=tiles[0].top_px,
                left_px=left,
                height_px=tiles[0].height_px,
                width_px=right - left,
                max_mpx=self.work.limits.max_mpx,
            )
        pixels = [
            cut_pixels(window, TileBox(0, tile.left_px - left, tile.height_px, tile.width_px))
            for tile in tiles
        ]
        return _Read(stretch, tiles, pixels)

    def _answer_group(self, group: Sequence[_Read]) -> Iterator[UnitResult]:
        try:
            found = iter(self._ask([one for read in group for one in read.pixels]))
        except PictureError as error:
            if len(group) > 1:
                for read in group:
                    yield from self._answer_group([read])
                return
            group = [_Read(group[0].stretch, error=str(error))]
            found = iter(())
        for read in group:
            yield from self._tell(read, [next(found) for _ in read.pixels])

    def _ask(self, pixels: list[NDArray[np.uint8]]) -> list[Detections]:
        threshold = self._threshold
        lowest = min(threshold) if isinstance(threshold, tuple) else threshold
        predictions = self.predictor.predict(pixels, min_score=lowest) if pixels else []
        every = [one.detections for one in predictions]
        return [one.select(one.reach(threshold)) for one in every]

    @property
    def _threshold(self) -> ScoreThreshold:
        return self.predictor.score_threshold if self.work.min_score is None else self.work.min_score

    def _tell(self, read: _Read, found: list[Detections]) -> Iterator[UnitResult]:
        stretch = read.stretch
        if read.error:
            for unit in stretch.units():
                number = unit.first_tile if unit.scene else None
                yield UnitResult(stretch.name, number, error=read.error, is_picture=read.is_picture)
        elif stretch.scene is None:
            yield self._tell_picture(read, found)
        else:
            size = {"height_px": stretch.scene.height_px, "width_px": stretch.scene.width_px}
            names = self.predictor.class_names
            for number, (tile, seen) in enumerate(zip(read.tiles, found, strict=True), stretch.first_tile):
                pieces = find_pieces(tile, seen, **size)
                told = tuple(
                    KeptInstance(
                        names[piece.class_index],
                        round(piece.score, 4),
                        tuple(round(side, 2) for side in piece.box_xyxy),  # type: ignore[arg-type]
                        piece.mask.to_coco(),
                        piece.left_px,
                        piece.top_px,
                        None if np.isinf(piece.margin_px) else round(piece.margin_px, 2),
                    )
                    for piece in pieces
                )
                yield UnitResult(stretch.name, number, num_tiles=1, instances=told)

    def _tell_picture(self, read: _Read, found: list[Detections]) -> UnitResult:
        height = max(tile.bottom_px for tile in read.tiles)
        width = max(tile.right_px for tile in read.tiles)
        merged = merge_tiles([*zip(read.tiles, found, strict=True)], height_px=height, width_px=width)
        told = list_instances(
            merged,
            self.predictor.class_names,
            orientation=read.orientation,
            threshold=0.0,
            max_instances=len(merged),
        )
        is_turned = read.orientation > 4
        return UnitResult(
            read.stretch.name,
            height_px=width if is_turned else height,
            width_px=height if is_turned else width,
            num_tiles=len(read.tiles),
            instances=tuple(
                KeptInstance(one.class_name, one.score, one.box_xyxy, one.mask.to_coco()) for one in told
            ),
        )


def _gather(reads: Iterable[_Read]) -> Iterator[list[_Read]]:
    """Yield what may be asked about in one call: enough for a pass of the model, and no more."""
    group: list[_Read] = []
    num_views = num_px = 0
    for read in reads:
        group.append(read)
        num_views += len(read.pixels)
        num_px += sum(pixels[..., 0].size for pixels in read.pixels)
        if num_views >= _VIEWS_AT_ONCE or num_px >= _PX_AT_ONCE:
            yield group
            group, num_views, num_px = [], 0, 0
    if group:
        yield group
