"""A frame's prediction is the same in every clip that holds its context, whichever components make up the twin.

Over two sets of twins in which every pair of sample settings of two families occurs: twins without a memory, whose
predictions agree to rounding, and twins of all families, most of which have one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from models.made_components import ADAPTERS, CONVNETS, FRONTENDS
from models.made_heads import BASELINES, HISTORIES, MODULATORS, OUTPUTS, READOUTS, RECURRENT
from models.made_twins import clips, twin
from models.pairwise import Row, all_pairs, covering_rows, pairs_of

from vctrain.config.model import ModelConfig
from vctrain.data.clips import SessionClips
from vctrain.models.twin import Twin

FAMILIES: dict[str, Mapping[str, Any]] = {
    "adapter": ADAPTERS,
    "frontend": FRONTENDS,
    "convnet": CONVNETS,
    "modulator": MODULATORS,
    "recurrent": RECURRENT,
    "readout": READOUTS,
    "history": HISTORIES,
    "baseline": BASELINES,
    "output": OUTPUTS,
}
SIDE, BEHAVIOR, UNITS = 14, 3, 2
SCORED, SHIFT = 6, 4
REMEMBERED = 5e-3
"""What is left of a state's start after the warm-up, as a fraction of the mean rate, is below this (measured: see
`test_a_longer_warmup_leaves_less`)."""


def allowed(row: Mapping[str, str]) -> bool:
    """Rates of relu are zero, or the baseline, where nothing lifts the drives above zero, such as a readout's bias."""
    unlifted = row.get("baseline") == "none" or row.get("readout") == "gaussianei_softplus"
    return not (row.get("output") == "relu" and unlifted)


FACTORS = {family: list(samples) for family, samples in FAMILIES.items()}
FORGETFUL = {**FACTORS, "modulator": ["none", "concat", "film", "stn"], "recurrent": ["none"]}
EXACT_ROWS, ROWS = covering_rows(FORGETFUL, allowed), covering_rows(FACTORS, allowed)


def model_of(row: Row, **changes: Any) -> ModelConfig:
    return ModelConfig.model_validate({**{family: FAMILIES[family][name] for family, name in row.items()}, **changes})


def clip_of(net: Twin) -> SessionClips:
    """One clip with everything that the twin may read."""
    part = clips(0, 1, net.context + SCORED, SCORED, UNITS, side=SIDE, behavior=BEHAVIOR)
    generator = torch.Generator().manual_seed(1)
    before = torch.poisson(torch.full((1, net.history_frames, UNITS), 0.5), generator=generator)
    return replace(part, history=torch.cat([before, part.robs], dim=1) if net.history_frames else None)


def from_frame(part: SessionClips, first: int) -> SessionClips:
    """The clip that starts ``first`` frames later."""
    assert part.stim is not None
    assert part.behavior is not None
    return replace(
        part,
        stim=part.stim[:, first:],
        behavior=part.behavior[:, first:],
        robs=part.robs[:, first:],
        dfs=part.dfs[:, first:],
        history=None if part.history is None else part.history[:, first:],
    )


def remembers(model: ModelConfig) -> bool:
    return model.modulator.history > 0 or model.recurrent.history > 0


def names(rows: list[Row]) -> list[str]:
    return ["-".join(row[family] for family in FAMILIES) for row in rows]


@pytest.mark.parametrize(("factors", "rows"), [(FORGETFUL, EXACT_ROWS), (FACTORS, ROWS)], ids=["exact", "all"])
def test_every_pair_occurs(factors: dict[str, list[str]], rows: list[Row]) -> None:
    assert set(all_pairs(factors, allowed)) <= {pair for row in rows for pair in pairs_of(row)}
    assert all(allowed(row) and set(row) == set(FAMILIES) for row in rows)
    assert len(rows) < 1.5 * len(FRONTENDS) * len(CONVNETS)


@pytest.mark.parametrize("row", EXACT_ROWS, ids=names(EXACT_ROWS))
def test_shifting_the_clip_shifts_the_prediction_exactly_without_a_memory(row: Row) -> None:
    model = model_of(row)
    assert not remembers(model)
    assert_streams(model, tolerance=1e-4)


@pytest.mark.parametrize("row", ROWS, ids=names(ROWS))
def test_shifting_the_clip_shifts_the_prediction(row: Row) -> None:
    model = model_of(row)
    assert_streams(model, tolerance=REMEMBERED if remembers(model) else 1e-4)


def assert_streams(model: ModelConfig, tolerance: float) -> None:
    """No frame hears of later frames, nor of what came before its context but for ``tolerance`` of the mean rate."""
    net = twin(model, units=(UNITS,), side=SIDE, behavior=BEHAVIOR)
    net.set_rates(0, torch.ones(UNITS))  # drives above zero, where relu lets them through
    part = clip_of(net)
    assert part.stim is not None
    assert part.behavior is not None
    changed = net.context + 3
    later, moved = part.stim.clone(), part.behavior.clone()
    later[:, changed:] = 255 - later[:, changed:]
    moved[:, changed:] += 1
    counts = None if part.history is None else part.history.clone()
    if counts is not None:
        counts[:, net.history_frames + 2 :] += 1  # the frame's own count too
    with torch.no_grad():
        whole = net([part])[0]
        shifted = net([from_frame(part, SHIFT)])[0]
        unaware = net([replace(part, stim=later, behavior=moved, history=counts)])[0]
    assert bool(whole.isfinite().all())
    assert whole.shape == (1, SCORED, UNITS)
    assert torch.allclose(unaware[:, :3], whole[:, :3], rtol=1e-4, atol=1e-6)
    assert not torch.equal(unaware[:, 3:], whole[:, 3:])
    assert float((shifted - whole[:, SHIFT:]).abs().max() / whole.mean()) < tolerance


MEMORIES = [("modulator", name) for name in ("convgru", "pc")] + [("recurrent", n) for n in RECURRENT if n != "none"]


@pytest.mark.parametrize(("family", "name"), MEMORIES, ids=[name for _, name in MEMORIES])
def test_a_longer_warmup_leaves_less(family: str, name: str) -> None:
    """Of the start of a memory there is less than ``REMEMBERED`` after its warm-up, and a tenth of it after twice."""
    row: Row = {factor: next(iter(samples)) for factor, samples in FAMILIES.items()}
    row |= {"frontend": "temporal", "convnet": "resnet", "modulator": "concat", family: name}
    errors = []
    for times in (1, 2):
        settings = FAMILIES[family][name]
        model = model_of(row, **{family: {**settings, "warmup": times * settings["warmup"]}})
        net = twin(model, units=(UNITS,), side=SIDE, behavior=BEHAVIOR)
        part = clip_of(net)
        with torch.no_grad():
            whole, late = net([part])[0], net([from_frame(part, SHIFT)])[0]
        errors.append(float((late - whole[:, SHIFT:]).abs().max() / whole.mean()))
    assert errors[0] < REMEMBERED
    assert errors[1] < max(errors[0] / 10, 1e-6)
