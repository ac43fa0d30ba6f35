"""How much longer does one thing take than another? Medians of paired ratios, the two in alternation in one process."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def seconds(run: Callable[[], Any]) -> tuple[float, float]:
    """By the clock, and of all processor time of this process."""
    begun = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - begun[0], time.process_time() - begun[1]


def paired(
    slow: Callable[[], Any], fast: Callable[[], Any], pairs: int, units: tuple[float, float] = (1.0, 1.0)
) -> dict[str, Any]:
    """``slow`` over ``fast``, each per unit of what it gets done (``units``). A first run of each does not count.

    The two swap places from pair to pair, so that neither always runs after the other.
    """
    slow()
    fast()
    gc.collect()
    clock, processor, each = [], [], []
    for pair in range(pairs):
        order = (slow, fast) if pair % 2 == 0 else (fast, slow)
        taken = {run: seconds(run) for run in order}
        per_unit = [[t / unit for t in taken[run]] for run, unit in zip((slow, fast), units, strict=True)]
        clock.append(per_unit[0][0] / per_unit[1][0])
        processor.append(per_unit[0][1] / per_unit[1][1])
        each.append([per_unit[0][0], per_unit[1][0]])
    low, middle, high = quartiles(clock)
    return {
        "ratio": middle,
        "quartiles": [low, high],
        "ratio_of_processor_time": statistics.median(processor),
        "milliseconds": [1000 * statistics.median(x) for x in zip(*each, strict=True)],
        "pairs": pairs,
    }
