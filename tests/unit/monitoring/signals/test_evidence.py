"""What speaks for a change being the cause."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.signals.evidence import weigh_evidence

RNG = np.random.default_rng(0)
BRIGHT, RATIO = RNG.uniform(0.4, 0.6, 80), RNG.uniform(0.3, 0.5, 80)


def test_a_shift_is_told_in_standard_deviations() -> None:
    own = np.tile([1.0, 3.0], 20)
    assert weigh_evidence({"saturation": own}, {"saturation": own + 5.0}) == {
        "saturation": pytest.approx(5.0)
    }


def test_contrast_and_colours_that_fell_with_the_light_alone_have_no_evidence() -> None:
    own = {"brightness": BRIGHT, "contrast": BRIGHT * RATIO, "red_green": 0.2 * BRIGHT * RATIO}
    found = weigh_evidence(own, {name: values * 0.5 for name, values in own.items()})
    assert (found["contrast"], found["red_green"]) == (0.0, 0.0)
    assert found["brightness"] > 3.0


def test_edges_that_lost_as_much_as_contrast_did_have_no_evidence() -> None:
    """Half the contrast is a quarter of the variance of the Laplacian."""
    variance = RNG.uniform(50, 150, 80)
    own = {"contrast": BRIGHT, "sharpness": np.log10(1 + variance)}
    dim = {"contrast": BRIGHT / 2, "sharpness": np.log10(1 + variance / 4)}
    soft = {"contrast": BRIGHT / 2, "sharpness": np.log10(1 + variance / 100)}
    assert weigh_evidence(own, dim)["sharpness"] == 0.0
    assert weigh_evidence(own, soft)["sharpness"] > 3.0


def test_a_property_without_values_on_one_side_has_no_figure() -> None:
    nothing = np.full(3, np.nan)
    assert (
        weigh_evidence({"noise": nothing, "contrast": nothing}, {"noise": BRIGHT, "contrast": BRIGHT}) == {}
    )


def test_constants_and_black_pictures_give_finite_figures() -> None:
    own = {"brightness": np.zeros(30), "contrast": np.zeros(30), "sharpness": np.zeros(30)}
    found = weigh_evidence(own, {name: values + 0.5 for name, values in own.items()})
    assert all(np.isfinite(value) for value in found.values())
