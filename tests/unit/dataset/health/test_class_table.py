"""The table of classes."""

from dataset.health.class_table import ClassRow, ClassTable, tabulate_classes
from dataset.labelled_pictures import Split

SMALL, MEDIUM, LARGE = (0, 0, 3, 3), (0, 0, 10, 10), (0, 0, 30, 30)


def test_instances_pictures_and_sizes_of_each_class_are_counted_by_split(labelled):
    table = tabulate_classes(
        [
            labelled("a", (0, SMALL), (0, MEDIUM), (1, LARGE, True)),
            labelled("b", (0, LARGE), split="test"),
            labelled("c"),
        ],
        ["bolt", "nut"],
        size_edges_px=(100, 400),
    )
    bolt, nut = table.rows
    assert bolt == ClassRow(
        "bolt", {"train": 2, "val": 0, "test": 1}, {"train": 1, "val": 0, "test": 1}, (1, 1, 1)
    )
    assert (nut.total, nut.sizes, table.num_empty) == (0, (0, 0, 0), 1)


def row(name: str, train: int, val: int, test: int) -> ClassRow:
    counts: dict[Split, int] = {"train": train, "val": val, "test": test}
    return ClassRow(name, counts, counts, (train + val + test,))


def test_classes_that_cannot_be_learned_or_judged_are_remarked_on():
    rows = (row("bolt", 900, 100, 100), row("nut", 10, 1, 1), row("gear", 50, 5, 0), row("pin", 0, 0, 0))
    assert ClassTable(rows, 0).remarks() == (
        "nut: 10 instances for training; fewer than 20 teach little",
        "gear: there are no instances in test; label more pictures",
        "pin: there are no instances; label some, or drop the class",
    )
    assert ClassTable((row("bolt", 1500, 0, 0), row("nut", 14, 0, 0)), 0).remarks()[-1] == (
        "bolt has 1500 instances and nut 14"
    )
    assert ClassTable((row("bolt", 30, 5, 5),), 0).remarks() == ()
