"""On simulated sessions, whose gaze moves from repeat to repeat, CC_norm of the true rate is 1 within 0.02."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vctrain.config.simulation import SimulationConfig
from vctrain.data.simulation import simulate
from vctrain.metrics.bps import PoissonSums
from vctrain.metrics.ceilings import cc_norm, explained_variance
from vctrain.metrics.psth_oracle import leave_one_out, oracle_sums
from vctrain.metrics.repeats import arrange


@pytest.mark.slow
def test_cc_norm_of_the_true_rate_is_one(tmp_path: Path) -> None:
    simulate(tmp_path / "made", SimulationConfig(sessions=1, minutes=6, size=16, types=("fixrsvp",)))
    (path,) = tmp_path.rglob("fixrsvp.dset")
    recorded = {name: values.numpy() for name, values in torch.load(path, weights_only=True)["covariates"].items()}
    arrangement = arrange(recorded["psth_inds"], recorded["trial_inds"])
    repeats = arrangement.repeats(recorded["robs"], recorded["dpi_valid"][:, None])
    true_rate = arrangement.place(recorded["rate_true"])
    ended_early = repeats.repeats_per_bin().min() < len(repeats.counts)
    assert ended_early
    norm, explained = cc_norm(repeats, true_rate), explained_variance(repeats, true_rate)
    assert not np.isnan(norm.raw).any()
    assert norm.cc_norm.mean() == pytest.approx(1, abs=0.02)
    assert norm.raw.mean() == pytest.approx(1, abs=0.02)
    assert explained.feve.mean() == pytest.approx(1, abs=0.03)
    # The mean of the other repeats knows nothing of gaze: the true rate does better on every unit.
    scored = leave_one_out(repeats)[1]
    known = PoissonSums.of(*(torch.from_numpy(values) for values in (true_rate, repeats.counts, scored)))
    oracle = oracle_sums(repeats)
    assert torch.equal(known.spikes, oracle.spikes)
    assert (known.bits_per_spike() > oracle.bits_per_spike()).all()
