import dataclasses
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from scipy.stats import chi2_contingency

from dataset.coco.document import CocoFile
from dataset.coco.labels import BatchClasses, compare_label_distribution, read_batch_classes, settle_schema
from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from dataset.origin import Origin
from dataset.raw.conversion import PictureConversion
from dataset.versions import catalog as catalog_module
from dataset.versions.catalog import (
    Catalog,
    arrange_files,
    fingerprint,
    in_order,
    picture_file,
    read_catalog,
    read_picture_file,
    write_catalog,
)
from maskloop.digest import canonical_json, digest_bytes
from maskloop.errors import IntegrityError, NotFoundError
from maskloop.masks import encode_masks

CLASSES = ("bolt", "nut")


def picture(number: int, **changes) -> LabelledPicture:
    masks = np.zeros((2, 6, 8), dtype=bool)
    masks[0, 1:3, 1:4] = True
    masks[1, 3:5, number % 4 : number % 4 + 3] = True
    first, second = encode_masks(masks)
    digest = f"{number:064x}"
    whole = LabelledPicture(
        digest,
        picture_file(digest, ".png"),
        f"{number}.png",
        8,
        6,
        "here",
        f"g{number}",
        "train",
        "data-v1",
        "human",
        (LabelledInstance(0, first), LabelledInstance(1, second, is_crowd=True)),
    )
    return dataclasses.replace(whole, **changes)


def catalog(*pictures: LabelledPicture) -> Catalog:
    return Catalog(CLASSES, pictures, {p.digest: 2**63 + number for number, p in enumerate(pictures)})


def test_what_is_written_is_read_back(tmp_path):
    written = catalog(picture(1), picture(2, instances=()))
    write_catalog(tmp_path, written)
    assert read_catalog(tmp_path) == written


def test_what_was_mended_is_kept_and_changes_no_catalog_without_mends(tmp_path):
    mended = picture(2, mended=("masks-one-pixel-short",))
    write_catalog(tmp_path, catalog(picture(1), mended))
    assert read_catalog(tmp_path).pictures[1] == mended
    write_catalog(tmp_path, catalog(picture(1)))
    assert "mended" not in (tmp_path / "instances.json").read_text()
    assert fingerprint(CLASSES, [mended]) == fingerprint(CLASSES, [picture(2)])


def test_who_labelled_what_is_kept_and_changes_no_catalog_without_it(tmp_path):
    ada, ben = Origin("CVAT", "job 3", "ada", "2026-01-02"), Origin("CVAT", annotator="ben")
    first, second = picture(2).instances
    written = picture(
        2,
        origin=ada,
        instances=(dataclasses.replace(first, origin=ada), dataclasses.replace(second, origin=ben)),
    )
    unknown = picture(3, origin=ada)  # its instances name nobody
    write_catalog(tmp_path, catalog(written, unknown))
    read = read_catalog(tmp_path).pictures
    assert [one.origin for one in read] == [ada, ada]
    assert [[one.origin for one in each.instances] for each in read] == [[ada, ben], [None, None]]
    write_catalog(tmp_path, catalog(picture(1)))
    assert "origin" not in (tmp_path / "instances.json").read_text().replace("label_origin", "")
    assert fingerprint(CLASSES, [written]) == fingerprint(CLASSES, [picture(2)])


def test_a_stated_conversion_is_kept_and_changes_no_catalog_without_one(tmp_path):
    stated = dataclasses.replace(
        catalog(picture(1)), conversion=PictureConversion((0.0, 4096.0), bands=(3, 2, 1))
    )
    write_catalog(tmp_path, stated)
    assert read_catalog(tmp_path) == stated
    write_catalog(tmp_path, catalog(picture(1)))
    assert "conversion" not in (tmp_path / "instances.json").read_text()


def test_the_bytes_do_not_depend_on_the_order_things_came_in(tmp_path):
    one, two = picture(1), picture(2)
    mixed = dataclasses.replace(one, instances=one.instances[::-1])
    hashes = {one.digest: 5, two.digest: 6}
    write_catalog(tmp_path / "a", Catalog(CLASSES, (one, two), hashes))
    write_catalog(tmp_path / "b", Catalog(CLASSES, (two, mixed), hashes))
    assert (tmp_path / "a" / "instances.json").read_bytes() == (
        tmp_path / "b" / "instances.json"
    ).read_bytes()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_it_and_finds_every_mask(tmp_path):
    write_catalog(tmp_path, catalog(picture(1), picture(2)))
    coco = COCO(str(tmp_path / "instances.json"))
    assert [int(coco.annToMask(record).sum()) for record in coco.loadAnns([1, 2])] == [6, 6]
    assert [record["area"] for record in coco.loadAnns([1, 2])] == [6, 6]
    assert coco.anns[1]["bbox"] == [1, 1, 3, 2]


