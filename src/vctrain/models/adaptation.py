"""Adaptation of photoreceptors to recent light, in front of the convnet."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vctrain.config.components.frontends import DynamicalAdaptation
from vctrain.models.adapter import GREY_RANGE, MEAN_GREY
from vctrain.models.causal import Causal
from vctrain.models.geometry import Space
from vctrain.models.registry import builds
from vctrain.models.temporal import filtered

MIN_TAU = 0.1
"""Shortest time constant in frames."""


def gamma_filter(frames: int, tau: Tensor, n: Tensor) -> Tensor:
    """``t^n exp(-t/tau) / (tau^(n+1) Gamma(n+1))`` at lags 0 to ``frames - 1``; ``tau`` in frames."""
    lag = torch.arange(frames, dtype=tau.dtype, device=tau.device)
    tau = tau.clamp_min(MIN_TAU)
    return lag.pow(n) * torch.exp(-lag / tau - (n + 1) * tau.log() - torch.lgamma(n + 1))


@builds(DynamicalAdaptation)
class AdaptationStage(Causal):
    """``(n, 1, T, H, W)`` contrast to ``(n, 1, T - length + 1, H, W)``: ``alpha * y / (1 + beta * z)`` (Clark et al.
    2013), less the response to mean grey, so that mean grey is zero before and after.

    ``y`` and ``z`` are grey values (0 to 255, from contrast as `adapter.normalise` defines it) through a fast filter
    and one with slow parts; grey values are not negative, so the denominator is at least 1. Parameters, if learnable,
    are logarithms of the positive numbers and the logit of ``gamma``.
    """

    log_alpha: Tensor
    log_beta: Tensor
    logit_gamma: Tensor
    log_tau_y: Tensor
    log_tau_z: Tensor
    log_n_y: Tensor
    log_n_z: Tensor

    def __init__(self, config: DynamicalAdaptation, space: Space) -> None:
        super().__init__()
        assert space.channels == 1, "frontends read the stimulus"
        self.history, self.length, self.out = config.history, config.filter_length, space
        frames_of_ms = config.sampling_rate / 1000
        start = {
            "log_alpha": math.log(config.alpha),
            "log_beta": math.log(config.beta),
            "logit_gamma": math.log(config.gamma / (1 - config.gamma)),
            "log_tau_y": math.log(config.tau_y_ms * frames_of_ms),
            "log_tau_z": math.log(config.tau_z_ms * frames_of_ms),
            "log_n_y": math.log(config.n_y) if config.n_y else -math.inf,
            "log_n_z": math.log(config.n_z) if config.n_z else -math.inf,
        }
        for name, value in start.items():
            if config.learnable:
                self.register_parameter(name, nn.Parameter(torch.tensor(value)))
            else:
                self.register_buffer(name, torch.tensor(value), persistent=False)

    def kernels(self) -> Tensor:
        """The impulse responses of ``y`` and ``z``, ``(2, length)``, newest tap last."""
        fast = gamma_filter(self.length, self.log_tau_y.exp(), self.log_n_y.exp())
        slow = gamma_filter(self.length, self.log_tau_z.exp(), self.log_n_z.exp())
        share = torch.sigmoid(self.logit_gamma)
        return torch.stack([fast, share * fast + (1 - share) * slow]).flip(1)

    def forward(self, x: Tensor) -> Tensor:
        kernels = self.kernels()
        alpha, beta = self.log_alpha.exp(), self.log_beta.exp()
        grey_y, grey_z = (MEAN_GREY * kernels.sum(1)).unbind()
        # The filters are linear: grey values are a constant and 255 times the contrast.
        y, z = (filtered(x, kernels[None]) * GREY_RANGE).split(1, dim=1)
        return alpha * ((y + grey_y) / (1 + beta * (z + grey_z)) - grey_y / (1 + beta * grey_z))
