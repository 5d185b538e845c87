"""Wall and processor time of work, and the matmul limit of the machine, for all benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Seconds(NamedTuple):
    """wall: as a user waits. cpu: of all threads, tells more on a machine that others use too."""

    wall: float
    cpu: float


def timed(work: Callable[[], Tensor]) -> tuple[Tensor, Seconds]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def fastest(times: list[Seconds]) -> Seconds:
    """The least wall and the least CPU time, each on its own."""
    return Seconds(min(t.wall for t in times), min(t.cpu for t in times))


def matmul_limit(size: int = 2048, repeats: int = 8) -> Seconds:
    """Seconds per FLOP of the best bfloat16 matmul of this machine now."""
    generator = torch.Generator().manual_seed(2)
    a, b = (torch.randn(size, size, generator=generator).bfloat16() for _ in range(2))
    best = fastest([timed(lambda: a @ b)[1] for _ in range(repeats)])
    return Seconds(best.wall / (2 * size**3), best.cpu / (2 * size**3))
