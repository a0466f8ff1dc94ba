"""Histograms of the drift page, drawn by hand."""

from __future__ import annotations

import numpy as np

from monitoring.pages.drift_page import histogram_svg


def test_a_histogram_is_drawn_to_the_height_of_its_tallest_bar() -> None:
    """All of the reference lies in the first of 22 bins, half of the window there and half in the last."""
    svg = str(histogram_svg(np.zeros(4), np.array([0.0, 1.0]), title="noise"))
    assert '<path class="reference" d="M0 70 V4.0 H10.9 V70.0 H21.8 ' in svg
    assert '<path class="current" d="M0 70 V37.0 H10.9 V70.0 H21.8 ' in svg
    assert svg.count(" V37.0 H240.0 V70 Z") == 1
    assert '<text x="0" y="84">0</text><text x="240" y="84" text-anchor="end">1</text>' in svg


def test_a_single_value_is_drawn_in_the_middle_of_its_axis() -> None:
    svg = str(histogram_svg(np.full(3, 2.0), np.full(2, 2.0), title="noise"))
    assert ">1.5</text>" in svg
    assert ">2.5</text>" in svg