class TestSeveralFiles:
    @pytest.fixture(autouse=True)
    def _few_in_a_file(self, monkeypatch):
        monkeypatch.setattr(catalog_module, "PICTURES_PER_FILE", 2)

    def written(self, root: Path) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in root.iterdir()}

    def test_more_pictures_than_one_holds_are_in_several_and_are_read_back_in_order(self, tmp_path):
        whole = catalog(*map(picture, (5, 1, 4, 2, 3)))
        kept = write_catalog(tmp_path, whole)
        assert sorted(self.written(tmp_path)) == [
            "instances-002.json",
            "instances-003.json",
            "instances.json",
        ]
        assert read_catalog(tmp_path) == in_order(whole)
        assert read_catalog(tmp_path).files == kept.files
        assert [len(digests) for digests in kept.files] == [2, 2, 1]

    @pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
    def test_each_is_a_coco_file_of_its_own(self, tmp_path):
        write_catalog(tmp_path, catalog(*map(picture, range(1, 4))))
        coco = COCO(str(tmp_path / "instances-002.json"))
        assert [int(coco.annToMask(record).sum()) for record in coco.loadAnns([1, 2])] == [6, 6]
        assert coco.imgs[1]["file_name"] == picture(3).file

    def test_new_pictures_change_the_last_one_alone(self, tmp_path):
        before = write_catalog(tmp_path / "old", catalog(*map(picture, (1, 3, 5))))
        after = catalog(*before.pictures, picture(2), picture(4))
        write_catalog(tmp_path / "new", after, before=before)
        assert sorted(self.written(tmp_path / "new")) == ["instances-002.json", "instances-003.json"]
        shutil.copy(tmp_path / "old" / "instances.json", tmp_path / "new")
        assert read_catalog(tmp_path / "new") == in_order(after)

    def test_a_relabelled_picture_changes_the_one_that_holds_it(self, tmp_path):
        before = write_catalog(tmp_path / "old", catalog(*map(picture, range(1, 6))))
        changed = dataclasses.replace(before.pictures[2], instances=())
        after = dataclasses.replace(before, pictures=(*before.pictures[:2], changed, *before.pictures[3:]))
        write_catalog(tmp_path / "new", after, before=before)
        assert sorted(self.written(tmp_path / "new")) == ["instances-002.json"]

    def test_another_class_a_conversion_and_the_second_file_change_all_of_them(self, tmp_path):
        before = write_catalog(tmp_path / "old", catalog(*map(picture, range(1, 4))))
        others = (
            dataclasses.replace(before, class_names=("a", "b")),
            dataclasses.replace(before, conversion=PictureConversion((0.0, 1.0))),
        )
        for number, other in enumerate(others):
            write_catalog(tmp_path / str(number), other, before=before)
            assert sorted(self.written(tmp_path / str(number))) == sorted(self.written(tmp_path / "old"))
        one = write_catalog(tmp_path / "one", catalog(picture(1), picture(2)))
        write_catalog(tmp_path / "two", catalog(*one.pictures, picture(3)), before=one)
        assert sorted(self.written(tmp_path / "two")) == ["instances-002.json", "instances.json"]

    def test_an_older_maskloop_is_told_that_it_cannot_read_several(self, tmp_path):
        write_catalog(tmp_path, catalog(picture(1)))
        assert b'"schema_version":1' in (tmp_path / "instances.json").read_bytes()
        write_catalog(tmp_path, catalog(*map(picture, range(1, 4))))
        assert all(b'"schema_version":2' in content for content in self.written(tmp_path).values())

    @settings(deadline=None)
    @given(st.lists(st.sets(st.integers(1, 40)), max_size=6))
    def test_every_picture_is_in_one_file_and_stays_there(self, batches):
        files: list[list[str]] = []
        there: set[int] = set()
        for batch in batches:
            there |= batch
            arranged = arrange_files(map(picture, there), files)
            digests = [[one.digest for one in some] for some in arranged]
            assert sorted(itertools.chain(*digests)) == sorted(picture(number).digest for number in there)
            assert all(len(some) <= 2 and some == sorted(some) for some in digests)
            assert all(set(old) <= set(new) for old, new in zip(files, digests, strict=False) if old)
            assert all(len(some) == 2 for some in digests[:-1])
            files = digests


