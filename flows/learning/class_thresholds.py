"""The score thresholds of single classes, fitted on the validation pictures once a training has ended."""

from __future__ import annotations

from collections.abc import Callable

from dataset.labelled_pictures import DatasetVersion
from flows.evidence.evaluate import load_picture
from flows.workspace.figure_log import FigureLog
from maskloop.settings.workspace_settings import Settings
from models.ports import TrainedModel


def calibrate(
    settings: Settings,
    version: DatasetVersion,
    trained: TrainedModel,
    figures: FigureLog,
    say: Callable[[str], None],
) -> dict[str, float]:
    """Return the thresholds of classes that get their own; none unless settings ask for it."""
    if not settings.thresholds.per_class:
        return {}
    max_mpx = settings.data.max_picture_mpx
    found = dict(
        trained.calibrate(
            version.by_split["val"],
            lambda picture: load_picture(version.path(picture), max_mpx),
            class_names=version.class_names,
            min_instances=settings.thresholds.min_instances,
            device=settings.training.device,
        )
    )
    named = {f"validation/threshold/{name}": threshold for name, threshold in found.items()}
    figures.log(named, step=trained.steps_done)
    sources = ", ".join(find_threshold_sources(settings, version))
    say(f"thresholds of classes fitted on {sources or 'nothing'}")
    if left_out := [name for name in version.class_names if name not in found]:
        say(
            f"no own threshold for {', '.join(left_out)}: too few validation instances, or none of them found"
        )
    return found


def find_threshold_sources(settings: Settings, version: DatasetVersion) -> tuple[str, ...]:
    """Return every source with annotated validation pictures, if classes get their own thresholds."""
    if not settings.thresholds.per_class:
        return ()
    return tuple(sorted({picture.source for picture in version.by_split["val"] if picture.instances}))
