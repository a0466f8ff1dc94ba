"""A sheet of pictures as training sees them: varied as the settings say, with their instances drawn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from evaluation.overlays import draw_truth, encode_png, montage
from flows.evidence.evaluate import load_picture
from flows.workspace.wiring import App
from maskloop.errors import DataError
from maskloop.files import write_bytes
from models.loading.request import TrainingRequest

_COLUMNS = 4
_LONG_SIDE_PX = 480


@dataclass(frozen=True)
class PreviewSheet:
    """Where the sheet is, and what is on it."""

    file: Path
    tag: str
    num_pictures: int
    num_instances: int
    num_asked: int

    def sentence(self) -> str:
        """Say it in words, and why there are fewer pictures than were asked for, if so."""
        said = f"{self.file}: {self.num_pictures} pictures of {self.tag} with {self.num_instances} instances"
        if self.num_pictures == self.num_asked:
            return said
        return f"{said}; {self.num_asked} were asked for, but the steps of a training see no more"


def write_preview(app: App, output: Path | None = None, *, tag: str = "", count: int = 12) -> PreviewSheet:
    """Draw the first pictures of a first training, exactly as its steps would get them.

    Args:
        app: The workspace.
        output: A PNG file; None puts it among the reports.
        tag: A data version; empty takes the current one.
        count: Pictures on the sheet, 1 or more.

    Raises:
        DataError: if there is no data version yet.
        NotFoundError: if there is none of that tag.
        TrainingError: if it has no training pictures.
        ConfigurationError: if the settings name classes the data do not have.
    """
    version = app.data.open(tag) if tag else app.data.current()
    if version is None:
        raise DataError("there is nothing to look at yet", hint="run `maskloop ingest` first")

    training, max_mpx = app.settings.training, app.settings.data.max_picture_mpx
    request = TrainingRequest(
        dataset=version,
        settings=app.settings,
        checkpoint_dir=app.workspace.training_dir,
        steps=training.steps,
        learning_rate=training.learning_rate,
    )
    seen = list(islice(app.trainer.preview(request, lambda path: load_picture(path, max_mpx)), count))
    drawn = [
        draw_truth(pixels, truth, version.class_names, long_side_px=_LONG_SIDE_PX) for pixels, truth in seen
    ]
    captions = [f"{truth.picture_id}: {len(truth.masks)} instances" for _, truth in seen]
    file = output or app.workspace.reports_dir / "preview.png"
    write_bytes(file, encode_png(montage(drawn, captions, columns=_COLUMNS)))
    return PreviewSheet(file, version.tag, len(seen), sum(len(truth.masks) for _, truth in seen), count)
