"""The pictures that carry an alarm, beside the champion's own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.verdict import judge_drift
from monitoring.pages.carrier_gallery import CarrierPicture, show_pairs
from monitoring.pages.drift_page import write_drift_page
from monitoring.selection.carriers import Carrier, Carriers
from tests.fakes.drift_data import baseline_of, draw, window_of

RANDOM = np.random.default_rng(0)
NOISE = RANDOM.integers(0, 256, (400, 300, 3), dtype=np.uint8)
"""What a JPEG needs most bytes for."""


def carrier(name: str = "s1", *, nearest: str = "own1") -> Carrier:
    return Carrier(name, "gate", "2026-03-01T12:00:00+00:00", "3", 4.25, ("noise", "contrast"), nearest)


def carriers_of(*samples: Carrier, no_nearest: str = "") -> Carriers:
    return Carriers(samples, 80.0, 100, {}, {}, {}, {}, {}, no_nearest)


def page_of(tmp_path: Path, carriers: Carriers, pictures: list[CarrierPicture]) -> str:
    rng = np.random.default_rng(0)
    baseline, window = baseline_of(draw(rng, 80)), window_of(draw(rng, 60, shift_sd=2.0))
    verdict = judge_drift(baseline, window, MonitoringSettings())
    file = write_drift_page(tmp_path, verdict, baseline, window, carriers=carriers, carrier_pictures=pictures)
    return re.sub(r"\s+", " ", file.read_text())


def test_a_carrier_stands_beside_its_nearest_own_picture_with_its_part_source_and_features(
    tmp_path: Path,
) -> None:
    page = page_of(tmp_path, carriers_of(carrier()), [CarrierPicture(carrier(), NOISE, NOISE[:100])])
    assert "<h2>The pictures that carry the alarm</h2>" in page
    assert page.count("data:image/jpeg;base64,") == 2
    assert 'alt="From production, sample s1"' in page
    assert 'alt="The nearest own picture, own1"' in page
    assert "4.2 % from gate: noise, contrast" in page


@pytest.mark.parametrize(("nearest", "said"), [("own1", "not kept any more"), ("", "unknown")])
def test_that_a_nearest_picture_cannot_be_shown_is_said(nearest: str, said: str) -> None:
    (shown,) = show_pairs([CarrierPicture(carrier(nearest=nearest), NOISE, None)])
    assert (shown.nearest, shown.no_nearest) == ("", said)
    assert shown.picture


def test_why_no_carrier_has_a_nearest_picture_is_said(tmp_path: Path) -> None:
    carriers = carriers_of(carrier(nearest=""), no_nearest="they were measured before")
    page = page_of(tmp_path, carriers, [CarrierPicture(carrier(nearest=""), None, None)])
    assert "(none is shown: they were measured before)" in page
    assert re.search(r"<span>not kept any more</span> ?<span>unknown</span>", page)


def test_fifty_pairs_of_the_worst_pictures_take_less_than_two_megabytes(tmp_path: Path) -> None:
    many = [carrier(f"s{number}") for number in range(50)]
    page = page_of(tmp_path, carriers_of(*many), [CarrierPicture(one, NOISE, NOISE) for one in many])
    assert page.count("data:image/jpeg;base64,") == 100
    assert len(page) < 2_000_000
