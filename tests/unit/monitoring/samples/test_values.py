"""The values of the sample log and of the correction log: what they count, keep and say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.instances import Detections
from maskloop.digest import digest_bytes
from maskloop.masks import encode_masks
from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.samples.corrections import Correction, Judged, no_picture_left
from monitoring.samples.values import Sample, SampleCounts, measure, picture_file_name, tally
from monitoring.samples.windows import Window, choose_window
from tests.fakes.drift_data import sample_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def found(scores: list[float], classes: list[int]) -> Detections:
    num = len(scores)
    masks = np.zeros((num, 4, 6), dtype=bool)
    masks[:, 1:3, 1:3] = True
    return Detections(
        4,
        6,
        np.tile(np.array([1, 1, 3, 3], dtype=np.float32), (num, 1)),
        np.array(scores, dtype=np.float32),
        np.array(classes, dtype=np.int64),
        encode_masks(masks),
    )


def measured(scores: list[float], classes: list[int], *, orientation: int = 1) -> Sample:
    return measure(
        replace(sample_of("a"), orientation=orientation),
        np.zeros((4, 6, 3), dtype=np.uint8),
        found(scores, classes),
        ["bolt", "nut"],
        score_threshold=0.5,
        embedding=np.array([0.5, 2.0], dtype=np.float32),
    )


def test_only_confident_detections_count_but_all_enter_the_top_scores() -> None:
    sample = measured([0.75, 0.5, 0.25], [1, 1, 0])
    assert sample.class_counts == {"bolt": 0, "nut": 2}
    assert (sample.features["count"], sample.features["max_score"]) == (2.0, 0.75)
    assert sample.top_scores == (0.75, 0.5, 0.25)
    assert sample.embedding == (0.5, 2.0)


def test_five_top_scores_are_kept() -> None:
    sample = measured([0.875, 0.75, 0.625, 0.5, 0.375, 0.25], [0] * 6)
    assert sample.top_scores == (0.875, 0.75, 0.625, 0.5, 0.375)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_stored_file_which_may_lie_on_its_side(orientation: int) -> None:
    sample = measured([], [], orientation=orientation)
    assert (sample.width_px, sample.height_px) == ((4, 6) if orientation >= 5 else (6, 4))


def test_what_came_with_a_sample_stays_as_it_was() -> None:
    before, after = sample_of("a"), measured([0.75], [0])
    assert (after.sample_id, after.received_at, after.source) == (
        before.sample_id,
        before.received_at,
        before.source,
    )


def test_a_picture_is_kept_under_its_digest() -> None:
    data = b"\x89PNG\r\n\x1a\n picture"
    digest = digest_bytes(data)
    assert picture_file_name(data) == f"pictures/{digest[:2]}/{digest}.png"


def test_rows_of_one_status_and_reason_add_up() -> None:
    rows = [
        ("scored", "", 3),
        ("skipped", "late", 2),
        ("pending", "", 4),
        ("skipped", "expired", 1),
        ("skipped", "late", 5),
        ("scored", "", 1),
    ]
    assert tally(rows) == SampleCounts(16, 4, 8, 4, {"late": 7, "expired": 1})
    assert tally([]) == SampleCounts(0, 0, 0, 0, {})


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["scored", "skipped", "pending"]),
            st.sampled_from(["", "late"]),
            st.integers(0, 99),
        )
    )
)
def test_all_received_samples_are_scored_skipped_or_pending(rows: list[tuple[str, str, int]]) -> None:
    counts = tally(rows)
    assert counts.received == counts.scored + counts.skipped + counts.pending == sum(row[2] for row in rows)
    assert sum(counts.skipped_by_reason.values()) == counts.skipped


# --- windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_pending", "num_chosen", "is_complete", "num_superseded"),
    [(0, 0, False, 0), (2, 2, False, 0), (3, 3, True, 0), (5, 5, True, 0), (6, 5, True, 1), (12, 5, True, 7)],
)
def test_a_window_is_complete_from_its_least_size_on_and_gives_up_what_is_older(
    num_pending: int, num_chosen: int, is_complete: bool, num_superseded: int
) -> None:
    pending = [sample_of(str(number)) for number in range(num_pending)]
    sizes = MonitoringSettings(window_samples=5, min_window_samples=3)
    plan = choose_window(pending, weights_digest="w1", settings=sizes)
    assert plan.window.samples == tuple(pending[:num_chosen])
    assert plan.is_complete == is_complete
    assert plan.superseded_ids == tuple(one.sample_id for one in pending[num_pending - num_superseded :])


def test_a_window_is_named_by_its_champion_and_the_order_of_its_samples() -> None:
    a, b = sample_of("a"), sample_of("b")
    windows = [Window("w1", (a, b)), Window("w1", (b, a)), Window("w2", (a, b)), Window("w1", (a,))]
    names = {one.window_id for one in windows}
    assert len(names) == 4
    assert {len(name) for name in names} == {16}
    assert Window("w1", (replace(a, source="another"), b)).window_id == windows[0].window_id


# --- corrections ---------------------------------------------------------------------------------

MASK = encode_masks(np.ones((1, 2, 2), dtype=bool))[0]
SAID = Correction("a", NOON, "rita", "wrong", (("bolt", MASK),), "a bolt as well", "3", "belt", (2, 2))


def test_the_content_of_a_correction_is_what_was_said_and_of_which_answer() -> None:
    others = [
        replace(SAID, request_id="b"),
        replace(SAID, verdict="right"),
        replace(SAID, instances=()),
        replace(SAID, instances=None),
        replace(SAID, instances=(("nut", MASK),)),
        replace(SAID, note=""),
    ]
    assert len({SAID.content_digest, *(one.content_digest for one in others)}) == 7


def test_who_said_it_when_and_of_which_model_is_no_content() -> None:
    again = replace(
        SAID, by="anna", at=NOON + timedelta(days=1), model_version="4", source="", size_px=(0, 0)
    )
    assert again.content_digest == SAID.content_digest


def test_instances_are_kept_as_names_and_coco_masks_and_none_differs_from_an_empty_list() -> None:
    assert SAID.instances_json == [("bolt", {"size": [2, 2], "counts": "04"})]
    assert replace(SAID, instances=()).instances_json == []
    assert replace(SAID, instances=None).instances_json is None


@pytest.mark.parametrize(("right", "wrong", "percent"), [(3, 1, 25.0), (0, 4, 100.0), (5, 0, 0.0)])
def test_the_share_of_wrong_answers_is_that_of_the_judged_ones(
    right: int, wrong: int, percent: float
) -> None:
    judged = Judged("3", num_right=right, num_wrong=wrong)
    assert judged.wrong_percent == percent
    assert judged.sentence() == f"{wrong} of {right + wrong} judged answers of version 3 were wrong"


def test_a_correction_without_its_picture_says_how_many_are_kept() -> None:
    assert no_picture_left(200) == "its picture was let go: only the newest 200 are kept"
