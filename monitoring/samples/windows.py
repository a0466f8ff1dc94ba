"""Choosing which samples are judged next.

Every sample is in at most one judged window. Those of a window that showed too few scenes are the exception:
they are judged again with the samples that come after them, until the window is full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from maskloop.digest import digest_value
from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.samples.values import Sample

SUPERSEDED: Final = "superseded by newer samples"
"""The reason of pending samples that a whole window of newer ones has overtaken."""


WINDOW_FILE: Final = "samples.json"
"""Beside the drift page of a window: a list of its samples' ids, empty while they wait for more scenes."""


@dataclass(frozen=True)
class Window:
    """The samples one drift verdict is about.

    Attributes:
        weights_digest: Of the champion.
        samples: The last to arrive first.
    """

    weights_digest: str
    samples: tuple[Sample, ...]

    @cached_property
    def window_id(self) -> str:
        """A digest of champion and sample ids: the same samples are the same window."""
        return digest_value([self.weights_digest, [sample.sample_id for sample in self.samples]])[:16]

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """The ids, the last to arrive first."""
        return tuple(sample.sample_id for sample in self.samples)


@dataclass(frozen=True)
class WindowPlan:
    """The samples to judge, and those to skip for ever.

    Attributes:
        window: The newest pending samples of the champion. It may be too small to judge.
        is_complete: It has enough samples to be judged; if not, its samples stay pending for the next time.
        superseded_ids: Pending samples to skip, with the reason `SUPERSEDED`.
    """

    window: Window
    is_complete: bool
    superseded_ids: tuple[str, ...]


def choose_window(
    pending: Sequence[Sample], *, weights_digest: str, settings: MonitoringSettings
) -> WindowPlan:
    """Take the newest ``window_samples`` pending samples of the champion.

    Args:
        pending: Samples neither scored nor skipped, the last to arrive first. Those of other versions (a
            challenger, the champion before) are not looked at.
        weights_digest: Of the champion.
        settings: Sizes of the window.
    """
    own = [sample for sample in pending if sample.weights_digest == weights_digest]
    window = Window(weights_digest, tuple(own[: settings.window_samples]))
    is_complete = len(window.samples) >= settings.min_window_samples
    superseded = tuple(sample.sample_id for sample in own[settings.window_samples :]) if is_complete else ()
    return WindowPlan(window, is_complete, superseded)
