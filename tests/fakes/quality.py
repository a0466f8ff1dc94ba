"""Measurements of champions on labels from production, as a ledger holds them."""

from __future__ import annotations

from maskloop.records.kinds import ClassQuality, QualityMeasured, write_record
from tests.fakes.loop_world import World


def class_quality(name: str, iou: float, *, num: int = 30, spread: float = 0.0) -> ClassQuality:
    """Return the sums over pictures with one instance each, half of which lie above the mean."""
    values = [iou + spread, iou - spread] * (num // 2)
    return ClassQuality(
        class_name=name,
        num_pictures=len(values),
        num_instances=len(values),
        iou_sum=sum(values),
        iou_sum_squared=sum(value * value for value in values),
        iou_sum_by_instances=sum(values),
        instances_squared=len(values),
    )


def measured(
    weights_digest: str,
    *classes: ClassQuality,
    version: str = "1",
    random: tuple[ClassQuality, ...] = (),
    data_tag: str = "data-v2",
) -> QualityMeasured:
    return QualityMeasured(
        version=version,
        weights_digest=weights_digest,
        data_tag=data_tag,
        num_pictures=30,
        num_random=10 if random else 0,
        classes=classes,
        random_classes=random,
    )


def tell_quality(world: World, iou: float, *, num: int = 30) -> None:
    """Let labels from production say how good the present champion is."""
    champion = world.state.champion
    assert champion is not None
    classes = [class_quality(name, iou, num=num) for name in ("bolt", "nut")]
    record = measured(champion.weights_digest, *classes, version=champion.version)
    world.clock.advance(minutes=1)
    write_record(world.ledger, record)
