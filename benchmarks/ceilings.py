"""CC_norm and FEVE of the true rate, by signal power and by split halves: bias, spread, seconds.

python -m benchmarks.ceilings [--units 400] [--bins 400]

Poisson counts of log-normal rates (standard deviation of the logarithm 0.6) of ``level`` spikes per bin. Ragged: trials
end anywhere from a quarter of the sequence on. Gaze: as much variance of the rate again belongs to single repeats, and
the prediction knows it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain.metrics.ceilings import cc_norm, cc_norm_by_halves, explained_variance
from vctrain.metrics.reliability import signal, split_halves
from vctrain.metrics.repeats import Repeats

CASES = [
    *({"repeats": repeats, "level": level} for repeats in (5, 10, 20, 40) for level in (0.05, 0.2, 1.0)),
    {"repeats": 40, "level": 0.2, "ragged": True},
    {"repeats": 40, "level": 0.2, "ragged": True, "gaze": True},
]


def _case(
    generator: np.random.Generator, bins: int, units: int, repeats: int, level: float, ragged: bool, gaze: bool
) -> dict[str, Any]:
    def rates(*shape: int) -> NDArray[np.float64]:
        return level * np.exp(0.6 * generator.normal(size=shape) - 0.18)

    rate = np.broadcast_to(rates(bins, units), (repeats, bins, units))
    if gaze:
        rate = rate + rates(repeats, bins, units)
    ends = generator.integers(bins // 4, bins + 1, repeats) if ragged else np.full(repeats, bins)
    counted = Repeats.of(generator.poisson(rate), np.arange(bins) < ends[:, None])
    by_power, by_halves = cc_norm(counted, rate), cc_norm_by_halves(counted, rate)
    return {
        "mean_cc_max": round(float(np.nanmean(by_power.cc_max)), 3),
        "by_signal_power": _spread(by_power.raw),
        "by_split_halves": _spread(by_halves.raw),
        "feve": _spread(explained_variance(counted, rate).feve),
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    known = values[~np.isnan(values)]
    mean, sd = (float(known.mean()), float(known.std())) if len(known) else (float("nan"), float("nan"))
    return {"mean": round(mean, 4), "sd": round(sd, 4), "without_value": round(1 - len(known) / len(values), 3)}


def _seconds(work: Callable[[], Any]) -> float:
    work()
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 2)


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=400)
    parser.add_argument("--bins", type=int, default=400)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    cases = []
    for case in CASES:
        full = {"ragged": False, "gaze": False, **case}
        cases.append({**full, **_case(generator, options.bins, options.units, **full)})  # type: ignore[arg-type]
    counts = Repeats.of(generator.poisson(0.3, (60, 540, 100)))
    seconds = {
        "repeats_bins_units": [60, 540, 100],
        "signal_power": _seconds(lambda: signal(counts)),
        "split_halves_500": _seconds(lambda: split_halves(counts)),
    }
    print(json.dumps({"benchmark": "ceilings", **vars(options), "cases": cases, "seconds": seconds}))


if __name__ == "__main__":
    main()
