"""What an ingest does with pictures that are known, or belong to known ones."""

import numpy as np
import pytest

from dataset.ingestion.name_groups import suggest_pattern
from dataset.ingestion.refusal import BatchRefusedError
from dataset.pictures.decoding import encode_png
from dataset.versions.catalog import read_catalog
from maskloop.settings.workspace_settings import parse_settings
from tests.fakes.coco_batches import annotation, coco_content, noise_pixels, rectangle


class TestRelabelling:
    """Two files about the same pictures: the first has bolts alone, the second nuts alone."""

    @pytest.fixture
    def only(self):
        def content(category, num_pictures=4):
            both = coco_content(range(num_pictures))
            both["annotations"] = [one for one in both["annotations"] if one["category_id"] == category]
            return both

        return content

    def test_labels_that_take_a_class_from_pictures_that_had_it_are_refused(self, ingest, store, only):
        ingest(range(4), only(1))
        with pytest.raises(BatchRefusedError, match="take 'bolt' from 4 pictures that had it") as caught:
            ingest(range(4), only(2))
        assert "--add" in caught.value.hint
        assert "--replace" in caught.value.hint
        assert store.versions() == ("data-v1",)

    def test_they_replace_the_old_ones_when_somebody_agrees(self, ingest, only):
        ingest(range(4), only(1))
        result = ingest(range(4), only(2), relabelling="replace")
        assert {one.class_index for p in result.version.pictures for one in p.instances} == {1}
        assert "class-taken-away" in [p.code for p in result.report.problems if p.severity == "warning"]

    def test_they_join_the_old_ones_when_that_is_asked_for(self, ingest, only):
        ingest(range(4), only(1))
        result = ingest(range(4), only(2), relabelling="add")
        assert [len(picture.instances) for picture in result.version.pictures] == [2, 2, 2, 2]
        assert result.num_updated == 4
        again = ingest(range(4), only(2), relabelling="add")
        assert (again.changed, again.balance.annotations_not_kept) == (False, {"of objects the data have": 4})

    @pytest.mark.parametrize(("first", "second"), [("human", "model-reviewed"), ("model-reviewed", "human")])
    def test_a_picture_with_labels_of_two_origins_counts_as_the_less_certain_one(
        self, first, second, ingest, only
    ):
        ingest(range(2), only(1, 2), label_origin=first)
        version = ingest(range(2), only(2, 2), label_origin=second, relabelling="add").version
        assert {picture.label_origin for picture in version.pictures} == {"model-reviewed"}

    def test_an_object_drawn_a_second_time_almost_alike_is_joined_once(self, ingest):
        first = ingest(range(4)).version
        redrawn = coco_content(range(4))
        for record in redrawn["annotations"]:
            x, y = record["segmentation"][0][:2]
            record["segmentation"] = rectangle(x, y, 11, 8)
        result = ingest(range(4), redrawn, relabelling="add")
        assert (result.changed, result.version) == (False, first)
        assert result.balance.annotations_not_kept == {"of objects the data have": 8}

    def test_an_object_of_another_class_on_a_known_one_is_kept_and_told(self, ingest, only):
        ingest(range(4), only(1))
        renamed = only(1)
        for record in renamed["annotations"]:
            record["category_id"] = 2
        result = ingest(range(4), renamed, relabelling="add")
        assert "two-classes" in [problem.code for problem in result.report.problems]
        assert all(len(picture.instances) == 2 for picture in result.version.pictures)

    def test_fewer_instances_of_a_class_are_a_warning_with_both_numbers(self, ingest):
        more = coco_content(range(4))
        more["annotations"].append(annotation(99, 2, 2, segmentation=rectangle(20, 12)))
        ingest(range(4), more)
        result = ingest(range(4))
        (told,) = (problem for problem in result.report.problems if problem.code == "fewer-instances")
        assert told.severity == "warning"
        assert "'nut' 2 to 1" in told.message

    def test_a_picture_whose_labels_are_all_gone_is_refused_too(self, ingest):
        ingest(range(4))
        content = coco_content(range(4))
        content["annotations"] = content["annotations"][2:]
        with pytest.raises(BatchRefusedError, match=r"take 'bolt' from 1 picture .*, 'nut' from 1 picture"):
            ingest(range(4), content)


