"""Recurrent stages against torch's own cells, and what their gates and states do."""

from __future__ import annotations

import pytest
import torch

from vctrain.config.components.recurrent import ConvGRU, ConvLSTM
from vctrain.models.geometry import Geometry, Space
from vctrain.models.memory import GRU, LSTM
from vctrain.models.recurrent import RecurrentStage

GATES = {GRU: 3, LSTM: 4}


def space(channels: int, size: int = 6) -> Space:
    return Space(channels, Geometry(size))


def reference_of(unit: GRU | LSTM, channels: int, hidden: int) -> torch.nn.RNNBase:
    """torch's cell with the weights of a unit with 1x1 kernels."""
    if isinstance(unit, GRU):
        cell: torch.nn.RNNBase = torch.nn.GRU(channels, hidden, batch_first=True)
        order = [1, 0, 2]  # torch stacks (reset, update, new), we (update, reset, new)
    else:
        cell, order = torch.nn.LSTM(channels, hidden, batch_first=True), [0, 1, 2, 3]
    gates = GATES[type(unit)]
    with torch.no_grad():
        for name, source in (
            ("weight_ih_l0", unit.input_conv.weight[:, :, 0, 0]),
            ("weight_hh_l0", unit.state_weight[:, :, 0, 0]),
            ("bias_ih_l0", unit.input_conv.bias),
        ):
            assert source is not None
            getattr(cell, name).copy_(torch.cat([source.chunk(gates)[i] for i in order]))
        getattr(cell, "bias_hh_l0").zero_()  # noqa: B009
        if isinstance(unit, GRU):
            getattr(cell, "bias_hh_l0")[2 * hidden :] = unit.candidate_bias  # noqa: B009
    return cell


@pytest.mark.parametrize("make", [GRU, LSTM])
def test_a_unit_computes_what_torchs_cell_computes(make) -> None:
    """On one pixel with 1x1 kernels, gate for gate; the reset gate included (a13)."""
    unit = make(3, 4, 1)
    if isinstance(unit, GRU):
        torch.nn.init.normal_(unit.candidate_bias)
    x = torch.randn(2, 3, 6, 1, 1)
    expected, _ = reference_of(unit, 3, 4)(x[..., 0, 0].transpose(1, 2))
    assert torch.allclose(unit(x)[..., 0, 0].transpose(1, 2), expected, atol=1e-6)


@pytest.mark.parametrize("make", [GRU, LSTM])
def test_a13_every_gate_learns(make) -> None:
    unit = make(3, 4, 3)
    unit(torch.randn(1, 3, 5, 6, 6)).square().sum().backward()
    for weight in (unit.state_weight, unit.input_conv.weight):
        assert all(float(gate.abs().sum()) > 0 for gate in weight.grad.chunk(GATES[make]))


@pytest.mark.parametrize("config", [ConvGRU(hidden=4, warmup=2), ConvLSTM(hidden=4, warmup=2)])
def test_the_input_stands_beside_the_state(config) -> None:
    stage = RecurrentStage(config, space(3))
    x = torch.randn(2, 3, 7, 6, 6)
    out = stage(x)
    assert out.shape == (2, 7, 5, 6, 6)
    assert stage.out == Space(7, Geometry(6))
    assert config.history == 2
    assert torch.equal(out[:, :3], x[:, :, 2:])


def test_layers_stand_on_each_other() -> None:
    stage = RecurrentStage(ConvGRU(hidden=4, layers=3, warmup=1), space(3))
    x = torch.randn(2, 3, 5, 6, 6)
    state = stage.norm(x)
    for unit in stage.units:
        state = unit(state)
    assert [unit.input_conv.in_channels for unit in stage.units] == [3, 4, 4]
    assert torch.equal(stage(x)[:, 3:], state[:, :, 1:])


@pytest.mark.parametrize("config", [ConvGRU(hidden=8, warmup=4), ConvLSTM(hidden=8, warmup=4)])
def test_states_move(config) -> None:
    """On strongly scaled input (which saturated an unnormalised prototype) the state changes from frame to frame."""
    stage = RecurrentStage(config, space(5))
    state = stage(100 * torch.randn(2, 5, 40, 6, 6))[:, 5:]
    assert float(state.detach().std(dim=2).mean()) > 0.05
    assert float((state.abs() > 0.99).float().mean()) < 0.1


@pytest.mark.parametrize("make", [GRU, LSTM])
def test_states_stay_in_float32_under_bfloat16(make) -> None:
    unit, x = make(3, 4, 3), torch.randn(1, 3, 30, 4, 4)
    with torch.no_grad():
        exact = unit(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = unit(x)
    assert rounded.dtype == torch.float32
    assert float((rounded - exact).abs().max()) < 0.02


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="odd number of pixels"):
        ConvGRU(kernel=4)
