"""The changes of source that are measured: a new camera, stained tissue, car parts in other colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.labelling.metal_parts import draw_metal_parts
from benchmarks.labelling.photographs import draw_carparts, draw_nuclei
from benchmarks.labelling.pictures import Pictures
from benchmarks.labelling.training import train_champion
from maskloop.settings.workspace_settings import Settings, load_settings, parse_settings

_HERE: Final = Path(__file__).resolve().parent
RUNS: Final = _HERE / "runs"

Draw = Callable[[Path, Settings, int], Pictures]
"""Draws pictures below a folder, or finds them drawn; the last argument is the production's seed."""


@dataclass(frozen=True)
class Scenario:
    """A champion, and a source that it does not know.

    Attributes:
        preset: The settings of both trainings.
        draw: Draws the pictures.
        champion: The name of the folder of the champion; scenarios that share pictures share it.
    """

    preset: Path
    draw: Draw
    champion: str

    def settings(self, seed: int, **training: Any) -> Settings:
        """Return the settings with a seed and without evaluations on the way.

        Args:
            seed: Of trainings.
            training: More that differs in the [training] section.
        """
        plain: dict[str, Any] = load_settings(self.preset).model_dump(mode="json", exclude_none=True)
        quick = {"evaluate_every_steps": 10_000, "num_workers": 0, "device": "cpu", "seed": seed}
        plain["training"] |= {**quick, **training}
        return parse_settings(plain)

    def pictures(self, seed: int) -> Pictures:
        """Return the pictures of the seed's production, of the champion, and those held out."""
        return self.draw(RUNS / self.champion / "pictures", self.settings(seed), seed)

    def train_champion(self, pictures: Pictures) -> Path:
        """Return the folder of the champion, which is trained if that was not done yet."""
        folder = RUNS / self.champion / "champion"
        train_champion(folder, pictures, self.settings(0))
        return folder


def _metal_parts(mix: str) -> Scenario:
    def draw(root: Path, settings: Settings, seed: int) -> Pictures:
        return draw_metal_parts(root, settings, mix=mix, seed=seed)

    return Scenario(_HERE.parents[1] / "configs" / "demo.toml", draw, "metal-parts")


def _photographs(name: str, draw: Callable[[Path, Settings], Pictures]) -> Scenario:
    return Scenario(_HERE / f"{name}.toml", lambda root, settings, _: draw(root, settings), name)


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "mixed": _metal_parts("mixed"),
    "replaced": _metal_parts("replaced"),
    "nuclei": _photographs("nuclei", draw_nuclei),
    "carparts": _photographs("carparts", draw_carparts),
}
