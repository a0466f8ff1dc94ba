from __future__ import annotations

from dataclasses import dataclass

import pytest

from dataset.ingestion.partly_read import judge_unused_bits
from dataset.problems import DataProblem


@dataclass(frozen=True)
class Deep:
    name: str
    bits_used: int


def judge(*pictures: Deep, is_first_batch: bool = False, is_stated: bool = False) -> tuple[DataProblem, ...]:
    return judge_unused_bits(pictures, is_first_batch=is_first_batch, is_stated=is_stated)


def test_twelve_bits_in_the_lower_part_of_sixteen_are_told_with_the_setting() -> None:
    (problem,) = judge(Deep("eight.png", 0), Deep("a.png", 11), Deep("b.png", 12))
    assert (problem.severity, problem.code, problem.where) == ("warning", "bits-unused", "a.png")
    assert "only the lower 12 of 16 bits are used in 2 pictures" in problem.message
    assert "leaves 16 of 256 grey levels" in problem.message
    assert "pictures.depth_bits = 12" in problem.hint


@pytest.mark.parametrize("bits", [[], [0, 0], [15], [16], [3, 9, 16]])
def test_pictures_of_the_full_range_and_dark_ones_among_them_are_not_told(bits: list[int]) -> None:
    assert judge(*(Deep(f"{number}.png", used) for number, used in enumerate(bits))) == ()


def test_what_keeps_a_single_level_is_told_too() -> None:
    (problem,) = judge(Deep("a.png", 7))
    assert "leaves 1 of 256 grey levels" in problem.message


def test_the_first_batch_waits_until_the_range_is_stated() -> None:
    (problem,) = judge(Deep("a.png", 12), is_first_batch=True)
    assert (problem.severity, problem.picture) == ("error", "")
    assert "pictures.depth_bits = 12 in maskloop.toml, or 16 to take them" in problem.hint
    assert judge(Deep("a.png", 12), is_first_batch=True, is_stated=True) == ()