class TestGroups:
    """Who belongs together is read from looks and names, and what upsets the splits is told."""

    def renamed(self, tmp_path, names):
        """Write a batch of noise pictures under these names."""
        content = coco_content(range(len(names)))
        for number, (image, name) in enumerate(zip(content["images"], names, strict=True)):
            image["file_name"] = name
            folder = tmp_path / "batch" / "images"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(encode_png(noise_pixels(number)))
        return content

    def test_different_pictures_of_one_even_ground_are_split_like_any_others(self, ingest, tmp_path):
        content = coco_content(range(60))
        folder = tmp_path / "batch" / "images"
        folder.mkdir(parents=True)
        for number, image in enumerate(content["images"]):
            image["file_name"] = f"even_{number}.png"
            pixels = np.full((30, 40, 3), 235, np.uint8)
            pixels[3 * (number // 10) : 3 * (number // 10) + 3, 4 * (number % 10) : 4 * (number % 10) + 4] = (
                20
            )
            (folder / f"even_{number}.png").write_bytes(encode_png(pixels))
        result = ingest(range(60), content)
        assert len({picture.group for picture in result.version.pictures}) == 60
        assert all(result.version.by_split.values())
        assert result.report.problems == ()

    def test_names_of_tiles_propose_the_pattern_that_keeps_them_together(self, ingest, tmp_path):
        names = [f"{photo}_scaled_{tile}.png" for photo in ("ash", "elm", "fir", "oak") for tile in range(5)]
        content = self.renamed(tmp_path, names)
        problem = next(p for p in ingest(range(20), content).report.problems if p.severity == "warning")
        assert problem.code == "names-suggest-groups"
        assert "20 file names look like parts of 4 pictures" in problem.message
        pattern = problem.hint.split("'")[1]
        settings = parse_settings({"data": {"group_pattern": pattern}})
        suggested = suggest_pattern(names)
        assert suggested is not None
        assert suggested.pattern == settings.data.group_pattern

    def test_tiles_declared_for_two_splits_are_told(self, ingest, tmp_path):
        names = [f"{photo}_scaled_{tile}.png" for photo in ("ash", "elm", "fir", "oak") for tile in range(2)]
        ingest(range(4), self.renamed(tmp_path, names[::2]), split="train")
        result = ingest(range(8), self.renamed(tmp_path, names[::2] + names[1::2]), split="test")
        (problem,) = result.report.problems
        assert "4 of these are in two splits: ash_scaled_0.png and ash_scaled_1.png" in problem.message
        assert "in a new workspace" in problem.hint

    def test_nothing_is_proposed_where_a_pattern_is_set(self, ingest, tmp_path):
        names = [f"{photo}_scaled_{tile}.png" for photo in ("ash", "elm", "fir", "oak") for tile in range(5)]
        settings = parse_settings({"data": {"group_pattern": "^(.*)_scaled"}})
        result = ingest(range(20), self.renamed(tmp_path, names), settings=settings)
        assert len({picture.group for picture in result.version.pictures}) == 4
        assert {problem.code for problem in result.report.problems} <= {"large-group"}

    def test_a_stored_picture_of_the_same_even_ground_is_looked_at_before_it_ties(self, ingest, tmp_path):
        """An earlier version stored no more than its hash."""

        def even(place):
            pixels = np.full((30, 40, 3), 235, np.uint8)
            pixels[place : place + 3, place : place + 4] = 20
            return encode_png(pixels)

        folder = tmp_path / "batch" / "images"
        folder.mkdir(parents=True)
        for number, place in ((0, 3), (1, 15)):
            content = coco_content(range(number, number + 1))
            content["images"][0]["file_name"] = f"even_{number}.png"
            (folder / f"even_{number}.png").write_bytes(even(place))
            version = ingest(range(number, number + 1), content).version
        hashes = read_catalog(version.root).difference_hashes.values()
        assert len(version.pictures) == len({picture.group for picture in version.pictures}) == 2
        assert int.bit_count(int.__xor__(*hashes)) <= 3
