"""Check the current data version: facts that need no model, and labels that the champion contradicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Final, cast

from dataset.health.class_table import ClassTable, tabulate_classes
from dataset.health.copies import Place, candidates_for_copies, find_copies, instance_digest
from dataset.health.outliers import find_outliers
from dataset.health.repeats import find_labelled_twice
from dataset.health.several_parts import find_several_parts
from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from dataset.version_store import tag_number
from evaluation.instances import Detections
from evaluation.label_errors import rank_label_errors
from flows.evidence.evaluate import in_classes_of, load_picture, predict_pictures
from flows.health.findings import (
    FACTS,
    KINDS,
    Finding,
    tell_copies,
    tell_label_errors,
    tell_outliers,
    tell_repeats,
    tell_sent_again,
    tell_sent_instances,
    tell_several_parts,
)
from flows.health.kept_check import FoundKind, KeptCheck
from flows.health.production import ProductionView, compare_with_production
from flows.health.report import SIZE_EDGES_PX
from flows.intake.audit import DataAudit, audit_data
from flows.workspace.served import ModelCopies
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.errors import IntegrityError, NotFoundError, PictureError
from maskloop.settings.check_settings import CheckedKind, Rule, rule_of
from maskloop.state.loop_state import LoopState
from maskloop.wording import count
from models.loading.ground_truth import ground_truth

NUM_COMPARED: Final = 200
"""Pictures that the champion is asked about, unless somebody says otherwise."""


@dataclass(frozen=True)
class ChampionView:
    """What the champion sees in some pictures of the data.

    Attributes:
        version: The champion's; empty if there is none or it was not asked.
        detections: By picture digest, in the classes of the data.
        is_there: There is a champion, though it may not have been asked.
    """

    version: str
    detections: Mapping[str, Detections]
    is_there: bool = False


@dataclass(frozen=True)
class DataCheck:
    """Everything that a check found.

    Attributes:
        version: The data version that was checked.
        audit: Its splits and files.
        findings: Of all kinds, in the order of `KINDS`, each kind gravest first.
        classes: The table of its classes.
        champion: What the suspicions about labels rest on.
        policy: ``data.check_policy``: what kinds of findings do to a training.
        production: What production sent, beside the data.
    """

    version: DatasetVersion
    audit: DataAudit
    findings: tuple[Finding, ...]
    classes: ClassTable
    champion: ChampionView
    policy: Mapping[CheckedKind, Rule] = field(default_factory=dict)
    production: ProductionView = field(default_factory=ProductionView)

    @property
    def is_clean(self) -> bool:
        """The audit and the facts found nothing; suspicions and outliers are for people to judge."""
        return not self.audited and not any(kind in FACTS for kind in self.counts)

    @property
    def audited(self) -> dict[str, str]:
        """What the audit found, by kind, as sentences; without what the policy ignores."""
        return {kind: said for kind, said in self.audit.told.items() if self._is_told(kind)}

    @property
    def counts(self) -> dict[str, int]:
        """Findings of each kind that has some; without what the policy ignores."""
        numbers = Counter(finding.kind for finding in self.findings)
        return {kind: numbers[kind] for kind in KINDS if numbers[kind] and self._is_told(kind)}

    def _is_told(self, kind: str) -> bool:
        return rule_of(self.policy, cast(CheckedKind, kind)) != "ignore"

    def sentences(self) -> list[str]:
        """Return what was found, in short."""
        clean = [] if self.audit.told else self.audit.sentences()
        said = [*clean, *self.audited.values(), *self.classes.remarks()]
        for kind, number in self.counts.items():
            worst = self.of_kind(kind)[0]
            said.append(f"{KINDS[kind].title}: {number}; first {worst.picture.name}: {worst.said}")
        return [*said, self.basis, self.basis_of_production]

    @property
    def basis(self) -> str:
        """What the suspicions about labels rest on, as a sentence."""
        if not self.champion.is_there:
            return (
                "Labels were not compared with a model's answers, as there is no champion yet: "
                "`maskloop train`, `maskloop approve VERSION` and `maskloop promote` make one"
            )
        if not self.champion.version:
            return (
                "Labels were not compared with the champion's answers, as it was not asked: "
                f"`maskloop data check --compare {NUM_COMPARED}` asks it about the newest {NUM_COMPARED}"
            )
        num_seen, num_all = len(self.champion.detections), len(self.version.pictures)
        return (
            f"Labels were compared with the answers of champion {self.champion.version} on {num_seen} of "
            f"{count(num_all, 'picture')}, newest first"
        )

    @property
    def basis_of_production(self) -> str:
        """What the data were compared with of production, as a sentence."""
        number = len(self.production.samples)
        if not number:
            return "The data were not compared with production: none of its pictures is kept"
        return f"The data were compared with {count(number, 'kept production picture')}"

    def in_short(self, checked_at: datetime) -> KeptCheck:
        """Return what is kept of it, in the order of the page."""
        said = self.audited | {kind: self.of_kind(kind)[0].said for kind in self.counts}
        audited: dict[str, int] = {
            kind: number for kind, number in self.audit.counts.items() if kind in self.audited
        }
        numbers = audited | self.counts
        return KeptCheck(
            self.version.tag,
            self.version.fingerprint,
            checked_at.isoformat(),
            self.champion.version,
            len(self.champion.detections),
            {kind: FoundKind(number, said[kind]) for kind, number in numbers.items()},
        )

    def of_kind(self, kind: str) -> tuple[Finding, ...]:
        """Return the findings of one kind, gravest first."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        names = self.version.class_names
        return {
            "tag": self.version.tag,
            "clean": self.is_clean,
            "audit": asdict(self.audit),
            "champion": self.champion.version,
            "pictures compared": len(self.champion.detections),
            "production pictures compared": len(self.production.samples),
            "counts": self.counts,
            "classes": asdict(self.classes),
            "remarks": self.classes.remarks(),
            "findings": [
                finding.to_json(names, self.champion.detections.get(finding.picture.digest))
                for finding in self.findings
                if finding.kind in self.counts
            ],
        }


