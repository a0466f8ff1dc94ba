"""Changes that a person makes to existing data: an older version is restored, classes are changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataset.ingestion.class_changes import plan_class_change
from dataset.version_store import DatasetStore, next_tag
from flows.intake.batch_intake import record_missing_versions, record_version
from flows.workspace.wiring import App
from maskloop.digest import digest_value
from maskloop.errors import MaskloopError, NotFoundError, RefusedError
from maskloop.records.kinds import ClassesChanging, VersionRestored, write_record
from maskloop.state.loop_state import LoopState
from maskloop.wording import count

if TYPE_CHECKING:
    from dataset.ingestion.class_changes import ClassChange, ClassPlan
    from dataset.labelled_pictures import DatasetVersion


def restore_version(app: App, tag: str, *, by: str, why: str = "") -> DatasetVersion:
    """Make a data version the current one again and write down who did it.

    It is idempotent: a run after a crash completes the change, with one entry in the ledger.

    Raises:
        NotFoundError: if there is no such version.
        RefusedError: if `data/` holds anything that no data version put there.
        IntegrityError: if its content is not what was tagged.
    """
    record_missing_versions(app.ledger, app.state(), app.data)
    version = app.data.restore(tag)
    previous = app.state().data_tag
    if previous == tag:
        return version
    record = VersionRestored(
        tag=tag,
        previous_tag=previous,
        fingerprint=version.fingerprint,
        num_pictures=len(version.pictures),
        by=by,
        why=why,
    )
    write_record(app.ledger, record, actor=by)
    app.teller.say(record.sentence())
    return version


def change_classes(
    app: App, change: ClassChange, *, by: str, why: str = "", drop_instances: bool = False
) -> ClassesChanging:
    """Drop, rename or merge classes of the current data, as a new version, and write down who did it.

    The decision is recorded before the change is made, so a crash in between loses nothing and the next run
    completes it.

    Args:
        app: The workspace.
        change: What to do.
        by: Who asks for it.
        why: The reason, for the record.
        drop_instances: The person agrees that the instances of dropped classes leave the data.

    Raises:
        NotFoundError: if there are no data, or a class is named that is none.
        DataError: if the wishes contradict each other.
        RefusedError: if instances would leave without ``drop_instances``, or `data/` holds foreign files.
        StorageError: if something could not be stored; the data are as before.
    """
    record_missing_versions(app.ledger, app.state(), app.data)
    with app.data.staging() as folder:
        current = app.data.current()
        if current is None:
            raise NotFoundError("there are no data yet", hint="Run `maskloop ingest` first")
        if done := _done_before(app.state(), change, current):
            return done
        plan = plan_class_change(current.catalog, change)
        if plan.num_lost and not drop_instances:
            raise _refuse_loss(plan)
        record = ClassesChanging(
            tag=current.tag,
            dropped=change.drops,
            renamed=change.renames,
            merged=change.merges,
            num_instances_lost=plan.num_lost,
            num_pictures_losing=plan.num_pictures_losing,
            class_names=plan.catalog.class_names,
            by=by,
            why=why,
        )
        key = f"classes:{next_tag(app.data.versions())}:{digest_value(record.model_dump(mode='json'))}"
        write_record(app.ledger, record, actor=by, key=key)
        version = app.data.commit(folder, plan.catalog, record.sentence())
    record_version(app.ledger, version, source=f"{current.tag} with other classes", actor=by)
    app.teller.say(record.sentence())
    return record


def find_damage(store: DatasetStore, tag: str, *, sample: int | None = None) -> list[dict[str, str]]:
    """Return what the remote has lost of a version, with the file and the picture it is, where known."""
    files = store.files_of(tag)
    damage = [(name, files.get(name, "")) for name in store.verify(tag, sample=sample)]
    if not damage:
        return []
    try:
        pictures = {picture.file: picture.name for picture in store.open(tag).pictures}
    except MaskloopError:  # what is lost cannot be opened either
        pictures = {}
    return [{"object": name, "file": file, "picture": pictures.get(file, "")} for name, file in damage]


def count_classes(store: DatasetStore) -> list[dict[str, str | int]]:
    """Return each class of the current data with its instances by split, and its pictures."""
    current = store.current()
    if current is None:
        return []
    return [
        {
            "class": name,
            **{
                split: sum(one.class_index == index for picture in pictures for one in picture.instances)
                for split, pictures in current.by_split.items()
            },
            "pictures": sum(
                any(one.class_index == index for one in picture.instances) for picture in current.pictures
            ),
        }
        for index, name in enumerate(current.class_names)
    ]


def _done_before(state: LoopState, change: ClassChange, current: DatasetVersion) -> ClassesChanging | None:
    """Return the newest change of classes if it is this one, and the current data came of it."""
    changes = state.class_changes
    if not changes or changes[-1].class_names != current.class_names:
        return None
    last = changes[-1]
    asked = (change.drops, change.renames, change.merges)
    return last if (last.dropped, last.renamed, last.merged) == asked and last.tag != current.tag else None


def _refuse_loss(plan: ClassPlan) -> RefusedError:
    named = " and ".join(f"{count(number, 'instance')} of {name!r}" for name, number in plan.lost.items())
    emptied = f", and {plan.num_emptied} of them would be left without any object" if plan.num_emptied else ""
    return RefusedError(
        f"{named} would leave {count(plan.num_pictures_losing, 'picture')}{emptied}",
        hint="Pass --drop-instances to agree, or keep them with --merge CLASS INTO",
    )
