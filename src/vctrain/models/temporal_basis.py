"""Fixed raised cosines over the past of every pixel, in front of the convnet."""

from __future__ import annotations

import torch
from torch import Tensor

from vctrain.config import transforms
from vctrain.config.components.frontends import TemporalBasis
from vctrain.data.signals import basis_matrix
from vctrain.errors import UsageError
from vctrain.models.causal import Causal
from vctrain.models.geometry import Space
from vctrain.models.registry import builds
from vctrain.models.temporal import filtered


def basis_kernels(config: TemporalBasis) -> Tensor:
    """The functions of ``config`` at lags 0 to ``history_bins - 1``: ``(functions, history_bins)``, newest tap first.

    They are those of the temporal_basis transform of covariates, which begin a frame later: a covariate may be what a
    twin predicts, a movie is not. Raises `UsageError` for a function that is zero on every frame.
    """
    bank = basis_matrix(
        transforms.TemporalBasis(
            num_delta_funcs=config.num_delta_funcs,
            num_cosine_funcs=config.num_cosine_funcs,
            history_bins=config.history_bins,
            log_spacing=config.log_spacing,
            peak_range_ms=config.peak_range_ms,
            bin_size_ms=1000 / config.sampling_rate,
            normalize=config.normalize,
        )
    )[:, 1:]
    empty = torch.nonzero(bank.abs().sum(1) == 0).flatten().tolist()
    if empty:
        span = 1000 * (config.history_bins - 1) / config.sampling_rate
        raise UsageError(
            f"model.frontend: function {empty[0]} of temporal_basis is zero on all {config.history_bins} frames",
            hint=f"keep peak_range_ms within {span:g} ms, or lower num_cosine_funcs",
        )
    if config.orthogonalize:
        if torch.linalg.matrix_rank(bank) < len(bank):
            raise UsageError(
                f"model.frontend: the functions of temporal_basis are not independent on {config.history_bins} frames",
                hint="lower num_cosine_funcs, or raise history_bins",
            )
        bank = torch.linalg.qr(bank.t()).Q.t()
    return bank


@builds(TemporalBasis)
class TemporalBasisStage(Causal):
    """``(n, 1, T, H, W)`` to ``(n, functions, T - history, H, W)``; nothing learns."""

    bank: Tensor

    def __init__(self, config: TemporalBasis, space: Space) -> None:
        super().__init__()
        assert space.channels == 1, "frontends read the stimulus"
        kernels = basis_kernels(config).flip(1)
        self.register_buffer("bank", kernels[None], persistent=False)
        self.history, self.out = config.history, Space(len(kernels), space.geometry)

    def forward(self, x: Tensor) -> Tensor:
        return filtered(x, self.bank)
