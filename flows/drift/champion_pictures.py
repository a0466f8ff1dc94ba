"""What a champion's own held-out pictures look like, measured once and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from dataset.pictures.looks import difference_hash
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.version_store import DatasetStore
from flows.drift.taught_sources import (
    Teaching,
    choose_taught_samples,
    find_teaching,
    name_references,
    observe_samples,
)
from flows.evidence.evaluate import load_picture, predict_pictures
from flows.evidence.reference_pictures import choose_reference_pictures, count_known_sources
from flows.labelling.kept_pictures import KeptPictures
from flows.workspace.served import ModelCopies
from flows.workspace.telling import Teller
from maskloop.blobs.shared_files import SharedFiles
from maskloop.errors import DataError
from maskloop.settings.workspace_settings import Settings
from maskloop.state.loop_state import LoopState
from maskloop.workspace import Workspace
from models.ports import Predictor
from monitoring.drift.baseline import Baseline, build_baseline
from monitoring.drift.references import POOLED, load_references, save_references
from monitoring.drift.sources import KnownSource
from monitoring.features.observation import Observation
from monitoring.features.table import observe
from monitoring.samples.sample_log import SampleLog
from registry.champion.serving_copy import ServedModel


@dataclass(frozen=True)
class ChampionReferences:
    """What production of the champion is compared with.

    Attributes:
        version: The data it was trained on.
        held_out: Its held-out pictures.
        references: What they look like to the champion, by source, with the pooled ones under `POOLED`.
        known: The sources of the data.
    """

    version: DatasetVersion
    held_out: tuple[LabelledPicture, ...]
    references: Mapping[str, Baseline]
    known: Mapping[str, KnownSource]


@dataclass(frozen=True)
class ServingChampion:
    """The champion, and where its data, its samples and what is kept of it are.

    Attributes:
        served: Its copy.
        state: Of the loop.
        data: Holds its data version.
        samples: Hold production's samples and pictures.
        copies: Load it.
        workspace: Holds its references and the settings.
        shared: Holds the references for all hosts.
        teller: Shows progress.
        check_lease: Raises UnavailableError if another host may be at work on what is shared.
    """

    served: ServedModel
    state: LoopState
    data: DatasetStore
    samples: SampleLog
    copies: ModelCopies
    workspace: Workspace
    shared: SharedFiles
    teller: Teller
    check_lease: Callable[[], None] = lambda: None

    @property
    def settings(self) -> Settings:
        """Those of the workspace."""
        return self.workspace.settings

    @property
    def weights_digest(self) -> str:
        """Of its weights."""
        return self.served.weights_digest

    @cached_property
    def compared(self) -> ChampionReferences:
        """What production is compared with, measured by the first host that asks for it.

        Raises:
            DataError: if there are no held-out pictures.
        """
        directory = self.workspace.baseline_dir(self.weights_digest)
        self.shared.bring(directory)
        version = self.data.open(self.state.data_of(self.weights_digest))
        teaching = find_teaching(
            self.state, self.weights_digest, version, self.data, self.settings.retraining
        )
        own = ChampionPictures(
            self.served, version, teaching, self.samples, self.copies, self.settings, self.teller
        )
        references = own.open_references(directory)
        known = count_known_sources(version, self.settings.monitoring.min_window_samples)
        return ChampionReferences(version, own.held_out, references, known)

    def share(self) -> None:
        """Let all hosts have what is kept about the champion here. Raises as `check_lease` does."""
        self.check_lease()
        self.shared.send(self.workspace.baseline_dir(self.weights_digest))

    def load(self) -> Predictor:
        """Load the model. Raises IntegrityError if its weights have another digest."""
        return self.copies.load(self.served.directory, self.weights_digest)


@dataclass(frozen=True)
class ChampionPictures:
    """The pictures that a champion's references are made of, measured when asked for.

    Attributes:
        served: The champion.
        version: The data it was trained on.
        teaching: What it was newly taught; None for nothing.
        samples: Hold production's pictures.
        copies: Load the champion.
        settings: Sizes and limits.
        teller: Shows progress.
    """

    served: ServedModel
    version: DatasetVersion
    teaching: Teaching | None
    samples: SampleLog
    copies: ModelCopies
    settings: Settings
    teller: Teller

    @cached_property
    def held_out(self) -> tuple[LabelledPicture, ...]:
        """Its own pictures that production is compared with."""
        return choose_reference_pictures(self.version, self.settings.monitoring.min_window_samples)

    def open_references(self, directory: Path) -> Mapping[str, Baseline]:
        """Load the champion's references from a folder, or measure and keep them the first time.

        The reference of a source is its validation pictures, plus its test pictures if there are fewer than a
        window needs. A source that the champion was newly taught has what production sent of it before as a
        reference too. A source that still has too few counts only in the pooled reference.

        Raises:
            DataError: if there are no held-out pictures.
        """
        if kept := load_references(directory):
            return kept
        observed = self.observe_held_out()
        pooled = self._build([seen for group in observed.values() for seen in group])
        min_pictures = self.settings.monitoring.min_window_samples
        groups = {
            name: list(group)
            for name, group in observed.items()
            if len(observed) > 1 and len(group) >= min_pictures
        }
        taught = self.observe_taught(pooled)
        groups |= name_references(taught, observed, has_own=groups.keys(), min_pictures=min_pictures)
        references = {POOLED: pooled} | {name: self._build(group) for name, group in groups.items()}
        save_references(directory, references)
        return references

    def observe_held_out(self) -> Mapping[str, list[Observation]]:
        """Return what its own pictures look like to it, by source. Raises DataError if there are none."""
        predictor = self.copies.load(self.served.directory, self.served.weights_digest)
        max_mpx = self.settings.data.max_picture_mpx
        with self.teller.progress("measuring the champion's own pictures") as progress:
            return observe_pictures(
                predictor, self.version, self.held_out, max_mpx=max_mpx, progress=progress
            )

    def observe_taught(self, pooled: Baseline) -> Mapping[str, list[Observation]]:
        """Return what production's pictures of the sources it was taught look like to it, by source."""
        if self.teaching is None:
            return {}
        monitoring, limits = self.settings.monitoring, DecodingLimits(self.settings.data.max_picture_mpx)
        kept = self.samples.newest(monitoring.keep_pictures, with_picture=True)
        chosen = choose_taught_samples(kept, self.teaching, pooled, limit=monitoring.window_samples)
        if not chosen:
            return {}
        predictor = self.copies.load(self.served.directory, self.served.weights_digest)
        with (
            SandboxedDecoder(limits, predictor.conversion) as decoder,
            self.teller.progress("measuring what production sent before") as progress,
        ):
            return observe_samples(chosen, KeptPictures(self.samples, decoder), predictor, progress)

    def _build(self, observations: Sequence[Observation]) -> Baseline:
        return build_baseline(
            observations,
            weights_digest=self.served.weights_digest,
            data_fingerprint=self.version.fingerprint,
        )


def observe_pictures(
    predictor: Predictor,
    version: DatasetVersion,
    pictures: Sequence[LabelledPicture],
    *,
    max_mpx: float,
    progress: Callable[[int, int], None],
) -> dict[str, list[Observation]]:
    """Return what pictures of a data version look like to a model, by source.

    Raises:
        DataError: if there are no pictures.
    """
    if not pictures:
        raise DataError("the champion's data version has no held-out pictures", where=version.tag)
    found = predict_pictures(predictor, version, pictures, progress=progress, max_mpx=max_mpx)
    observed: dict[str, list[Observation]] = {}
    for picture in pictures:
        prediction = found[picture.digest]
        confident = prediction.detections.select(prediction.detections.reach(predictor.score_threshold))
        pixels = load_picture(version.path(picture), max_mpx)
        seen = observe(pixels, confident, predictor.class_names, prediction.embedding)
        seen = replace(
            seen,
            scene=picture.group,
            difference_hash=difference_hash(pixels),
            picture_digest=picture.digest,
        )
        observed.setdefault(picture.source, []).append(seen)
    return observed
