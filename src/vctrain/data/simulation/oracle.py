"""How well could anyone predict the simulated spikes: bits per spike of the true rate, with and without behaviour."""

from __future__ import annotations

from typing import Any

import torch

from vctrain.data.simulation.recording import Recording, blocks
from vctrain.metrics.bps import PoissonSums, mean_over_units


def ceilings(recording: Recording, rate: float) -> dict[str, Any]:
    """Observed spikes a second (``rate`` bins a second), and bits per spike on frames with a recorded, tracked history.

    ``oracle``: the true rate. ``without_behavior``: the true rate with the gain replaced by the best constant, that is,
    the visual rate scaled to the unit's spikes. Means over units, and the oracle of each unit (None without a spike).
    """
    robs, truth = recording.covariates["robs"], recording.covariates["rate_true"]
    units = robs.shape[1]
    informed, blind = PoissonSums.zeros(units), PoissonSums.zeros(units)
    for at in blocks(robs):
        kept = recording.complete[at, None]
        informed += PoissonSums.of(truth[at], robs[at], kept)
        blind += PoissonSums.of(recording.drive[at], robs[at], kept)
    # Scaling a rate by c adds (sum r) ln c to the log-likelihood.
    constant = blind.spikes / blind.rate.clamp_min(1e-12)
    scaled = PoissonSums(
        blind.frames,
        blind.spikes,
        blind.rate * constant,
        blind.log_likelihood + blind.spikes * constant.clamp_min(1e-12).log(),
    )
    oracle = informed.bits_per_spike()
    counts = torch.stack([robs[at].double().sum(0) for at in blocks(robs)]).sum(0)
    return {
        "frames": int(recording.complete.sum()),
        "oracle": mean_over_units(oracle),
        "without_behavior": mean_over_units(scaled.bits_per_spike()),
        "units": [None if value.isnan() else round(float(value), 6) for value in oracle],
        "spikes_per_second": [round(float(count) / len(robs) * rate, 4) for count in counts],
    }
