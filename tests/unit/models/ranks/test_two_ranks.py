"""Two ranks learn what one process learns from the same batches, to rounding; they are started once.

In float64 for losses and gradients; whole runs compute in float32, as always.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.ranks.group import ALONE
from models.training.checkpoint import load_checkpoint
from tests.unit.models.ranks import two_ranks

REPOSITORY = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What each of two ranks found, and the folder they worked in."""
    folder = tmp_path_factory.mktemp("together")
    command = [sys.executable, "-m", two_ranks.__name__, str(folder)]
    ranks = [
        subprocess.Popen([*command, str(rank)], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for process in ranks:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    found = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]
    return found, folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return two_ranks.compute(tmp_path_factory.mktemp("alone"))


@pytest.mark.parametrize("case", two_ranks.CASES, ids=lambda case: " ".join(map(str, case)))
def test_losses_and_gradients_of_a_batch_are_those_of_one_process(together, alone, case):
    expected = alone["learned"][case]
    for found in (rank["learned"][case] for rank in together[0]):
        assert found["losses"] == pytest.approx(expected["losses"], rel=1e-9)
        assert found["gradients"].keys() == expected["gradients"].keys()
        for name, gradient in expected["gradients"].items():
            torch.testing.assert_close(found["gradients"][name], gradient, rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize("case", two_ranks.CASES[:3], ids=lambda case: " ".join(map(str, case)))
def test_running_statistics_of_norms_are_those_of_the_whole_batch(together, alone, case):
    expected = alone["learned"][case]["buffers"]
    assert any("running_var" in name for name in expected)
    for found in (rank["learned"][case]["buffers"] for rank in together[0]):
        for name, buffer in expected.items():
            torch.testing.assert_close(found[name], buffer, rtol=1e-9, atol=1e-12, msg=name)


def test_a_run_in_uneven_shares_ends_with_the_weights_and_averages_of_one_process(together, alone):
    expected = alone["run"]
    for found in (rank["run"] for rank in together[0]):
        for name, tensor in expected["weights"].items():
            torch.testing.assert_close(found["weights"][name], tensor, rtol=1e-3, atol=1e-4, msg=name)
        losses = [loss for _, loss in found["told"]]
        np.testing.assert_allclose(losses, [loss for _, loss in expected["told"]], rtol=1e-3)


def test_ranks_end_bitwise_alike_with_one_history(together):
    first, second = (rank["run"] for rank in together[0])
    assert all(torch.equal(first["weights"][name], each) for name, each in second["weights"].items())
    assert first["history"] == second["history"]
    assert [metrics["step"] for metrics in first["history"]] == [3.0, 5.0]


def test_each_validation_picture_counts_once(together, alone):
    """Five pictures on two ranks: one counted twice would change the mean over a class's pictures."""
    for found, expected in zip(together[0][0]["run"]["history"], alone["run"]["history"], strict=True):
        assert found == pytest.approx(expected, rel=1e-3)


def test_all_ranks_stop_where_the_first_is_asked_to_and_go_on_to_bitwise_the_same_end(together):
    for found in together[0]:
        assert "after step 3 of 5" in found["stopped"]["said"]
        assert [step for step, _ in found["stopped"]["told"]] == [4, 5]
        whole = found["run"]["weights"]
        assert all(torch.equal(found["stopped"]["weights"][name], each) for name, each in whole.items())


def test_one_process_goes_on_from_what_two_ranks_saved(together):
    saved = load_checkpoint(together[1] / "run")
    assert saved is not None
    assert saved["step"] == 5
    again = two_ranks.run(together[1] / "run", ALONE)
    assert again["told"] == []
    assert again["history"] == together[0][0]["run"]["history"]