CHANGES = [
    {"split": "test"},
    {"group": "other"},
    {"source": "there"},
    {"label_origin": "model-reviewed"},
    {"instances": ()},
    {"width_px": 9},
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_changes_with_everything_a_model_could_learn_from(change):
    assert fingerprint(CLASSES, [picture(1)]) != fingerprint(CLASSES, [picture(1, **change)])


def test_the_fingerprint_changes_with_the_classes_and_a_label():
    relabelled = tuple(dataclasses.replace(one, class_index=0) for one in picture(1).instances)
    assert fingerprint(CLASSES, [picture(1)]) != fingerprint(CLASSES[::-1], [picture(1)])
    assert fingerprint(CLASSES, [picture(1)]) != fingerprint(CLASSES, [picture(1, instances=relabelled)])


def test_the_fingerprint_ignores_order_names_and_history():
    plain = fingerprint(CLASSES, [picture(1), picture(2)])
    assert fingerprint(CLASSES, [picture(2), picture(1, name="x.png", added_in="data-v7")]) == plain


def test_a_missing_or_damaged_catalog_is_told(tmp_path):
    with pytest.raises(NotFoundError):
        read_catalog(tmp_path)
    for text in ("", "{}", '{"images": [{}], "annotations": [], "categories": []}'):
        (tmp_path / "instances.json").write_text(text)
        with pytest.raises(IntegrityError, match="damaged"):
            read_catalog(tmp_path)


def test_a_picture_whose_file_is_not_what_its_name_says_is_not_read(tmp_path):
    digest = digest_bytes(b"a picture")
    (tmp_path / f"{digest}.png").write_bytes(b"a picture")
    (tmp_path / "own.png").write_bytes(b"a name that says nothing")
    assert read_picture_file(tmp_path / f"{digest}.png") == b"a picture"
    assert read_picture_file(tmp_path / "own.png") == b"a name that says nothing"
    (tmp_path / f"{digest}.png").write_bytes(b"a pictura")
    with pytest.raises(IntegrityError, match="altered") as caught:
        read_picture_file(tmp_path / f"{digest}.png")
    assert "data verify" in caught.value.hint


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(deadline=None)
@given(name=TEXTS, group=TEXTS)
def test_every_record_of_a_catalog_is_canonical_json(tmp_path_factory, name, group):
    folder = tmp_path_factory.mktemp("catalog")
    write_catalog(folder, catalog(picture(1, name=name, group=group), picture(2)))
    lines = (folder / "instances.json").read_bytes().decode().split("\n")
    records = [line.rstrip(",") for line in lines if line.startswith('{"') and '"info"' not in line]
    assert len(records) > 4
    assert records == [canonical_json(json.loads(record)) for record in records]
    assert read_catalog(folder) == in_order(catalog(picture(1, name=name, group=group), picture(2)))


class TestLabelMix:
    def test_swapped_labels_are_noticed_and_name_the_class_that_moved_most(self):
        (problem,) = compare_label_distribution([800, 100, 100], [100, 800, 100], ("bolt", "nut", "gear"))
        assert problem.code == "label-mix-moved"
        assert "moved by 0.70" in problem.message

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ([500, 500], [240, 260]),
            ([10, 10], [5, 3]),
            ([100, 0], [50, 0]),
            ([0, 0], [5, 5]),
            ([5, 5], [0, 0]),
        ],
    )
    def test_small_or_unsure_changes_are_quiet(self, old, new):
        assert compare_label_distribution(old, new, ("bolt", "nut")) == ()

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=2, max_size=5))
    def test_a_warning_takes_a_large_change_that_chance_would_not_make_once_in_a_thousand(self, rows):
        old, new = zip(*rows, strict=True)
        names = tuple(f"class {number}" for number in range(len(rows)))
        shares = [np.array(counts) / sum(counts) for counts in (old, new)]
        is_large = np.abs(shares[0] - shares[1]).sum() / 2 >= 0.15
        is_certain = chi2_contingency(np.array([old, new]), correction=False).pvalue <= 0.001
        assert bool(compare_label_distribution(old, new, names)) == bool(is_large and is_certain)

    def test_batches_of_one_source_hardly_ever_warn(self):
        rng = np.random.default_rng(0)
        shares, names = [0.4, 0.3, 0.2, 0.1], ("a", "b", "c", "d")
        alarms = [
            compare_label_distribution(
                rng.multinomial(1000, shares).tolist(), rng.multinomial(60, shares).tolist(), names
            )
            for _ in range(500)
        ]
        assert sum(map(bool, alarms)) <= 5


