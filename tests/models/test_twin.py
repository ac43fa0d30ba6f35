"""The twin as a whole: it tracks what components write, leaves no parameter behind, and refuses what does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from models.made_heads import BASELINES, MODULATORS, READOUTS, RECURRENT
from models.made_twins import clips, config, twin

from vctrain.config.components.readouts import GaussianReadout
from vctrain.config.model import ModelConfig
from vctrain.config.problems import members
from vctrain.data.clips import SessionClips
from vctrain.errors import ContractError, UsageError
from vctrain.models.components import built_types
from vctrain.models.twin import StoredShape, Twin, context_of

NO_STIMULUS = {
    "stimulus": False,
    "adapter": {"type": "none"},
    "frontend": {"type": "none"},
    "convnet": {"type": "none"},
    "readout": {"type": "linear"},
}


def blind(**changes: Any) -> ModelConfig:
    return config(**{**NO_STIMULUS, "modulator": MODULATORS["convgru"], **changes})


def unseen(part: SessionClips) -> SessionClips:
    return replace(part, stim=None)


def test_every_type_of_settings_has_a_builder() -> None:
    families = ("frontend", "convnet", "modulator", "recurrent", "readout", "history", "baseline")
    kinds = {kind for family in families for kind in members(ModelConfig.model_fields[family].annotation)}
    needed = {kind for kind in kinds if kind.model_fields["type"].default != "none"}
    assert len(needed) >= 20
    assert needed <= built_types()


@pytest.mark.parametrize("modulator", MODULATORS)
@pytest.mark.parametrize("recurrent", RECURRENT)
def test_channels_frames_and_places_are_tracked_through_the_stages(modulator: str, recurrent: str) -> None:
    """What reaches the readouts has the channels, the frames and the map that the twin declares."""
    net = twin(config(modulator=MODULATORS[modulator], recurrent=RECURRENT[recurrent]), behavior=5)
    features = []
    for readout in net.readouts:
        readout.register_forward_hook(lambda _, inputs, __: features.append(inputs[0]))
    parts = [clips(i, 1, net.context + 3, 3, n, behavior=5) for i, n in enumerate((3, 2))]
    rates = net(parts)
    assert [tuple(rate.shape) for rate in rates] == [(1, 3, 3), (1, 3, 2)]
    assert all(bool((rate > 0).all()) for rate in rates)
    size = net.geometry.size
    assert {tuple(x.shape) for x in features} == {(1, net.readouts[0].features.shape[1], 3, size, size)}


@pytest.mark.parametrize("modulator", MODULATORS)
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("present", [[0], [1], [2], [0, 1, 2]])
def test_every_parameter_takes_part_on_every_process(modulator: str, readout: str, present: list[int]) -> None:
    """With sessions absent, and with sessions without behaviour, so that DDP waits for nothing."""
    model = config(
        adapter={"type": "adapter", "transform": "affine"},
        modulator=MODULATORS[modulator],
        recurrent={"type": "convlstm", "hidden": 2, "warmup": 1},
        readout=READOUTS[readout],
        history={"type": "mlp", "num_lags": 2, "hidden": [3]},
        baseline=BASELINES["softplus"],
    )
    columns = (5, 0, 5)
    net = Twin(model, [StoredShape(f"S{i}", 2, 12, 12, d) for i, d in enumerate(columns)]).train()
    parts = [clips(i, 1, net.context + 3, 3, 2, behavior=columns[i]) for i in present]
    parts = [replace(p, history=torch.cat([torch.ones(1, 2, 2), p.robs], dim=1)) for p in parts]
    (sum(rate.sum() for rate in net(parts)) + net.keep_alive(parts)).backward()
    assert [name for name, p in net.named_parameters() if p.requires_grad and p.grad is None] == []


def test_the_baseline_is_added_to_the_rate() -> None:
    plain = twin(config())
    for kind, activation in (("softplus", F.softplus), ("relu", F.relu)):
        net = twin(config(baseline=BASELINES[kind]))
        net.load_state_dict(plain.state_dict(), strict=False)
        part = clips(0, 1, net.context + 3, 3, 3)
        with torch.no_grad():
            for session in (0, 1):
                raw = torch.tensor([0.5, -0.5, 0.2])[: net.units[session]]
                net.readouts[session].baseline.raw.copy_(raw)
            expected = plain([part])[0] + activation(torch.tensor([0.5, -0.5, 0.2]))
            assert torch.allclose(net([part])[0], expected, atol=1e-6)


@pytest.mark.parametrize("output", ["softplus", "exp", "relu"])
@pytest.mark.parametrize("readout", READOUTS)
def test_units_without_features_start_at_their_rates(output: str, readout: str) -> None:
    torch.manual_seed(0)
    model = config(output=output, readout={**READOUTS[readout], "bias": True}, baseline=BASELINES["softplus"])
    net = Twin(model, [StoredShape("S", 3, 12, 12, 0)]).eval()
    rates = torch.tensor([0.02, 0.5, 3.0])
    net.set_rates(0, rates)
    with torch.no_grad():
        for name, parameter in net.readouts[0].named_parameters():
            if name.endswith("features"):
                parameter.fill_(-1e4 if readout == "gaussianei_softplus" else 0.0)
        got = net([clips(0, 1, net.context + 2, 2, 3)])[0]
    assert torch.allclose(got, rates.expand_as(got), atol=1e-5)


def test_positions_centre_every_mask_and_readouts_without_place_stay() -> None:
    for kind in READOUTS:
        net = twin(config(readout=READOUTS[kind]), units=(2,))
        before = {name: p.clone() for name, p in net.named_parameters()}
        net.set_positions(0, torch.tensor([[0.0, 0.0], [1.0, -1.0]]))
        changed = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
        limit = (net.geometry.size - 1) / 2
        for centre in net.readouts[0].centres:
            assert torch.allclose(centre.detach(), torch.tensor([[0.0, 0.0], [limit, -limit]]))
        assert len(changed) == len(net.readouts[0].centres) == {"gaussian": 1, "linear": 0}.get(kind, 2)


def test_a10_the_auxiliary_loss_is_over_all_scored_frames_of_all_sessions() -> None:
    """Not the last session's: whatever their order, frames that do not count left out."""
    net = twin(config(modulator={**MODULATORS["pc"], "warmup": 3}, recurrent=RECURRENT["convgru"]), behavior=5).train()
    parts = [clips(i, n, net.context + 4, 4, 3 - i, behavior=5) for i, n in enumerate((2, 1))]
    parts[1] = replace(parts[1], dfs=torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 4, 1))
    net(parts)
    both, (total, frames) = float(net.auxiliary_loss().detach()), net.auxiliary_sums()
    squares = net.modulator.errors.detach()[:, :, -4:].square().mean((1, 3, 4))
    valid = torch.cat([(p.dfs > 0).any(-1) for p in parts])
    assert both == pytest.approx(float(squares[valid].mean()), rel=1e-5)
    assert (float(frames), float(total.detach())) == (
        int(valid.sum()),
        pytest.approx(float(squares[valid].sum()), rel=1e-5),
    )
    net(parts[::-1])
    assert float(net.auxiliary_loss().detach()) == pytest.approx(both, rel=1e-5)
    sums = []
    for part in parts:
        net([part])
        sums.append([float(value.detach()) for value in net.auxiliary_sums()])
    # Ranks add up: the sums of the parts are those of the whole.
    assert sum(s[0] for s in sums) / sum(s[1] for s in sums) == pytest.approx(both, rel=1e-5)
    net.auxiliary_loss().backward()
    assert float(net.modulator.predict.weight.grad.abs().sum()) > 0
    net.eval()(parts)
    assert net.auxiliary_loss() is None
    other = twin(config(modulator=MODULATORS["film"]), behavior=5).train()
    other([clips(0, 1, other.context + 2, 2, 3, behavior=5)])
    assert other.auxiliary_loss() is None


