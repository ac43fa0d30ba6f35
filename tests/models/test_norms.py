"""Each norm is its formula, frame by frame; batch statistics are those of all ranks, in training only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from pydantic import TypeAdapter

from vctrain.config.components.norms import Norm
from vctrain.models.norms import EPS, MOMENTUM, SpatialGRN, StepBatchNorm, build_norm

NORMS = ["none", "rms", "layer", "grn", "instance", {"type": "group", "groups": 2}, "batch"]
AFFINE = ["rms", "layer", "instance", "group", "batch"]


def norm(settings: object, channels: int = 4) -> torch.nn.Module:
    built = build_norm(TypeAdapter(Norm).validate_python(settings), channels)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.linspace(-0.5, 0.5, len(parameter)))
    return built


def statistics(kind: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is subtracted from, and what divides, ``x`` ``(n, C, T, H, W)``."""
    n, channels, frames, *side = x.shape
    if kind == "rms":
        return np.zeros(()), np.sqrt((x**2).mean(1, keepdims=True) + EPS)
    if kind == "group":
        grouped = x.reshape(n, 2, channels // 2, frames, *side)
        mean = grouped.mean((2, 4, 5), keepdims=True).repeat(channels // 2, 2)
        variance = grouped.var((2, 4, 5), keepdims=True).repeat(channels // 2, 2)
        shape = (n, channels, frames, 1, 1)
        return mean.reshape(shape), np.sqrt(variance.reshape(shape) + EPS)
    axes = {"layer": 1, "instance": (3, 4), "batch": (0, 2, 3, 4)}[kind]
    return x.mean(axes, keepdims=True), np.sqrt(x.var(axes, keepdims=True) + EPS)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("kind", AFFINE)
def test_norms_are_their_formulas(kind, affine):
    built = norm({"type": kind, "affine": affine, **({"groups": 2} if kind == "group" else {})})
    x = torch.randn(2, 4, 3, 5, 5) * 2 + 1
    mean, scale = statistics(kind, x.double().numpy())
    expected = (x.numpy() - mean) / scale
    if affine:
        line = torch.linspace(-0.5, 0.5, 4).numpy()[:, None, None, None]
        expected = expected * (1 + line) + line
    assert bool(list(built.parameters())) == affine
    assert np.allclose(built(x).detach().numpy(), expected, atol=1e-4)


def test_grn_is_its_formula():
    x = torch.randn(2, 4, 3, 5, 5)
    built = norm("grn")
    energy = np.sqrt((x.double().numpy() ** 2).sum((3, 4), keepdims=True))
    relative = energy / (energy.mean(1, keepdims=True) + EPS)
    line = torch.linspace(-0.5, 0.5, 4).numpy()[:, None, None, None]
    expected = (0.1 + line) * x.numpy() * relative + line + x.numpy()
    assert np.allclose(built(x).detach().numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("settings", NORMS)
def test_norms_never_look_across_time(settings):
    built = norm(settings, 6).eval()
    x = torch.randn(2, 6, 5, 4, 4)
    other = x.clone()
    other[:, :, 3] = torch.randn(2, 6, 4, 4)
    same = torch.tensor([0, 1, 2, 4])
    assert torch.equal(built(x)[:, :, same], built(other)[:, :, same])


@pytest.mark.parametrize("settings", NORMS)
def test_norms_keep_the_channels_last_layout(settings):
    x = torch.randn(2, 6, 5, 4, 4).contiguous(memory_format=torch.channels_last_3d)
    assert norm(settings, 6)(x).is_contiguous(memory_format=torch.channels_last_3d)


def test_grn_has_a_finite_gradient_on_a_blank_frame():
    x = torch.zeros(1, 3, 2, 4, 4, requires_grad=True)
    SpatialGRN(3)(x).sum().backward()
    assert bool(x.grad.isfinite().all())


def test_batch_norm_is_that_of_torch():
    """In training, in evaluation, and in what it remembers."""
    ours, theirs = StepBatchNorm(4, True), torch.nn.BatchNorm3d(4, eps=EPS, momentum=MOMENTUM)
    for _ in range(3):
        x = torch.randn(3, 4, 2, 5, 5) * 3 + 1
        assert torch.allclose(ours(x), theirs(x), atol=1e-4)
    assert torch.allclose(ours.mean, theirs.running_mean, atol=1e-5)
    assert torch.allclose(ours.variance, theirs.running_var, atol=1e-4)
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-4)


def _one_rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    whole = torch.load(f"{folder}/input.pt")
    built, x = norm("batch"), whole[rank::2].clone().requires_grad_()
    (built(x) * torch.load(f"{folder}/weights.pt")[rank::2]).sum().backward()
    torch.save({"grad": x.grad, "mean": built.mean, "variance": built.variance}, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


def test_batch_statistics_are_those_of_all_ranks(tmp_path: Path):
    """Two ranks with half of the clips each: what they remember and their gradients are those of one process."""
    x, weights = torch.randn(4, 4, 2, 3, 3) + torch.arange(4.0).view(4, 1, 1, 1, 1), torch.randn(4, 4, 2, 3, 3)
    torch.save(x, tmp_path / "input.pt")
    torch.save(weights, tmp_path / "weights.pt")
    mp.spawn(_one_rank, args=(str(tmp_path),), nprocs=2)
    built, alone = norm("batch"), x.clone().requires_grad_()
    (built(alone) * weights).sum().backward()
    for rank in range(2):
        of_rank = torch.load(tmp_path / f"rank{rank}.pt")
        assert torch.allclose(of_rank["grad"], alone.grad[rank::2], atol=1e-5)
        assert torch.allclose(of_rank["mean"], built.mean, atol=1e-6)
        assert torch.allclose(of_rank["variance"], built.variance, atol=1e-5)
