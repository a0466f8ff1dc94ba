"""Scenes made from real pictures: parts of one picture, frames of one part, and another camera's view.

A part of a picture is a photograph of its scene; the parts overlap little or not at all, so they are alike
without being near duplicates. A frame is one part, moved by up to a pixel, with its own light and noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.pictures.looks import difference_hash
from evaluation.instances import Detections
from monitoring.features.observation import Observation
from monitoring.features.table import observe

NUM_PARTS: Final = 8
FRAMES: Final = NUM_PARTS
"""Where the frames of a scene begin in its row; the other camera's views of its parts follow them."""
CHANGED: Final = 2 * NUM_PARTS
_SIDE_SHARE: Final = 0.45
_LARGEST_SIDE_PX: Final = 224


@dataclass(frozen=True, eq=False)
class Scenes:
    """What S scenes look like: V views of each, the parts, then the frames, then the changed parts.

    Attributes:
        names: Of the C features.
        values: float64 (S, V, C).
        embeddings: float32 (S, V, E), of a network with drawn weights.
        looks: uint64 (S, V).
        places: float64 (S, 3): where scenes lie in the leading components of their embeddings.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    embeddings: NDArray[np.float32]
    looks: NDArray[np.uint64]

    @property
    def places(self) -> NDArray[np.float64]:
        means = self.embeddings[:, :NUM_PARTS].mean(axis=1, dtype=np.float64)
        means -= means.mean(axis=0)
        left, _, _ = np.linalg.svd(means / np.maximum(means.std(axis=0), 1e-9), full_matrices=False)
        return np.asarray(left[:, :3] * np.sqrt(len(left)), dtype=np.float64)

    def see(self, scene: int, view: int, *, scene_name: str = "") -> Observation:
        """Return one view of a scene as it was observed."""
        values = zip(self.names, self.values[scene, view].tolist(), strict=True)
        embedding = tuple(self.embeddings[scene, view].tolist())
        return Observation(dict(values), embedding, scene_name, int(self.looks[scene, view]))


def find_pictures(folder: Path) -> list[Path]:
    """Return the PNG and JPEG files of a folder, by name."""
    return sorted(file for file in folder.iterdir() if file.suffix in (".png", ".jpg"))


def measure_scenes(files: list[Path], cache: Path) -> Scenes:
    """Measure every view of every picture; a cache that is there is read instead."""
    if not cache.exists():
        rng, network = np.random.default_rng(0), draw_network()
        keep_scenes(cache, [[observe_view(view, network) for view in _views(file, rng)] for file in files])
    return read_scenes(cache)


def keep_scenes(cache: Path, rows: Sequence[Sequence[Observation]]) -> None:
    """Write down every view of every scene."""
    names = tuple(rows[0][0].features)
    np.savez(
        cache,
        names=np.array(names),
        values=np.array([[[one.features[name] for name in names] for one in row] for row in rows], float),
        embeddings=np.array([[one.embedding for one in row] for row in rows], np.float32),
        looks=np.array([[one.difference_hash for one in row] for row in rows], np.uint64),
    )


def read_scenes(cache: Path) -> Scenes:
    """Read what `keep_scenes` wrote."""
    with np.load(cache) as found:
        return Scenes(tuple(found["names"].tolist()), found["values"], found["embeddings"], found["looks"])


def change_camera(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture, uint8 (H, W, 3), as a blurred, darker and noisier camera would see it."""
    from scipy.ndimage import gaussian_filter

    seen = gaussian_filter(pixels.astype(np.float64), (1.2, 1.2, 0.0)) * 0.75
    return np.clip(np.rint(seen + rng.normal(0.0, 2.0, pixels.shape)), 0, 255).astype(np.uint8)


def _views(file: Path, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    pixels = np.asarray(Image.open(file).convert("RGB"))
    parts = cut_parts(pixels)
    return [*parts, *_frames(pixels, rng), change_camera(parts[0], rng), change_camera(parts[2], rng)]


def cut_parts(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return the parts in the order in which a camera would pan over the picture."""
    height, width = pixels.shape[:2]
    side = _side(height, width)
    tops = np.linspace(0, height - side, 2).astype(int)
    lefts = np.linspace(0, width - side, NUM_PARTS // 2).astype(int)
    places = [(tops[0], left) for left in lefts] + [(tops[1], left) for left in lefts[::-1]]
    return [pixels[top : top + side, left : left + side] for top, left in places]


def _frames(pixels: NDArray[np.uint8], rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    height, width = pixels.shape[:2]
    side = _side(height, width) - 2
    top, left = int(rng.integers(1, height - side)), int(rng.integers(1, width - side))
    frames = []
    for _ in range(NUM_PARTS):
        down, right = top + int(rng.integers(-1, 2)), left + int(rng.integers(-1, 2))
        seen = pixels[down : down + side, right : right + side] * rng.normal(1.0, 0.01)
        frames.append(np.clip(np.rint(seen + rng.normal(0.0, 1.5, (side, side, 1))), 0, 255).astype(np.uint8))
    return frames


def _side(height: int, width: int) -> int:
    return min(_LARGEST_SIDE_PX, int(_SIDE_SHARE * min(height, width)))


def observe_view(pixels: NDArray[np.uint8], network: object) -> Observation:
    import torch

    nothing = np.zeros(0, np.float32)
    height, width = pixels.shape[:2]
    found = Detections(height, width, nothing.reshape(0, 4), nothing, nothing.astype(np.int64), ())
    scaled = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1.0).permute(2, 0, 1)[np.newaxis]
    with torch.inference_mode():
        embedding = network(scaled).mean((2, 3))[0].numpy()  # type: ignore[operator]
    seen = observe(pixels, found, (), embedding)
    return Observation(seen.features, seen.embedding, difference_hash=difference_hash(pixels))


def draw_network() -> object:
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(1)
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        *(nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 128, 3, 2, 1), nn.ReLU()),
    )
