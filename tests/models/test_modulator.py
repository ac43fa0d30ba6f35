"""What behaviour does to the features: each modulator against a slow computation, and what it must not see."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from vctrain.config.components.modulators import BehaviorGRU, Concat, Film, PredictiveCoding, Stn
from vctrain.models.components import build
from vctrain.models.geometry import Geometry, Space
from vctrain.models.modulator import BehaviorEncoder
from vctrain.models.perceptron import Perceptron

SPACE = Space(5, Geometry(6))
CONFIGS = [
    Concat(dims=(8, 4)),
    Film(dims=(8, 4)),
    Stn(dims=(8, 4)),
    BehaviorGRU(dims=(4,), hidden=3, warmup=2),
    PredictiveCoding(dims=(4,), hidden=3, warmup=2),
    PredictiveCoding(dims=(4,), hidden=7, warmup=2, concat_error=False),
]
NAMES = [f"{config.type}{'' if getattr(config, 'concat_error', True) else '_error'}" for config in CONFIGS]


def made(config, some_without: bool = False):
    """A modulator of six columns of behaviour, every parameter away from its special starting value."""
    torch.manual_seed(0)
    modulator = build(config, SPACE, 6, some_without)
    with torch.no_grad():
        for parameter in modulator.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return modulator


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_channels_and_frames_are_as_declared_and_every_parameter_learns(config) -> None:
    modulator = made(config, some_without=True)
    x = torch.randn(3, 5, 9, 6, 6)
    encoded = torch.cat([modulator.encoder(torch.randn(2, 9, 6), 2, 9), modulator.encoder(None, 1, 9)])
    out = modulator(x, encoded)
    assert out.shape == (3, modulator.out.channels, 9 - config.history, 6, 6)
    assert modulator.out.geometry == SPACE.geometry
    (out * torch.randn_like(out)).sum().backward()
    silent = [n for n, p in modulator.named_parameters() if p.requires_grad and not float(p.grad.abs().sum()) > 0]
    assert silent == []


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_a_frame_sees_nothing_later(config) -> None:
    modulator = made(config).eval()
    x, behavior = torch.randn(1, 5, 9, 6, 6), torch.randn(1, 9, 6)
    later, moved = x.clone(), behavior.clone()
    later[:, :, 6:], moved[:, 6:] = torch.randn(5, 3, 6, 6), torch.randn(3, 6)
    with torch.no_grad():
        before = modulator(x, modulator.encoder(behavior, 1, 9))
        after = modulator(later, modulator.encoder(moved, 1, 9))
    seen = 6 - config.history
    assert torch.equal(before[:, :, :seen], after[:, :, :seen])
    assert not torch.allclose(before[:, :, seen:], after[:, :, seen:], atol=1e-2)


@pytest.mark.parametrize("config", [Film(), Stn()], ids=["film", "stn"])
def test_film_and_stn_begin_as_the_identity(config) -> None:
    modulator = build(config, SPACE, 6, False)
    x = torch.randn(2, 5, 3, 6, 6)
    assert torch.allclose(modulator(x, modulator.encoder(torch.randn(2, 3, 6), 2, 3)), x, atol=1e-5)


def test_stn_moves_the_map_and_blends_channel_by_channel() -> None:
    """A shift by one pixel of a frame that behaviour asks for, in the channels whose alpha is open."""
    modulator = build(Stn(dims=(6,)), SPACE, 6, False)
    x = torch.randn(1, 5, 2, 6, 6)
    encoded = torch.zeros(1, 2, 6)
    encoded[0, 1, 0] = 1.0
    with torch.no_grad():
        modulator.theta.weight[2, 0] = 2 / 6  # x, in half-widths of six pixels
        modulator.alpha.bias.copy_(torch.tensor([50.0, 50.0, 50.0, -50.0, -50.0]))
        out = modulator(x, encoded)
    assert torch.allclose(out[:, :, 0], x[:, :, 0], atol=1e-5)
    shifted = F.pad(x[:, :3, 1], (0, 1))[..., 1:]
    assert torch.allclose(out[:, :3, 1], shifted, atol=1e-5)
    assert torch.allclose(out[:, 3:, 1], x[:, 3:, 1], atol=1e-5)


def test_pc_predicts_a_frame_from_the_frames_before_it() -> None:
    modulator = made(PredictiveCoding(dims=(4,), hidden=3, warmup=2))
    x, behavior = torch.randn(2, 5, 8, 6, 6), torch.randn(2, 8, 6)
    encoded = modulator.encoder(behavior, 2, 8)
    actual, error = modulator(x, encoded).chunk(2, dim=1)
    assert torch.equal(actual, x[:, :, 2:])
    for frame in range(2, 8):
        tiled = encoded[:, :frame].transpose(1, 2)[..., None, None].expand(-1, -1, -1, 6, 6)
        state = modulator.unit(torch.cat([modulator.norm(x[:, :, :frame]), tiled], dim=1))[:, :, -1:]
        expected = x[:, :, frame] - modulator.predict(state)[:, :, 0]
        assert torch.allclose(error[:, :, frame - 2], expected, atol=1e-5)
    assert torch.equal(modulator.errors, error)
    modulator.eval()(x, encoded)
    assert modulator.errors is None


def test_b06_the_projection_of_pc_is_built_at_once() -> None:
    modulator = build(PredictiveCoding(hidden=3), SPACE, 6, False)
    before = {name for name, _ in modulator.named_parameters()}
    modulator(torch.randn(1, 5, 30, 6, 6), modulator.encoder(torch.randn(1, 30, 6), 1, 30))
    assert {name for name, _ in modulator.named_parameters()} == before
    assert modulator.predict.weight.shape[:2] == (5, 3)


def test_the_encoder_standardises_and_has_a_constant_for_sessions_without_behaviour() -> None:
    encoder = BehaviorEncoder(Film(dims=(4, 3)), 2, some_without=True)
    mean, std = torch.tensor([3.0, -1.0]), torch.tensor([2.0, 0.0])
    encoder.set_moments(mean, std)
    behavior = torch.randn(2, 5, 2)
    assert torch.allclose(encoder(behavior, 2, 5), encoder.net((behavior - mean) / torch.tensor([2.0, 1.0])))
    with torch.no_grad():
        encoder.null.normal_()
    assert torch.equal(encoder(None, 2, 5), encoder.null.expand(2, 5, 3))
    with pytest.raises(ValueError, match="without behaviour"):
        BehaviorEncoder(Film(), 2, some_without=False)(None, 1, 1)


def test_a_perceptron_is_its_layers() -> None:
    x = torch.randn(4, 3)
    net = Perceptron(3, (3, 3, 2), "silu", residual=True, last_activation=False).eval()
    first, second, third = net.layers
    y = x + F.silu(first(x))
    y = y + F.silu(second(y))
    assert torch.allclose(net(x), third(y))
    bent = Perceptron(3, (2,), "tanh", last_activation=True)
    assert torch.allclose(bent(x), bent.layers[0](x).tanh())


def test_dropout_leaves_the_last_layer_alone() -> None:
    x = torch.ones(2000, 4)
    alone = Perceptron(4, (3,), "relu", dropout=0.9)
    assert torch.equal(alone(x), alone.eval()(x))
    deep = Perceptron(4, (3, 3), "relu", dropout=0.5).requires_grad_(False)
    assert float(deep(x).std(0).max()) > 0
    assert float(deep.eval()(x).std(0).max()) < 1e-6


def test_an_encoder_without_layers_is_refused() -> None:
    with pytest.raises(ValidationError):
        Film(dims=())