@pytest.mark.parametrize("modulator", [name for name in MODULATORS if name != "none"])
def test_behaviour_alone_predicts(modulator: str) -> None:
    """No adapter, no map, no stimulus in the clips; a frame hears of its past and present behaviour only."""
    model = blind(modulator=MODULATORS[modulator], recurrent=RECURRENT["convgru"])
    net = twin(model, behavior=5)
    assert (net.reads_stimulus, net.grid, net.geometry.size) == (False, 1, 1)
    assert [name for name, _ in net.named_parameters() if name.startswith("adapters")] == []
    parts = [unseen(clips(i, 2, net.context + 4, 4, n, behavior=5)) for i, n in enumerate((3, 2))]
    with torch.no_grad():
        rates = net(parts)
        later = parts[0].behavior.clone()
        later[:, -2:] += 1
        moved = net([replace(parts[0], behavior=later), parts[1]])
    assert [tuple(rate.shape) for rate in rates] == [(2, 4, 3), (2, 4, 2)]
    assert torch.equal(rates[0][:, :2], moved[0][:, :2])
    assert not torch.equal(rates[0][:, 2:], moved[0][:, 2:])
    assert torch.equal(rates[1], moved[1])


def test_b11_history_without_a_stimulus_runs() -> None:
    net = twin(blind(history={"type": "mlp", "num_lags": 3}), behavior=5)
    part = unseen(clips(0, 1, net.context + 4, 4, 3, behavior=5))
    with_counts = replace(part, history=torch.cat([torch.ones(1, 3, 3), part.robs], dim=1))
    assert net([with_counts])[0].shape == (1, 4, 3)


