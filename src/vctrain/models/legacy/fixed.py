"""Frontends that are given rather than learned: dynamical adaptation of cones, and raised-cosine bases, over lags."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.legacy_parts import BasisParams, DynamicAdaptationParams
from vctrain.errors import UsageError
from vctrain.models.legacy.windows import Features, dense


def over_lags(x: Tensor, kernels: Tensor, before: int, after: int) -> Tensor:
    """Channel ``c * B + b``: ``y[t] = sum_i kernels[b, i] x[c, t - before + i]``, zero beyond the window."""
    channels = x.shape[1]
    padded = F.pad(x, (0, 0, 0, 0, before, after))
    weight = kernels[:, None, :, None, None].repeat(channels, 1, 1, 1, 1)
    return F.conv3d(padded, weight.to(x.dtype), groups=channels)


class DynamicAdaptation(nn.Module):
    """Cone adaptation (Clark et al. 2013): ``alpha * y / (1 + relu(beta) * z)``, y and z filtered along the lags.

    Old code filtered the window as it stood, newest frame first: from the present into the past. ``Ky_filter`` and
    ``Kz_filter`` ``(1, 1, L)`` are stored last tap first; where the constants learn, they are computed from those.
    """

    Ky_filter: Tensor
    Kz_filter: Tensor

    def __init__(self, params: DynamicAdaptationParams, in_channels: int, sampling_rate: float) -> None:
        super().__init__()
        if in_channels != 1:
            raise UsageError(
                f"frontend da on {in_channels} channels: it reads one", hint="correct initial_input_channels"
            )
        self.step_ms, self.length, self.learns = 1000 / sampling_rate, params.filter_length, params.learnable_params
        for name in ("alpha", "beta") + (("gamma", "tau_y_ms", "n_y", "tau_z_ms", "n_z") if self.learns else ()):
            value = torch.tensor(float(getattr(params, name)))
            self.register_parameter(name, nn.Parameter(value, requires_grad=self.learns))
        if not self.learns:
            constants = {
                name: torch.tensor(float(getattr(params, name)))
                for name in ("gamma", "tau_y_ms", "n_y", "tau_z_ms", "n_z")
            }
            fast, mixed = self._filters(constants)
            self.register_buffer("Ky_filter", fast.flip(0).view(1, 1, -1))
            self.register_buffer("Kz_filter", mixed.flip(0).view(1, 1, -1))
        self.out_channels = 1

    def _gamma_filter(self, tau_ms: Tensor, order: Tensor) -> Tensor:
        tau = (tau_ms / self.step_ms).clamp_min(0.1)
        t = torch.arange(self.length, device=tau.device, dtype=tau.dtype)
        norm = tau ** (order + 1) * torch.exp(torch.lgamma(order + 1 + 1e-9))
        return t**order * torch.exp(-t / tau) / norm.clamp_min(1e-9)

    def _filters(self, constants: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The fast filter, and its mixture with the slow one, first tap first."""
        fast = self._gamma_filter(constants["tau_y_ms"], constants["n_y"])
        slow = self._gamma_filter(constants["tau_z_ms"], constants["n_z"])
        gamma = constants["gamma"].clamp(0, 1)
        return fast, gamma * fast + (1 - gamma) * slow

    def forward(self, x: Features) -> Tensor:
        window = dense(x)
        if self.learns:
            fast, mixed = (kernel.flip(0) for kernel in self._filters(dict(self.named_parameters())))
        else:
            fast, mixed = self.Ky_filter[0, 0], self.Kz_filter[0, 0]
        y, z = over_lags(window, torch.stack([fast, mixed]), self.length - 1, 0).split(1, dim=1)
        divisor = 1 + F.relu(self.get_parameter("beta")) * z
        return self.get_parameter("alpha") * y / divisor.clamp_min(1e-6)


def raised_cosines(params: BasisParams) -> Tensor:
    """The basis ``(functions, L + 1)`` over lags, the first column zero (Pillow et al. 2008)."""
    length = max(1, int(params.history_bins))
    deltas = torch.eye(params.num_delta_funcs, length)
    n, (first, last) = params.num_cosine_funcs, params.peak_range_ms
    t = torch.arange(length) * params.bin_size_ms
    if params.log_spacing:
        low, high = math.log(max(0.01, first)), math.log(max(0.01, last))
        position, whole = torch.log(t + 1e-6), high - low
    else:
        low, high = first, last
        position, whole = t.float(), last - first
    centres = torch.linspace(low, high, n) if n > 1 else torch.full((n,), (low + high) / 2)
    width = 2 * float(centres[1] - centres[0]) if n > 1 else whole
    angle = (position - centres[:, None]) * math.pi / width
    cosines = torch.where(angle.abs() > math.pi, torch.zeros(()), (torch.cos(angle) + 1) / 2)
    basis = F.pad(torch.cat([deltas, cosines]), (1, 0))
    if params.normalize:
        basis = basis / basis.norm(dim=1, keepdim=True)
    return basis


class LagBasis(nn.Module):
    """Every pixel's lags on a fixed basis: channel ``c * B + b``; the basis is computed from its settings."""

    kernels: Tensor

    def __init__(self, params: BasisParams, in_channels: int) -> None:
        super().__init__()
        if params.orthogonalize:
            raise UsageError(
                "frontend.params.orthogonalize: how old code did it is not known here", hint="leave it out"
            )
        basis = raised_cosines(params)
        reach = basis.shape[1] - 1
        self.edges = (reach, 0) if params.causal else ((reach + 1) // 2, reach - (reach + 1) // 2)
        self.register_buffer("kernels", basis.flip(1) if params.causal else basis, persistent=False)
        self.bn = nn.BatchNorm1d(len(basis)) if params.batch_norm else None
        self.skip = params.chomp or 0
        self.out_channels = in_channels * len(basis)

    def forward(self, x: Features) -> Tensor:
        window = dense(x)
        y = over_lags(window, self.kernels, *self.edges)
        if self.bn is not None:
            n, channels, frames, height, width = y.shape
            functions = len(self.kernels)
            split = y.view(n, -1, functions, frames, height, width).permute(0, 1, 4, 5, 2, 3)
            normed = self.bn(split.reshape(-1, functions, frames)).view(*split.shape)
            y = normed.permute(0, 1, 4, 5, 2, 3).reshape(n, channels, frames, height, width)
        return y[:, :, self.skip :]
