"""The loss: masked means, sessions equally weighted, whatever the processes."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from models.made_twins import clips, config, twin

from vctrain.data.clips import ClipBatch, SessionClips
from vctrain.models.twin import context_of
from vctrain.training.loss import poisson_sums, session_losses, step_loss

MODEL = config()
CONTEXT = context_of(MODEL)
UNITS = (3, 2)


def counts_of(parts: tuple[SessionClips, ...], sessions: int = 2) -> torch.Tensor:
    counts = torch.zeros(sessions, dtype=torch.float64)
    for part in parts:
        counts[part.session] += float(part.dfs.expand_as(part.robs).sum())
    return counts


def take(part: SessionClips, which: slice) -> SessionClips:
    return replace(part, stim=part.stim[which], robs=part.robs[which], dfs=part.dfs[which])


def test_poisson_sum_is_the_negative_log_likelihood_up_to_a_constant() -> None:
    rate, robs = torch.rand(2, 5, 3) + 0.1, torch.poisson(torch.ones(2, 5, 3))
    dfs = (torch.rand(2, 5, 3) > 0.4).float()
    distribution = torch.distributions.Poisson(rate)
    expected = -((distribution.log_prob(robs) + torch.lgamma(robs + 1)) * dfs).sum()
    assert poisson_sums([rate], [robs], [dfs])[0].item() == pytest.approx(expected.item(), rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), split=st.integers(0, 6))
def test_shares_of_processes_add_up(seed: int, split: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rates = [torch.rand(6, 4, n, generator=generator) + 0.05 for n in UNITS]
    parts = tuple(clips(i, 6, CONTEXT + 4, 4, n) for i, n in enumerate(UNITS))
    counts = counts_of(parts)
    whole = ClipBatch(0, parts, counts)
    one = step_loss(session_losses(rates, whole), whole, 1)
    shares = []
    for which in (slice(0, split), slice(split, 6)):
        here = ClipBatch(0, tuple(take(part, which) for part in parts), counts)
        shares.append(step_loss(session_losses([rate[which] for rate in rates], here), here, 2))
    # DDP averages: the mean over processes is the step's loss.
    assert torch.stack(shares).mean().item() == pytest.approx(one.item(), rel=1e-5)


@pytest.mark.parametrize("split", [1, 3, 5])
def test_gradients_averaged_over_processes_are_those_of_one(split: int) -> None:
    net = twin(MODEL, UNITS)
    parts = (clips(0, 4, CONTEXT + 6, 6, 3), clips(1, 2, CONTEXT + 6, 6, 2))
    counts = counts_of(parts)

    def gradient(batch: ClipBatch, world: int) -> dict[str, torch.Tensor]:
        net.zero_grad()
        loss = step_loss(session_losses(net(batch.parts), batch), batch, world) + net.keep_alive(batch.parts)
        loss.backward()
        return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}

    one = gradient(ClipBatch(0, parts, counts), 1)
    flat = [take(parts[0], slice(i, i + 1)) for i in range(4)] + [take(parts[1], slice(i, i + 1)) for i in range(2)]
    halves = []
    for chosen in (flat[:split], flat[split:]):
        grouped = []
        for session in (0, 1):
            mine = [part for part in chosen if part.session == session]
            if mine:
                joined = {name: torch.cat([getattr(p, name) for p in mine]) for name in ("stim", "robs", "dfs")}
                grouped.append(replace(mine[0], **joined))
        halves.append(gradient(ClipBatch(0, tuple(grouped), counts), 2))
    # Every parameter has a gradient on every process: nothing for DDP to wait for.
    assert set(halves[0]) == set(halves[1]) == set(one) == {n for n, p in net.named_parameters() if p.requires_grad}
    for name, expected in one.items():
        mean = (halves[0][name] + halves[1][name]) / 2
        assert torch.allclose(mean, expected, rtol=1e-4, atol=1e-6), name


def test_a_session_without_valid_entries_neither_counts_nor_dilutes() -> None:
    parts = (clips(0, 2, CONTEXT + 4, 4, 3), clips(1, 2, CONTEXT + 4, 4, 2))
    empty = (parts[0], replace(parts[1], dfs=torch.zeros_like(parts[1].dfs)))
    rates = [torch.rand(2, 4, n) + 0.1 for n in UNITS]
    batch = ClipBatch(0, empty, counts_of(empty))
    shares = session_losses(rates, batch)
    assert shares[1].item() == 0.0
    assert step_loss(shares, batch, 1).item() == pytest.approx(shares[0].item())
