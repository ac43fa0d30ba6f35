"""What a drive takes from past spikes: the last lags of all units, never the frame's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.made_twins import clips, config, twin

from vctrain.config.components.histories import MLPHistory
from vctrain.data.clips import SessionClips
from vctrain.models.history import SpikeHistory
from vctrain.models.twin import Twin

HISTORY = {"type": "mlp", "num_lags": 4, "hidden": [6, 5]}


def made(lags: int, units: int) -> SpikeHistory:
    torch.manual_seed(0)
    history = SpikeHistory(MLPHistory(num_lags=lags, hidden=(6, 5), activation="gelu"), units)
    with torch.no_grad():
        for parameter in history.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return history


@settings(max_examples=20, deadline=None)
@given(lags=st.integers(1, 6), units=st.integers(1, 4), frames=st.integers(1, 7))
def test_a_frame_reads_the_counts_of_the_lags_before_it(lags: int, units: int, frames: int) -> None:
    history, counts = made(lags, units), torch.poisson(torch.ones(2, lags + frames, units))
    with torch.no_grad():
        added = history(counts)
        assert added.shape == (2, frames, units)
        for frame in range(frames):
            alone = history(counts[:, frame : frame + lags + 1])
            assert torch.allclose(added[:, frame], alone[:, 0], atol=1e-5)
            changed = counts.clone()
            changed[:, lags + frame :] += 1
            assert torch.allclose(history(changed)[:, frame], added[:, frame], atol=1e-6)
            changed = counts.clone()
            changed[:, frame] += 3
            assert not torch.equal(history(changed)[:, frame], added[:, frame])


def test_nothing_is_added_at_the_start() -> None:
    history = SpikeHistory(MLPHistory(), 3).requires_grad_(False)
    assert float(history(torch.rand(1, 9, 3)).abs().max()) == 0.0


def with_counts(part: SessionClips, lags: int) -> SessionClips:
    counts = torch.poisson(torch.ones(part.n_clips, lags, part.robs.shape[2]))
    return SessionClips(part.session, part.stim, part.robs, part.dfs, history=torch.cat([counts, part.robs], dim=1))


def built() -> Twin:
    return twin(config(history=HISTORY))


def test_a_twin_adds_it_to_the_drive_of_each_session() -> None:
    net = built()
    assert net.history_frames == 4
    parts = [with_counts(clips(i, 2, net.context + 5, 5, n), 4) for i, n in enumerate((3, 2))]
    plain = twin(config())
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if ".history." not in k})
    with torch.no_grad():
        for part, rate, without in zip(parts, net(parts), plain(parts), strict=True):
            drive = without + torch.log(-torch.expm1(-without))
            added = net.readouts[part.session].history(part.history)
            assert torch.allclose(rate, torch.nn.functional.softplus(drive + added), atol=1e-5)


def test_a_twin_never_reads_the_count_it_predicts() -> None:
    net = built()
    part = with_counts(clips(0, 1, net.context + 5, 5, 3), 4)
    spiky = part.history.clone()
    spiky[:, 6] += 2
    with torch.no_grad():
        before = net([part])[0]
        after = net([SessionClips(0, part.stim, part.robs, part.dfs, history=spiky)])[0]
    assert torch.equal(before[:, :3], after[:, :3])
    assert bool((before[:, 3:] != after[:, 3:]).any(-1).all())


def test_clips_without_counts_are_refused() -> None:
    net = built()
    with pytest.raises(ValueError, match="counts of past frames"):
        net([clips(0, 1, net.context + 2, 2, 3)])


def test_a_frame_is_scored_only_where_its_lags_are() -> None:
    """Lags beyond the receptive field in time lengthen the context; the core then skips the frames it does not need."""
    model = config(history={**HISTORY, "num_lags": 30})
    net = twin(model)
    assert (model.core_history, model.context, net.context) == (6, 30, 30)
    part = with_counts(clips(0, 2, 30 + 4, 4, 3), 30)
    with torch.no_grad():
        rate = net([part])[0]
        assert rate.shape == (2, 4, 3)
        spared = part.stim.clone()
        spared[:, : 30 - 6] = 0
        assert torch.equal(net([SessionClips(0, spared, part.robs, part.dfs, history=part.history)])[0], rate)
