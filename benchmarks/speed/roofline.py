"""How much faster a training step in float32 could be: its operations, and the rate of convolutions here.

``python -m benchmarks.speed.roofline [--large]`` on one core. With ``ONEDNN_MAX_CPU_ISA=AVX2`` and
``ATEN_CPU_CAPABILITY=avx2`` it computes as a CPU without AVX-512 does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.profile import profile_once
from benchmarks.speed.train import OURS, OURS_FP32, STOCK, cases, make_contestants

_ROUNDS = 6
_LAYERS = 8


def main() -> None:
    """Print the figures of one case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.roofline", description=__doc__)
    parser.add_argument("--large", action="store_true", help="ResNet-50 instead of the demo's network")
    case = cases(quick=True)[1 if parser.parse_args().large else 0]
    torch.set_num_threads(1)
    contestants = make_contestants(case, torch.device("cpu"))
    ours, stock = contestants.get(OURS_FP32, contestants[OURS]), contestants[STOCK]
    ours_s, stock_s = _best_cpu_s(ours), _best_cpu_s(stock)
    with FlopCounterMode(display=False) as counter:
        ours()
    gflop, gflop_per_s = counter.get_total_flops() / 1e9, _convolution_gflop_per_s()
    print(f"{case.name}, one core, {torch.backends.cpu.get_cpu_capability()}")
    print(f"step {1e3 * ours_s:.0f} CPU ms, torchvision's {1e3 * stock_s:.0f}, {gflop:.1f} GFLOP")
    print(
        f"convolutions with gradients {gflop_per_s:.0f} GFLOP/s: {1e3 * gflop / gflop_per_s:.0f} ms at least"
    )
    print(profile_once(ours, top=12))


def _best_cpu_s(run: Callable[[], object]) -> float:
    run()
    best = float("inf")
    for _ in range(_ROUNDS):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def _convolution_gflop_per_s() -> float:
    """Return the rate of a convolution of 64 channels, 3 x 3, on 4 maps of 32 x 32, with both gradients."""
    maps = torch.randn(4, 64, 32, 32).to(memory_format=torch.channels_last).requires_grad_()
    kernel = torch.randn(64, 64, 3, 3).to(memory_format=torch.channels_last).requires_grad_()
    wanted = torch.randn(4, 64, 32, 32).to(memory_format=torch.channels_last)

    def run() -> None:
        for _ in range(_LAYERS):
            torch.autograd.grad(F.conv2d(maps, kernel, padding=1), (maps, kernel), wanted)

    flop = 3 * 2 * maps.numel() * 64 * 9
    return _LAYERS * flop / _best_cpu_s(run) / 1e9


if __name__ == "__main__":
    main()
