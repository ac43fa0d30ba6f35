"""A legacy twin behaves as any twin does: clips in, rates out, every parameter accounted for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from old_checkpoints import clips, largest_relative, made, window_by_window
from torch import Tensor, nn
from torch.nn import functional as F

from vctrain.config.legacy import LegacyModelConfig, read_legacy_config
from vctrain.config.model import ModelConfig
from vctrain.errors import ContractError, UsageError
from vctrain.models.build import build_twin, context_of
from vctrain.models.legacy import twin as legacy_twin
from vctrain.models.legacy.readouts import MaskReadout
from vctrain.models.legacy.twin import LegacyTwin
from vctrain.models.shapes import StoredShape
from vctrain.models.twin import Twin

BLOCK = {
    "conv_params": {"kernel_size": [3, 3, 3], "padding": 1},
    "norm_type": "rms",
    "act_type": "silu",
    "pool_params": {"type": "aablur", "r": 2},
}
NET: dict[str, Any] = {
    "adapter": {"type": "adapter", "params": {"grid_size": 9}},
    "frontend": {"type": "learnable_temporal", "params": {"kernel_size": 3, "num_channels": 2}},
    "convnet": {"type": "resnet", "params": {"channels": [4], "block_configs": [BLOCK]}},
    "recurrent": {"type": "convgru", "params": {"hidden_dim": 4}},
}
ALONE: dict[str, Any] = {
    "modulator": {"type": "convgru", "params": {"behavior_dim": 5, "hidden_dim": 4}},
    "readout": {"type": "linear"},
}
HISTORY: dict[str, Any] = {
    **NET,
    "model_type": "v1multi_history",
    "recurrent": None,
    "output_activation": "softplus",
    "history_encoder": {"type": "mlp", "params": {"num_lags": 3, "hidden_dims": [4], "act_type": "silu"}},
}


def modulated(kind: str, **params: Any) -> dict[str, Any]:
    return {**NET, "modulator": {"type": kind, "params": {"behavior_dim": 5, **params}}}


def test_one_builder_for_both_kinds_of_twins() -> None:
    shapes = [StoredShape("S0", 3, 13, 13, 0)]
    old = read_legacy_config(NET, semantics="old", lags=tuple(range(8)))
    assert isinstance(build_twin(old, shapes), LegacyTwin)
    assert context_of(old) == 7
    current = ModelConfig()
    assert isinstance(build_twin(current, shapes), Twin)
    assert context_of(current) == current.context


KINDS = {
    "recurrent": (NET, "old", 0),
    "lags with gaps": (NET, "old", 0),
    "concat": (modulated("concat"), "old", 5),
    "film without memory": ({**modulated("film"), "recurrent": None}, "old", 5),
    "predictive coding": (modulated("pc", hidden_dim=3), "old", 5),
    "modulator alone": (ALONE, "old", 5),
    "modulator alone, newer": (ALONE, "head", 5),
    "spike history": (HISTORY, "head", 0),
    "da": ({**NET, "frontend": {"type": "da", "params": {"filter_length": 5}}}, "old", 0),
    "basis": ({**NET, "frontend": {"type": "temporal_basis", "params": {"num_cosine_funcs": 2}}}, "old", 0),
    "block as frontend": ({**NET, "frontend": {"type": "conv", "params": {**BLOCK, "out_channels": 3}}}, "old", 0),
    "adapter as frontend": ({**NET, "adapter": None, "frontend": NET["adapter"]}, "old", 0),
    "split": (
        {**NET, "frontend": {"type": "learnable_temporal", "params": {"kernel_size": 3, "num_channels": 2,
                                                                      "split_MP": True}}}, "head", 0),
    "no frontend": ({**NET, "frontend": None}, "head", 0),
    "lstm": ({**NET, "recurrent": {"type": "convlstm", "params": {"hidden_dim": 3, "fast_phase": True}}}, "old", 0),
    "baseline": ({**NET, "output_activation": "softplus", "baseline": {"enabled": True}}, "old", 0),
    "tapered": (NET, "old-antialias", 0),
}  # fmt: skip


def of_kind(name: str, **more: Any) -> tuple[LegacyTwin, int]:
    description, semantics, behavior = KINDS[name]
    lags = (0, 1, 2, 4, 5, 7, 8, 11) if "gaps" in name else range(8)
    return made(description, semantics, lags=lags, behavior=behavior, **more), behavior  # type: ignore[arg-type]


@pytest.mark.parametrize("name", KINDS)
def test_clips_give_what_their_windows_give(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    twin, behavior = of_kind(name)
    parts = [clips(twin, session, n=1 + session, behavior=behavior) for session in (0, 1)]
    expected = [window_by_window(twin, part).detach() for part in parts]
    with torch.no_grad():
        whole = twin(parts[::-1])[::-1]
        monkeypatch.setattr(legacy_twin, "WINDOWS_AT_ONCE", 6)
        pieces = twin(parts)
    shared = [rates.detach() for rates in twin(parts)]
    for one, two, three, rates in zip(whole, pieces, shared, expected, strict=True):
        assert one.shape == rates.shape
        assert max(largest_relative(found, rates) for found in (one, two, three)) < 1e-5


@pytest.mark.parametrize("name", ["film without memory", "spike history"])
def test_what_leaves_the_convnet_can_be_computed_beforehand(name: str) -> None:
    """Frame by frame and in pieces, where what follows reads the oldest lag of a window only."""
    assert of_kind("recurrent")[0].reads_slots
    assert of_kind("predictive coding")[0].reads_slots
    twin, behavior = of_kind(name)
    assert not twin.reads_slots
    assert (twin.seen_before, twin.vision_history) == (0, twin.context)
    parts = [clips(twin, session, n=1 + session, behavior=behavior) for session in (0, 1)]
    with torch.no_grad():
        seen = [
            torch.cat([twin.see(part.piece(t, t + 2)) for t in range(0, part.robs.shape[1], 2)], 1) for part in parts
        ]
        assert all(s.shape[2:] == twin.seen_shape(part.session) for s, part in zip(seen, parts, strict=True))
        beforehand = [replace(part, stim=None, features=s) for part, s in zip(parts, seen, strict=True)]
        for live, stored in zip(twin(parts), twin(beforehand), strict=True):
            torch.testing.assert_close(stored, live, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_what_a_frame_is_predicted_from_is_its_context(name: str) -> None:
    """A longer clip, and anything before the context, change nothing."""
    twin, behavior = of_kind(name)
    part = clips(twin, n=1, scored=4, behavior=behavior)
    assert part.stim is not None
    one = replace(
        part,
        stim=part.stim[:, -twin.context - 1 :],
        robs=part.robs[:, -1:],
        dfs=part.dfs[:, -1:],
        behavior=None if part.behavior is None else part.behavior[:, -1:],
        history=None if part.history is None else part.history[:, -twin.history_frames - 1 :],
    )
    with torch.no_grad():
        assert largest_relative(twin([part])[0][:, -1:], twin([one])[0]) < 1e-5


@pytest.mark.parametrize("name", KINDS)
def test_every_learning_parameter_gets_a_gradient_whatever_sessions_are_there(name: str) -> None:
    """Under DDP each must take part in each pass of each rank."""
    twin, behavior = of_kind(name)
    twin.train()
    for present in ([0, 1], [1], []):
        twin.zero_grad()
        parts = [clips(twin, session, behavior=behavior) for session in present]
        loss = twin.keep_alive(parts) + sum((rates.sum() for rates in twin(parts)), start=torch.zeros(()))
        auxiliary = twin.auxiliary_loss()
        loss = loss if auxiliary is None else loss + auxiliary
        if present:
            loss.backward()
            without = [key for key, p in twin.named_parameters() if p.requires_grad and p.grad is None]
            assert without == []
    own = {id(p) for session in (0, 1) for p in twin.own_parameters(session)}
    core = {id(p) for module in twin.core for p in module.parameters()}
    assert own | core == {id(p) for p in twin.parameters()}
    assert not own & core


def test_interface() -> None:
    twin = made(HISTORY, "head")
    assert (twin.names, twin.units, twin.context, twin.history_frames) == (("S0", "S1"), (3, 2), 7, 3)
    assert twin.reads_stimulus
    assert not made(ALONE, behavior=5).reads_stimulus
    assert twin.grid == 9
    assert (twin.geometry.size, twin.geometry.stride) == (4, 2)
    assert [type(module).__name__ for module in twin.core] == ["HeadTemporal", "LegacyResNetCore"]


def test_history_is_read_at_its_lags() -> None:
    twin = made(HISTORY, "head", history_lags=(1, 2, 4))
    assert twin.history_frames == 4
    part = clips(twin, n=1, scored=3)
    assert part.history is not None
    with torch.no_grad():
        rates = twin([part])[0]
        changed = part.history.clone()
        changed[0, 3] += 5.0  # one frame before the first scored one
        moved = (twin([replace(part, history=changed)])[0] - rates).abs().amax(-1)[0] > 1e-6
    assert moved.tolist() == [True, True, False]  # lag 1 of the first, lag 2 of the second; lag 3 is not read
    with pytest.raises(ContractError, match="spikes of the past"):
        twin([replace(part, history=None)])


def test_rates_are_cut_off_in_training_as_they_were_and_only_there() -> None:
    silent = made({**NET, "output_activation": "relu"})
    log = made(NET)
    for twin in (silent, log):
        for readout in twin.readouts:
            assert isinstance(readout, MaskReadout)
            assert readout.bias is not None
            nn.init.constant_(readout.bias, -50.0)
    part = clips(silent)
    assert float(silent([part])[0].max().detach()) == 0.0
    assert float(silent.train()([part])[0].max().detach()) == pytest.approx(1e-8)
    assert float(log([part])[0].max().detach()) < 1e-20
    assert float(log.train()([part])[0].max().detach()) == pytest.approx(torch.exp(torch.tensor(-20.0)).item())


@pytest.mark.parametrize("activation", ["none", "softplus", "relu", "ELU"])
@pytest.mark.parametrize("baseline", [False, True])
def test_biases_give_the_rates_they_are_set_to(activation: str, baseline: bool) -> None:
    description = {**NET, "output_activation": activation, "baseline": {"enabled": baseline, "init_value": 0.02}}
    twin = made(description)
    wanted = torch.tensor([0.05, 0.4, 2.5])
    twin.set_rates(0, wanted)
    readout = twin.readouts[0]
    assert isinstance(readout, MaskReadout)
    nn.init.zeros_(readout.features.weight)
    with torch.no_grad():
        torch.testing.assert_close(twin([clips(twin)])[0][0, 0], wanted, rtol=1e-3, atol=1e-4)


def test_masks_are_centred_where_units_look() -> None:
    """A spot of the stimulus reaches the mask of a unit that is placed on it more than that of any other place."""
    twin = made({**NET, "recurrent": None, "frontend": None}, side=25, units=(5,))
    readout = twin.readouts[0]
    assert isinstance(readout, MaskReadout)
    places = torch.tensor([[0.0, 0.0], [0.4, 0.0], [-0.4, 0.0], [0.0, 0.4], [0.0, -0.4]])
    twin.set_positions(0, places)
    nn.init.constant_(readout.std, 0.4)
    nn.init.ones_(readout.features.weight)
    seen = []
    for y, x in places.tolist():
        movie = torch.zeros(1, 1, 8, 25, 25)
        row, column = round((y + 1) * 12), round((x + 1) * 12)
        movie[..., row - 1 : row + 2, column - 1 : column + 2] = 1.0
        with torch.no_grad():
            grid = twin.adapters[0](movie)
            features = F.avg_pool2d(grid[0, :, 0], 2)  # the map of this net has half the grid's resolution
            seen.append(readout(features[:, None].expand(1, 4, -1, -1))[0])
    assert torch.stack(seen).argmax(0).tolist() == [0, 1, 2, 3, 4]
    far = torch.full((5, 2), 5.0)
    twin.set_positions(0, far)
    assert float(readout.mean.max().detach()) == (twin.geometry.size - 1) / 2


def test_sessions_with_grids_and_readouts_of_their_own() -> None:
    heads = {
        "S1": {
            "adapter": {"type": "adapter", "params": {"grid_size": 11, "transform": "affine"}},
            "readout": {"type": "linear", "params": {}},
        }
    }
    twin = made(NET, heads=heads)
    assert twin.grids == ((9, 9), (11, 11))
    assert {name for name in twin.state_dict() if name.startswith(("adapters.1", "readouts.1"))} == {
        "adapters.1.log_sigma",
        "adapters.1.affine",
        "readouts.1.fc.weight",
        "readouts.1.fc.bias",
    }
    parts = [clips(twin, session) for session in (0, 1)]
    with torch.no_grad():
        for part, rates in zip(parts, twin(parts), strict=True):
            assert largest_relative(rates, window_by_window(twin, part)) < 1e-5
    with pytest.raises(UsageError, match="Ada"):
        made(NET, heads={"Ada": {}})


def test_sessions_without_behaviour() -> None:
    film = read_legacy_config(modulated("film"), semantics="old", lags=tuple(range(8)))
    shapes = [StoredShape("S0", 3, 13, 13, 5), StoredShape("S1", 2, 13, 13, 0)]
    twin = LegacyTwin(film, shapes).eval()
    parts = [clips(twin, 0, behavior=5), clips(twin, 1)]
    with torch.no_grad():
        for part, rates in zip(parts, twin(parts), strict=True):
            assert largest_relative(rates, window_by_window(twin, part)) < 1e-5
    alone = [clips(twin, 1)]
    (twin(alone)[0].sum() + twin.keep_alive(alone)).backward()
    assert all(p.grad is not None for p in twin.parameters() if p.requires_grad)
    for kind in ("concat", "convgru", "pc"):
        config = read_legacy_config(modulated(kind), semantics="old", lags=tuple(range(8)))
        with pytest.raises(ContractError, match="S1 has 0 behaviour"):
            LegacyTwin(config, shapes)
    with pytest.raises(ContractError, match="S0 has 4 behaviour"):
        LegacyTwin(film, [StoredShape("S0", 3, 13, 13, 4)])


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(UsageError, match="a window of 2 frames on a grid of 9x9 does not fit"):
        made(NET, lags=range(2))
    unpadded = {"channels": [4], "block_config": {"conv_params": {"kernel_size": 3}}}
    tiny = {"type": "adapter", "params": {"grid_size": 1}}
    with pytest.raises(UsageError, match="does not fit"):
        made({**NET, "adapter": tiny, "convnet": {"type": "vanilla", "params": unpadded}})
    twin = made(NET)
    part = clips(twin)
    assert part.stim is not None
    with pytest.raises(ContractError, match="11 grey frames"):
        twin([replace(part, stim=part.stim[:, 1:])])
    channels = made({**NET, "initial_input_channels": 2})
    with pytest.raises(ContractError, match="2 channels"):
        channels([clips(channels)])


def test_windows_of_several_channels() -> None:
    twin = made({**NET, "initial_input_channels": 2, "recurrent": None})
    x = torch.randn(3, 2, 8, 13, 13)
    assert twin.forward_windows(0, x).shape == (3, 3)


def test_a10_auxiliary_loss_is_of_all_sessions_in_any_order() -> None:
    twin = made(modulated("pc"), behavior=5).train()
    parts = [clips(twin, session, n=2, behavior=5) for session in (0, 1)]
    losses = []
    for order in (parts, parts[::-1], parts[:1], parts[1:]):
        twin(order)
        loss = twin.auxiliary_loss()
        assert loss is not None
        losses.append(float(loss.detach()))
    both, reversed_order, first, second = losses
    assert both == pytest.approx(reversed_order)
    assert both == pytest.approx((first + second) / 2)
    assert first != pytest.approx(second)
    twin([replace(parts[0], dfs=torch.zeros_like(parts[0].dfs)), parts[1]])
    sums = twin.auxiliary_sums()
    assert sums is not None
    assert float(sums[1].detach()) == 10  # frames that do not count are left out
    assert float((sums[0] / sums[1]).detach()) == pytest.approx(second, rel=1e-5)


def test_weights_load_strictly() -> None:
    twin, other = made(NET), made({**NET, "recurrent": {"type": "convgru", "params": {"hidden_dim": 5}}})
    with pytest.raises(RuntimeError, match="size mismatch"):
        twin.load_state_dict(other.state_dict())
    weights: dict[str, Tensor] = dict(twin.state_dict())
    weights.pop("readouts.0.bias")
    with pytest.raises(RuntimeError, match="Missing key"):
        twin.load_state_dict(weights)


def test_a_config_of_one_kind_survives_json() -> None:
    config = made(HISTORY, "head").config
    assert LegacyModelConfig.model_validate_json(config.model_dump_json()) == config


def test_building_draws_no_mode_and_keeps_batch_norms_untouched() -> None:
    block = {**BLOCK, "norm_type": "batch"}
    net = {"type": "vanilla", "params": {"channels": [4], "block_config": block}}
    config = read_legacy_config({"convnet": net}, semantics="old", lags=(0, 1))
    twin = LegacyTwin(config, [StoredShape("S0", 3, 13, 13, 0)])
    assert twin.training
    assert all(module.training for module in twin.modules())
    assert int(twin.get_buffer("convnet.layers.0.components.norm.num_batches_tracked")) == 0