def test_a_twin_of_behaviour_alone_refuses_sessions_and_clips_without_it() -> None:
    shapes = [StoredShape("Seen_2024", 2, 12, 12, 5), StoredShape("Blank_2024", 2, 12, 12, 0)]
    with pytest.raises(ContractError, match=r"session Blank_2024 has no behavior.*model\.stimulus is false"):
        Twin(blind(), shapes)
    net = twin(blind(), behavior=5)
    with pytest.raises(ContractError, match="session S1_2024-01-01: no behavior in its clips"):
        net([unseen(clips(1, 1, net.context + 4, 4, 2))])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adapter": {"type": "adapter"}}, r"model\.stimulus is false, but model\.adapter is adapter"),
        ({"convnet": {"type": "resnet"}}, r"model\.convnet is resnet"),
        ({"modulator": {"type": "none"}}, "nothing is left to predict from"),
        ({"readout": {"type": "gaussian"}}, r"model\.readout is gaussian, but without a stimulus"),
    ],
)
def test_a_twin_of_behaviour_alone_refuses_parts_that_need_more(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        twin(blind(**changes), behavior=5)
    assert caught.value.hint


def test_a_session_of_a_blind_twin_may_not_bring_a_readout_with_a_place() -> None:
    with pytest.raises(UsageError, match="session S: readout is gaussian"):
        Twin(blind(), [StoredShape("S", 2, 12, 12, 5, None, GaussianReadout())])


def test_relu_needs_a_baseline() -> None:
    with pytest.raises(UsageError, match="rates of zero") as caught:
        twin(config(output="relu"))
    assert "baseline" in str(caught.value.hint)


def test_context_is_the_sum_of_what_the_parts_consume() -> None:
    model = config(modulator=MODULATORS["pc"], recurrent=RECURRENT["convgru_layers"])
    parts = (model.frontend, model.convnet, model.modulator, model.recurrent)
    assert [part.history for part in parts] == [4, 2, 24, 36]
    assert context_of(model) == model.context == 66
    assert "context" not in model.model_dump()


@pytest.mark.parametrize("modulator", MODULATORS)
@pytest.mark.parametrize("readout", READOUTS)
def test_bfloat16_gives_the_same_rates_to_its_precision(modulator: str, readout: str) -> None:
    model = config(modulator=MODULATORS[modulator], recurrent=RECURRENT["convlstm"], readout=READOUTS[readout])
    net = twin(model, units=(3,), behavior=5)
    part = clips(0, 1, net.context + 3, 3, 3, behavior=5)
    exact = net([part])[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = net([part])[0]
    assert rounded.dtype == torch.float32
    assert torch.allclose(rounded, exact, rtol=0.05)
    rounded.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in net.parameters() if p.grad is not None)