class TestSchema:
    def settle(self, configured=(), previous=(), incoming=("a", "b"), allow=False, unused=(), umbrellas=()):
        names, problems = settle_schema(
            configured=configured,
            previous=previous,
            incoming=BatchClasses(incoming, frozenset(unused), frozenset(umbrellas)),
            allow_change=allow,
        )
        return names, [(problem.severity, problem.code) for problem in problems]

    def test_the_first_batch_sets_the_schema(self):
        assert self.settle() == (("a", "b"), [])

    def test_a_first_batch_keeps_a_class_without_instances_but_no_umbrella(self):
        assert self.settle(incoming=("all", "a", "b"), unused=("all", "b"), umbrellas=("all",)) == (
            ("a", "b"),
            [("info", "category-unused")],
        )

    def test_settings_come_before_the_batch(self):
        assert self.settle(configured=("b", "a")) == (("b", "a"), [])

    def test_a_change_is_an_error_until_allowed_and_then_a_warning(self):
        assert self.settle(previous=("a", "c")) == (
            ("a", "c"),
            [("error", "class-new"), ("error", "class-vanished")],
        )
        assert self.settle(previous=("a", "c"), allow=True) == (
            ("a", "c", "b"),
            [("warning", "class-new"), ("warning", "class-vanished")],
        )

    def test_a_format_that_lists_no_class_but_those_drawn_does_not_make_others_vanish(self):
        drawn = BatchClasses(("a",), is_complete=False)
        names, problems = settle_schema(
            configured=(), previous=("a", "c"), incoming=drawn, allow_change=False
        )
        assert (names, problems) == (("a", "c"), ())
        coco = CocoFile(Path("a.json"), (), (), ({"id": 1, "name": "a"},), declares_classes=False)
        assert not read_batch_classes(coco).is_complete

    def test_a_class_the_settings_do_not_name_stays_an_error(self):
        assert self.settle(configured=("a",), allow=True) == (("a",), [("error", "class-new")])

    @pytest.mark.parametrize("allow", [False, True])
    @pytest.mark.parametrize("schema", [{"configured": ("a",)}, {"previous": ("a",)}])
    def test_a_category_that_nothing_uses_and_the_schema_lacks_is_a_remark(self, schema, allow):
        assert self.settle(**schema, unused=("b",), allow=allow) == (("a",), [("info", "category-unused")])

    @pytest.mark.parametrize("configured", [(), ("a",)])
    def test_a_hint_is_in_the_spelling_of_the_command_line_and_never_what_was_just_done(self, configured):
        for allow in (False, True):
            _, problems = settle_schema(
                configured=configured,
                previous=("a", "c"),
                incoming=BatchClasses(("a", "b")),
                allow_change=allow,
            )
            hints = " ".join(problem.hint for problem in problems)
            assert "allow_schema_change" not in hints
            assert ("--allow-schema-change" in hints) is not allow

    @pytest.mark.parametrize(
        ("above", "umbrellas"), [("parts", {"parts"}), ("none", set()), (None, set()), (7, set())]
    )
    def test_an_umbrella_is_an_unused_category_above_another_one(self, above, umbrellas):
        categories = [
            {"id": 0, "name": "parts", "supercategory": "none"},
            {"id": 1, "name": "bolt", "supercategory": above},
            {"id": 2, "name": "nut"},
        ]
        coco = CocoFile(Path("a.json"), (), ({"category_id": 1.0},), tuple(categories))
        classes = read_batch_classes(coco)
        assert classes == BatchClasses(
            ("parts", "bolt", "nut"), frozenset({"parts", "nut"}), frozenset(umbrellas)
        )

    def test_a_category_above_itself_or_with_annotations_is_no_umbrella(self):
        categories = ({"id": 0, "name": "parts", "supercategory": "parts"}, {"id": 1, "name": "bolt"})
        assert not read_batch_classes(CocoFile(Path("a.json"), (), (), categories)).umbrellas
        categories = ({"id": 0, "name": "parts"}, {"id": 1, "name": "bolt", "supercategory": "parts"})
        used = ({"category_id": 0}, {"category_id": 1})
        assert not read_batch_classes(CocoFile(Path("a.json"), (), used, categories)).umbrellas
