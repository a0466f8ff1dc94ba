"""Where labels come from, from a record to the catalog, and what stays out of it."""

import dataclasses

from dataset.labelled_pictures import LabelledInstance
from dataset.origin import Origin, annotator_key, most_frequent, read_origin
from tests.fakes.coco_batches import coco_content

ADA = {"tool": "CVAT", "task": "job 3", "annotator": "ada", "time": "2026-01-02T10:00:00Z"}
BEN = {"tool": "CVAT", "annotator": "ben"}


def test_a_record_that_tells_nothing_has_no_origin():
    silent: tuple[object, ...] = (None, {}, "ada", {"tool": True, "time": 1.5})
    assert [read_origin(told) for told in silent] == [None] * 4


def test_numbers_are_text_and_endless_text_is_cut():
    assert read_origin({"annotator": 7, "task": "x" * 999}) == Origin(task="x" * 200, annotator="7")


def test_a_mail_address_is_stored_as_a_digest_however_it_is_spelled():
    keys = {annotator_key(name) for name in ("ada@example.com", "Ada@Example.COM", " ada@example.com ")}
    assert keys == {"mail-b5fc85e55755"}
    assert read_origin({"annotator": "ada@example.com"}) == Origin(annotator="mail-b5fc85e55755")


def test_the_most_frequent_origin_is_the_first_of_equals():
    ada, ben = read_origin(ADA), read_origin(BEN)
    assert most_frequent([None, ben, ada, ada, ben]) == ben
    assert most_frequent([None, None]) is None


def test_instances_that_differ_in_their_origin_alone_are_one(ingest):
    one = ingest(range(1)).version.pictures[0].instances[0]
    assert len({one, dataclasses.replace(one, origin=read_origin(ADA))}) == 1
    assert LabelledInstance(one.class_index, one.mask) == one


class TestInADataVersion:
    def test_an_ingested_picture_and_its_instances_name_their_annotators(self, ingest):
        batch = coco_content(range(2))
        mine = [one for one in batch["annotations"] if one["image_id"] == batch["images"][0]["id"]]
        batch["images"][0]["origin"] = ADA
        mine[0]["origin"] = BEN
        version = ingest(range(2), batch).version
        told = {
            picture.name: (picture.origin, {one.origin for one in picture.instances})
            for picture in version.pictures
        }
        ada, ben = read_origin(ADA), read_origin(BEN)
        assert told[batch["images"][0]["file_name"]] == (ada, {ada, ben})
        assert told[batch["images"][1]["file_name"]] == (None, {None})

    def test_the_same_labels_by_somebody_else_change_nothing(self, ingest, store):
        ingest(range(2))
        batch = coco_content(range(2))
        for image in batch["images"]:
            image["origin"] = ADA
        assert ingest(range(2), batch).changed is False
        assert store.versions() == ("data-v1",)

    def test_labels_that_are_added_name_their_annotator_and_the_old_ones_keep_theirs(self, ingest):
        for category, origin in ((1, ADA), (2, BEN)):
            batch = coco_content(range(2))
            batch["annotations"] = [one for one in batch["annotations"] if one["category_id"] == category]
            for image in batch["images"]:
                image["origin"] = origin
            version = ingest(range(2), batch, relabelling="add").version
        ada, ben = read_origin(ADA), read_origin(BEN)
        assert {picture.origin for picture in version.pictures} == {ada}
        by_class = {(one.class_index, one.origin) for each in version.pictures for one in each.instances}
        assert by_class == {(0, ada), (1, ben)}
