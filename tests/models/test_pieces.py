"""Without a gradient, clips go through a twin piece by piece: the same rates, and no frame is computed twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from models.made_twins import config, twin
from models.pairwise import Row
from models.test_streaming_pairwise import ROWS, clip_of, model_of, names
from torch import nn

from vctrain.data.clips import SessionClips
from vctrain.models import twin as twins
from vctrain.models.bottlenecks import Bottleneck
from vctrain.models.causal import Causal
from vctrain.models.twin import Twin

UNITS, BEHAVIOR = 2, 3


def rates(net: Twin, part: SessionClips, frames: int, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Those of pieces of ``frames`` frames."""
    monkeypatch.setattr(twins, "FRAMES_AT_ONCE", frames * part.n_clips)
    monkeypatch.setattr(twins, "LEAST_AT_ONCE", 1)
    with torch.no_grad():
        return net([part])[0]


@pytest.mark.parametrize("row", ROWS, ids=names(ROWS))
def test_pieces_give_the_rates_of_the_whole(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    net = twin(model_of(row), units=(UNITS,), side=14, behavior=BEHAVIOR).eval()
    net.set_rates(0, torch.ones(UNITS))
    part = clip_of(net)
    whole = rates(net, part, 100, monkeypatch)
    assert float(whole.std()) > 0
    for frames in (1, 4):  # shorter than what stages keep, and a last piece that is shorter
        torch.testing.assert_close(rates(net, part, frames, monkeypatch), whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stage", ["recurrent", "modulator"])
def test_a_memory_goes_on_from_where_it_was(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(row for row in ROWS if row[stage] == "convgru" and row["modulator"] != "none")
    net = twin(model_of(row), units=(UNITS,), side=14, behavior=BEHAVIOR).eval()
    part = clip_of(net)
    whole = rates(net, part, 100, monkeypatch)
    forgets = rates(net, replace(part.piece(4, 6)), 100, monkeypatch)
    in_pieces = rates(net, part, 4, monkeypatch)[:, 4:]
    torch.testing.assert_close(in_pieces, whole[:, 4:], rtol=1e-5, atol=1e-7)
    assert float((forgets - whole[:, 4:]).abs().max()) > 3 * float((in_pieces - whole[:, 4:]).abs().max())


@pytest.mark.parametrize("kind", ["resnet", "densenet", "x3d"])
def test_no_stage_computes_a_frame_twice(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(row for row in ROWS if row["convnet"] == kind and row["frontend"] == "temporal")
    net = twin(model_of(row), units=(UNITS,), side=14, behavior=BEHAVIOR).eval()
    part = clip_of(net)
    stages = [m for m in net.modules() if isinstance(m, Causal) and not _inside(m, net)]
    written = dict.fromkeys(stages, 0)

    def count(stage: nn.Module, _: object, out: torch.Tensor) -> None:
        written[stage] += out.shape[2]

    for stage in stages:
        stage.register_forward_hook(count)
    rates(net, part, 100, monkeypatch)
    whole, written = written, dict.fromkeys(stages, 0)
    rates(net, part, 2, monkeypatch)
    assert len(stages) > 2
    assert min(whole.values()) >= part.robs.shape[1]
    assert written == whole


def _inside(stage: nn.Module, net: Twin) -> bool:
    """Whether ``stage`` belongs to a bottleneck, which keeps the frames for all its layers."""
    return any(stage in other.branch for other in net.modules() if isinstance(other, Bottleneck))


def test_what_was_computed_beforehand_goes_in_pieces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(row for row in ROWS if row["recurrent"] == "convgru" and row["history"] != "none")
    net = twin(model_of(row), units=(UNITS,), side=14, behavior=BEHAVIOR).eval()
    part = clip_of(net)
    assert part.stim is not None
    with torch.no_grad():
        seen = net.see(replace(part, stim=part.stim[:, net.context - net.config.core_history :]))
    stored = replace(part, stim=None, features=seen)
    whole = rates(net, part, 100, monkeypatch)
    for frames in (1, 4, 100):
        torch.testing.assert_close(rates(net, stored, frames, monkeypatch), whole, rtol=1e-5, atol=1e-6)


def test_training_and_gradients_take_the_clip_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "FRAMES_AT_ONCE", 1)
    monkeypatch.setattr(twins, "LEAST_AT_ONCE", 1)
    net = twin(config(), units=(UNITS,), side=14)
    part = replace(clip_of(net), behavior=None)
    calls: list[int] = []
    net.readouts[0].register_forward_hook(lambda *_: calls.append(1))
    net.train()([part])
    with torch.no_grad():
        net([part])
    net.eval()([part])
    assert len(calls) == 3
    with torch.no_grad():
        net([part])
    assert len(calls) == 3 + part.robs.shape[1]
