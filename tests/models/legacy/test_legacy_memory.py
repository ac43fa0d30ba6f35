"""Recurrent stages and modulators of old models (legacy specification, sections 3.4 and 3.5)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vctrain.config.legacy_parts import (
    EncoderParams,
    GruModulatorParams,
    LegacyRecurrent,
    PredictionParams,
    StnParams,
)
from vctrain.errors import UsageError
from vctrain.models.legacy.modulators import OldConcat, OldFilm, OldGruModulator, OldStn, PredictiveCoding
from vctrain.models.legacy.perceptron import Perceptron
from vctrain.models.legacy.recurrent import GatedLayers, LastState, build_recurrent
from vctrain.models.legacy.semantics import Code

OLD = Code(head=False, antialias=False, rms_affine=False, temperature=1.0)
HEAD = Code(head=True, antialias=False, rms_affine=None, temperature=10.0)
X = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
BEHAVIOR = torch.randn(2, 7, generator=torch.Generator().manual_seed(1))


def stage(code: Code, **params: object) -> nn.Module:
    torch.manual_seed(0)
    kind = params.pop("type", "convgru")
    config = LegacyRecurrent.model_validate({"type": kind, "params": {"hidden_dim": 4, **params}})
    made = build_recurrent(config, 3, code)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def old_gru(x: Tensor, w_x: Tensor, b_x: Tensor, w_h: Tensor) -> Tensor:
    """Section 3.5 as written: all three gates, the middle one unused."""
    hidden = w_h.shape[1]
    h = torch.zeros(len(x), hidden, *x.shape[3:])
    for t in range(x.shape[2]):
        a = F.conv2d(x[:, :, t], w_x, b_x, padding=1) + F.conv2d(h, w_h, padding=1)
        z, _reset, n = a.chunk(3, dim=1)
        h = (1 - torch.sigmoid(z)) * h + torch.sigmoid(z) * torch.tanh(n)
    return h


def test_old_gru() -> None:
    gru = stage(OLD)
    weights = [gru.get_parameter(f"cell.{name}") for name in ("conv_x.weight", "conv_x.bias", "conv_h.weight")]
    expected = old_gru(X, *weights)
    torch.testing.assert_close(gru(X), expected)
    fast = stage(OLD, fast_phase=True)
    assert isinstance(fast, LastState)
    assert fast.out_channels == 7
    torch.testing.assert_close(fast(X), torch.cat([X[:, :, -1], expected], dim=1))


@pytest.mark.parametrize("frames", [1, 4])
def test_a13_reset_gate_is_dead(frames: int) -> None:
    gru = stage(OLD)
    gru(X[:, :, :frames]).square().sum().backward()
    for name in ("conv_x.weight", "conv_x.bias", "conv_h.weight"):
        gradient = gru.get_parameter(f"cell.{name}").grad
        assert gradient is not None
        update, reset, candidate = gradient.chunk(3)
        assert not reset.any()
        if frames > 1 or "conv_h" not in name:
            assert update.any()
            assert candidate.any()


def test_a13_every_gate_of_newer_code_learns() -> None:
    gru = stage(HEAD)
    gru(X).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in gru.parameters())
    one_frame = stage(HEAD)
    one_frame(X[:, :, :1]).sum().backward()
    assert all(p.grad is not None for p in one_frame.parameters())


def test_head_gru() -> None:
    gru = stage(HEAD, n_layers=2)
    assert isinstance(gru, GatedLayers)
    sequence = X
    for layer in range(2):
        gates = {
            name: [gru.get_parameter(f"cells.{layer}.{name}.{kind}") for kind in ("weight", "bias")]
            for name in ("update_gate", "reset_gate", "out_gate")
        }
        h, states = torch.zeros(2, 4, 5, 6), []
        for t in range(4):
            x = sequence[:, :, t]
            both = torch.cat([x, h], dim=1)
            z = torch.sigmoid(F.conv2d(both, *gates["update_gate"], padding=1))
            r = torch.sigmoid(F.conv2d(both, *gates["reset_gate"], padding=1))
            n = torch.tanh(F.conv2d(torch.cat([x, r * h], dim=1), *gates["out_gate"], padding=1))
            h = (1 - z) * h + z * n
            states.append(h)
        sequence = torch.stack(states, dim=2)
    torch.testing.assert_close(gru(X), sequence)


def test_old_lstm() -> None:
    lstm = stage(OLD, type="convlstm", fast_phase=True)
    weight, bias = lstm.get_parameter("cell.gates.weight"), lstm.get_parameter("cell.gates.bias")
    h = c = torch.zeros(2, 4, 5, 6)
    for t in range(4):
        i, f, g, o = F.conv2d(torch.cat([X[:, :, t], h], dim=1), weight, bias, padding=1).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    torch.testing.assert_close(lstm(X), torch.cat([X[:, :, -1], h], dim=1))


def test_first_weights() -> None:
    torch.manual_seed(0)
    head = build_recurrent(LegacyRecurrent(type="convgru"), 3, HEAD)
    assert torch.equal(head.get_parameter("cells.0.update_gate.bias"), torch.ones(64))
    assert not head.get_parameter("cells.0.reset_gate.bias").any()
    rows = head.get_parameter("cells.0.out_gate.weight").flatten(1)
    torch.testing.assert_close(rows @ rows.t(), torch.eye(64), rtol=1e-4, atol=1e-5)
    old = build_recurrent(LegacyRecurrent(type="convgru"), 3, OLD)
    kernel = old.get_parameter("cell.conv_h.weight").flatten(1)
    torch.testing.assert_close(kernel @ kernel.t(), torch.eye(192), rtol=1e-4, atol=1e-5)


def test_perceptron() -> None:
    mlp = Perceptron(7, [5, 6], 7, activation="silu", residual=True, last_activation=False)
    w = dict(mlp.named_parameters())
    assert set(w) == {f"mlp.{name}.{kind}" for name in ("0.linear", "1.linear", "2") for kind in ("weight", "bias")}
    y = BEHAVIOR
    for layer in ("0.linear", "1.linear"):
        y = F.silu(F.linear(y, w[f"mlp.{layer}.weight"], w[f"mlp.{layer}.bias"]))
    y = F.linear(y, w["mlp.2.weight"], w["mlp.2.bias"])
    torch.testing.assert_close(mlp(BEHAVIOR), BEHAVIOR + y)
    ends = Perceptron(7, [5], 4, activation="gelu", residual=True, last_activation=True, bias=False)
    assert set(dict(ends.named_parameters())) == {"mlp.0.linear.weight", "mlp.1.linear.weight"}
    first = F.gelu(F.linear(BEHAVIOR, ends.get_parameter("mlp.0.linear.weight")))
    torch.testing.assert_close(ends(BEHAVIOR), F.gelu(F.linear(first, ends.get_parameter("mlp.1.linear.weight"))))


def test_spectral_norm_has_the_names_of_old_torch() -> None:
    mlp = Perceptron(7, [5], 3, activation="relu", spectral_norm=True).eval()
    assert {"mlp.0.linear.weight_orig", "mlp.0.linear.weight_u", "mlp.0.linear.weight_v"} <= set(mlp.state_dict())
    raw = mlp.state_dict()["mlp.0.linear.weight_orig"]
    u, v = mlp.state_dict()["mlp.0.linear.weight_u"], mlp.state_dict()["mlp.0.linear.weight_v"]
    y = F.linear(BEHAVIOR, raw / (u @ raw @ v), mlp.state_dict()["mlp.0.linear.bias"])
    raw = mlp.state_dict()["mlp.1.weight_orig"]
    u, v = mlp.state_dict()["mlp.1.weight_u"], mlp.state_dict()["mlp.1.weight_v"]
    expected = F.linear(F.relu(y), raw / (u @ raw @ v), mlp.state_dict()["mlp.1.bias"])
    torch.testing.assert_close(mlp(BEHAVIOR), expected)


def encoder(**more: object) -> EncoderParams:
    return EncoderParams.model_validate({"behavior_dim": 7, "encoder_params": {"dims": [5, 4], **more}})


def test_concat() -> None:
    modulator = OldConcat(encoder(), 3)
    y = modulator(X, BEHAVIOR)
    assert y.shape == (2, modulator.out_channels, 4, 5, 6) == (2, 7, 4, 5, 6)
    torch.testing.assert_close(y[:, :3], X)
    torch.testing.assert_close(y[:, 3:, 2, 1, 4], modulator.encoder(BEHAVIOR))


def test_film() -> None:
    modulator = OldFilm(encoder(), 3)
    torch.testing.assert_close(modulator.scale_layer.weight, torch.ones(3, 4))
    assert not modulator.shift_layer.weight.any()
    nn.init.normal_(modulator.shift_layer.weight)
    encoded = modulator.encoder(BEHAVIOR)
    scale, shift = modulator.scale_layer(encoded), modulator.shift_layer(encoded)
    expected = torch.einsum("nc,ncthw->ncthw", scale, X) + shift.view(2, 3, 1, 1, 1)
    torch.testing.assert_close(modulator(X, BEHAVIOR), expected)


def test_stn_warps_frame_by_frame() -> None:
    modulator = OldStn(StnParams.model_validate({"n_vars": 7}), 3)
    assert modulator.encoder.get_parameter("mlp.0.linear.weight").shape == (128, 7)
    torch.testing.assert_close(modulator(X, BEHAVIOR), X, rtol=1e-4, atol=1e-5)  # the identity at the start
    for tensor in (modulator.theta_head.weight, modulator.alpha_head.weight):
        nn.init.normal_(tensor, std=0.3)
    encoded = modulator.encoder(BEHAVIOR)
    theta, alpha = modulator.theta_head(encoded), torch.sigmoid(modulator.alpha_head(encoded))
    found = modulator(X, BEHAVIOR)
    for t in range(4):
        grid = F.affine_grid(theta.view(2, 2, 3), [2, 3, 5, 6], align_corners=False)
        warped = F.grid_sample(X[:, :, t], grid, align_corners=False)
        expected = alpha[:, :, None, None] * warped + (1 - alpha[:, :, None, None]) * X[:, :, t]
        torch.testing.assert_close(found[:, :, t], expected)


def test_gru_modulator() -> None:
    params = GruModulatorParams(behavior_dim=7, beh_emb_dim=2, hidden_dim=4)
    modulator = OldGruModulator(params, 3, OLD)
    tiled = modulator.beh_emb(BEHAVIOR).view(2, 2, 1, 1, 1).expand(2, 2, 4, 5, 6)
    w = [modulator.get_parameter(f"gru.cell.{name}") for name in ("conv_x.weight", "conv_x.bias", "conv_h.weight")]
    state = old_gru(torch.cat([X, tiled], dim=1), *w)
    torch.testing.assert_close(modulator(X, BEHAVIOR), modulator.output_proj(state)[:, :, None])
    head = OldGruModulator(params, 3, HEAD)
    states = head.gru(torch.cat([X, head.beh_emb(BEHAVIOR).view(2, 2, 1, 1, 1).expand(2, 2, 4, 5, 6)], dim=1))
    torch.testing.assert_close(head(X, BEHAVIOR), head.output_proj(states[:, :, -1])[:, :, None])
    assert "gru.cells.0.update_gate.weight" in head.state_dict()
    assert OldGruModulator(GruModulatorParams(behavior_dim=7), 3, OLD).out_channels == 3


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("hidden", [3, 5])
def test_predictive_coding(beside: bool, hidden: int) -> None:
    params = PredictionParams(behavior_dim=7, beh_emb_dim=2, hidden_dim=hidden, concat_error=beside)
    modulator = PredictiveCoding(params, 3, OLD)
    assert ("output_proj.weight" in modulator.state_dict()) == (hidden != 3)
    tiled = modulator.beh_emb(BEHAVIOR).view(2, 2, 1, 1, 1).expand(2, 2, 3, 5, 6)
    w = [modulator.get_parameter(f"predictor.cell.{n}") for n in ("conv_x.weight", "conv_x.bias", "conv_h.weight")]
    foreseen = old_gru(torch.cat([X[:, :, :3], tiled], dim=1), *w)
    foreseen = foreseen if modulator.output_proj is None else modulator.output_proj(foreseen)
    error = X[:, :, 3] - foreseen
    expected = torch.cat([X[:, :, 3], error], dim=1) if beside else error
    torch.testing.assert_close(modulator(X, BEHAVIOR), expected[:, :, None])
    (counted,) = modulator.squares([torch.tensor([True, False])], [2])
    torch.testing.assert_close(counted[0], error[0].square().mean())
    assert float(counted[1].detach()) == 1
    modulator.eval()(X, BEHAVIOR)
    assert modulator.squares([None], [2]) == []
    with pytest.raises(UsageError, match="two slots"):
        modulator(X[:, :, :1], BEHAVIOR)