def check_data(app: App, *, num_compared: int) -> DataCheck:
    """Check the current data version.

    Args:
        app: The workspace.
        num_compared: Pictures that the champion is asked about, newest first; 0 asks it nothing.

    Raises:
        NotFoundError: if there is no data version yet.
    """
    version = app.data.current()
    if version is None:
        raise NotFoundError("there is no data version yet", hint="run `maskloop ingest` first")
    max_mpx = app.settings.data.max_picture_mpx
    audit = audit_data(app.data, app.settings.data, app.teller)
    digests = _read_copies(version, max_mpx, app.teller)
    asked = newest_first(version.pictures)[:num_compared]
    view = _ask_champion(version, asked, app.state(), app.copies, max_mpx=max_mpx, teller=app.teller)
    production = compare_with_production(
        version, app.samples, app.ledger, app.state(), app.settings, app.teller
    )
    check = judge_labels(version, audit, digests, view, production)
    return replace(check, policy=app.settings.data.check_policy)


def judge_labels(
    version: DatasetVersion,
    audit: DataAudit,
    digests: Sequence[tuple[Place, str]],
    champion: ChampionView,
    production: ProductionView,
) -> DataCheck:
    """Put a check together from what was gathered. Pure.

    Args:
        version: The data version.
        audit: Of it.
        digests: Of the instances that may be copies.
        champion: What it sees.
        production: What it sent.
    """
    names = version.class_names
    by_digest = {picture.digest: picture for picture in version.pictures}
    truths = [ground_truth(by_digest[digest]) for digest in champion.detections]
    errors = rank_label_errors(champion.detections, truths, num_classes=len(names))
    findings = [
        *tell_copies(find_copies(digests), names),
        *tell_repeats(find_labelled_twice(version.pictures), names),
        *tell_sent_again(production.found, production.samples),
        *tell_sent_instances(production.instances, production.samples),
        *tell_label_errors(errors, by_digest, champion.detections, names),
        *tell_several_parts(find_several_parts(version.pictures, len(names)), names),
        *tell_outliers(find_outliers(version.pictures, len(names)), names),
    ]
    order = list(KINDS)
    findings.sort(key=lambda finding: order.index(finding.kind))  # stable: each kind stays gravest first
    table = tabulate_classes(version.pictures, names, size_edges_px=SIZE_EDGES_PX)
    return DataCheck(version, audit, tuple(findings), table, champion, production=production)


def newest_first(pictures: Sequence[LabelledPicture]) -> list[LabelledPicture]:
    """Sort pictures by the version that first held them, newest first; within one in no telling order."""
    return sorted(pictures, key=lambda picture: (-tag_number(picture.added_in), picture.digest))


def _read_copies(version: DatasetVersion, max_mpx: float, teller: Teller) -> list[tuple[Place, str]]:
    """Read the pixels of the instances that may be copies; a picture that cannot be read is told and left."""
    groups = candidates_for_copies(version.pictures)
    digests: list[tuple[Place, str]] = []
    if not groups:
        return digests
    with teller.progress("comparing instances") as progress:
        for number, places in enumerate(groups, start=1):
            progress(number, len(groups))
            picture = places[0].picture
            try:
                pixels = load_picture(version.path(picture), max_mpx)
            except (OSError, PictureError, IntegrityError) as error:
                teller.say(f"{picture.name} cannot be compared: {error}")
                continue
            digests += [
                (place, instance_digest(pixels, picture.instances[place.label].mask)) for place in places
            ]
    return digests


def _ask_champion(
    version: DatasetVersion,
    pictures: Sequence[LabelledPicture],
    state: LoopState,
    copies: ModelCopies,
    *,
    max_mpx: float,
    teller: Teller,
) -> ChampionView:
    if state.champion is None or not pictures:
        return ChampionView("", {}, is_there=state.champion is not None)
    served = copies.fetch_champion(state)
    predictor = copies.load(served.directory, served.weights_digest)
    trained_on = state.data_of(served.weights_digest)
    with teller.progress("champion on labelled pictures") as progress:
        answers = predict_pictures(predictor, version, pictures, progress=progress, max_mpx=max_mpx)
    answers = in_classes_of(
        version,
        answers,
        tuple(state.class_between(name, trained_on, version.tag) for name in predictor.class_names),
    )
    found = {digest: answer.detections for digest, answer in answers.items()}
    return ChampionView(served.version, found, is_there=True)
