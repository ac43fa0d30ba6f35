"""How far does a mapped linear-nonlinear model get: a ridge filter of the stored patch, then any nonlinearity."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vctrain.metrics.bps import PoissonSums

TAPS = 14
PENALTIES = (0.03, 0.3, 3.0, 30.0)
"""Ridge penalties in mean variances of a feature; each unit takes what predicts best on trials left out of the fit."""


def features(stim: Tensor, crop: int, basis: int) -> Tensor:
    """``(F, basis * crop * crop)``: the middle of the patch, its history in raised cosines."""
    edge = (stim.shape[1] - crop) // 2
    pixels = stim[:, edge : edge + crop, edge : edge + crop].float().flatten(1) / 127 - 1
    pixels = pixels - pixels.mean(0)
    lag, spacing = torch.arange(TAPS) + 0.5, TAPS / (basis - 1)
    centres = torch.linspace(0, TAPS, basis)[:, None]
    weights = torch.cos(((lag - centres) / spacing).clamp(-1, 1) * math.pi / 2).square()
    out = torch.zeros(len(pixels), basis, pixels.shape[1])
    for delay in range(TAPS):
        out[delay:] += weights[:, delay, None] * pixels[: len(pixels) - delay, None]
    return out.flatten(1)


def valid_frames(covariates: dict[str, Tensor]) -> Tensor:
    """Frames with a full tracked history in their own trial."""
    trial, tracked = covariates["trial_inds"], covariates["dpi_valid"] > 0
    keep = tracked.clone()
    for delay in range(1, TAPS):
        keep[:delay] = False
        keep[delay:] &= tracked[:-delay] & (trial[delay:] == trial[:-delay])
    return keep


def nonlinearity(drive: Tensor, robs: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Mean count in equally filled bins of the drive: bin centres and rates."""
    edges = torch.quantile(drive, torch.linspace(0, 1, bins + 1)[1:-1])
    index = torch.bucketize(drive, edges)
    count = torch.bincount(index, minlength=bins).double()
    spikes = torch.bincount(index, weights=robs.double(), minlength=bins)
    centre = torch.bincount(index, weights=drive.double(), minlength=bins) / count
    return centre, (spikes + 0.5) / (count + 0.5 / robs.double().mean())


def fitted_bps(covariates: dict[str, Tensor], crop: int = 21, basis: int = 7, bins: int = 20) -> tuple[Tensor, Tensor]:
    """BPS of each unit on trials that took no part: of the linear-nonlinear model, and of the true rate."""
    keep, fold = valid_frames(covariates), covariates["trial_inds"] % 5
    fit, chosen, test = keep & (fold < 3), keep & (fold == 3), keep & (fold == 4)
    x, robs = features(covariates["stim"], crop, basis), covariates["robs"].clone()
    seen = x[fit]
    gram, cross = seen.t() @ seen, seen.t() @ (robs[fit] - robs[fit].mean(0))
    del seen
    best = torch.full((robs.shape[1],), -1.0)
    weights = torch.zeros_like(cross)
    for penalty in PENALTIES:
        ridge = torch.diag(torch.full((len(gram),), float(gram.diagonal().mean()) * penalty))
        tried = torch.linalg.solve(gram + ridge, cross)
        predicted, counts = x[chosen] @ tried, robs[chosen]
        pairs = zip(predicted.t(), counts.t(), strict=True)
        score = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs])
        better = score > best
        best[better], weights[:, better] = score[better], tried[:, better]
    drive, rate = x @ weights, torch.zeros(int(test.sum()), robs.shape[1], dtype=torch.float64)
    for unit in range(robs.shape[1]):
        centre, level = nonlinearity(drive[chosen, unit], robs[chosen, unit], bins)
        place = drive[test, unit].double().clamp(centre[0], centre[-1])
        right = torch.bucketize(place, centre).clamp(1, bins - 1)
        part = (place - centre[right - 1]) / (centre[right] - centre[right - 1])
        rate[:, unit] = torch.lerp(level[right - 1], level[right], part)
    everywhere = torch.ones(len(rate), 1)
    truth = covariates["rate_true"][test]
    return tuple(PoissonSums.of(r, robs[test], everywhere).bits_per_spike() for r in (rate, truth))  # type: ignore[return-value]
