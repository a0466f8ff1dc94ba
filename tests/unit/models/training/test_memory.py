"""A training that runs out of memory says so, and what to lower; other errors stay what they are."""

from __future__ import annotations

import pytest
import torch

from maskloop.errors import TrainingError
from models.training.trainer import memory_told


def test_memory_that_runs_out_is_a_training_error_that_says_what_to_lower() -> None:
    with pytest.raises(TrainingError, match="ran out of memory") as told, memory_told():
        torch.empty(10**15)  # 4 PB, which no machine gives
    assert "training.batch_size" in told.value.hint
    assert "\n" not in told.value.headline


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_the_memory_of_python_and_of_a_card_are_told_alike(error: Exception) -> None:
    with pytest.raises(TrainingError, match="ran out of memory"), memory_told():
        raise error


def test_another_error_of_the_runtime_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_told():
        raise RuntimeError("the shapes do not fit")
