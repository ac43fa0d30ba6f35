"""How convolution kernels are windowed, normalised and initialised."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vctrain.config.components.windows import Window

MIN_WINDOWED_TAPS = 5
"""Shorter axes stay unwindowed: a taper over three taps would leave one."""


def taper(taps: int, window: Window, power: float = 1.0) -> Tensor:
    """A symmetric window of ``taps`` live taps, peak 1, as float64 ``(taps,)``.

    A textbook Hann window of n taps is zero at both ends, so a 9-tap kernel computes 7 useful taps. Here the window of
    ``taps + 2`` samples is taken without its zero ends: the same taper, and every tap counts.

    >>> [round(value, 6) for value in taper(3, "hann").tolist()]
    [0.5, 1.0, 0.5]
    """
    if window == "none":
        return torch.ones(taps, dtype=torch.float64)
    make = getattr(torch.signal.windows, window)
    values: Tensor = make(taps + 2, sym=True, dtype=torch.float64)[1:-1]
    return (values / values.max()) ** power


def separable_taper(shape: Sequence[int], window: Window, power: float = 1.0) -> Tensor:
    """The outer product of tapers over the axes of ``shape`` that have at least five taps; float32, strictly
    positive."""
    product = torch.ones((), dtype=torch.float64)
    for taps in shape:
        axis = taper(taps, window if taps >= MIN_WINDOWED_TAPS else "none", power)
        product = product[..., None] * axis
    return product.float()


class Kernel(nn.Module):
    """A kernel ``(out, in, *taps)`` under an anti-aliasing window and, if asked, weight normalisation.

    The effective kernel is ``window * raw``, or with weight normalisation ``gain * window * raw / |window * raw|``
    (Salimans and Kingma 2016, norm per output filter, taken *after* the window so that ``gain`` is the norm in effect).
    With ``keep_unit_norm`` the gain is 1 and no parameter. `set_effective` writes the parameters that give a wanted
    effective kernel, so no initialisation is lost.
    """

    window: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        *,
        window: Window = "none",
        window_power: float = 1.0,
        weight_norm: bool = False,
        keep_unit_norm: bool = False,
    ) -> None:
        super().__init__()
        # A filter of one number has no direction: it is its own gain, or nothing but a sign.
        number = math.prod(shape[1:]) == 1
        self.raw = nn.Parameter(torch.empty(*shape), requires_grad=not (number and keep_unit_norm))
        self.normed = weight_norm and (keep_unit_norm or not number)
        self.gain = nn.Parameter(torch.ones(shape[0])) if self.normed and not keep_unit_norm else None
        self.register_buffer("window", separable_taper(shape[2:], window, window_power), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """He-uniform effective weights, whatever the window takes away from their norm (He et al. 2015)."""
        fan_in = self.raw[0].numel()
        bound = math.sqrt(3.0 / fan_in)
        effective = torch.empty_like(self.raw).uniform_(-bound, bound) * self.window
        self.set_effective(effective / self.window.square().mean().sqrt())

    @torch.no_grad()
    def set_effective(self, kernel: Tensor) -> None:
        """Choose the parameters so that `forward` returns ``kernel`` of the same shape (its filters at unit norm where
        that is kept)."""
        self.raw.copy_(kernel / self.window)
        if self.gain is not None:
            self.gain.copy_(kernel.flatten(1).norm(dim=1))

    @torch.no_grad()
    def set_first(self, filters: Tensor) -> None:
        """Start the first ``len(filters)`` filters from ``filters`` (same shape but for their number), each at its
        present norm."""
        kernel = self().clone()
        wanted = filters.flatten(1)
        norm = kernel[: len(filters)].flatten(1).norm(dim=1, keepdim=True)
        unit = wanted / wanted.norm(dim=1, keepdim=True).clamp_min(1e-12)
        kernel[: len(filters)] = (unit * norm).view_as(kernel[: len(filters)])
        self.set_effective(kernel)

    def forward(self) -> Tensor:
        kernel = self.raw * self.window
        if not self.normed:
            return kernel
        scale = 1 / kernel.flatten(1).norm(dim=1).clamp_min(1e-12)
        scale = scale if self.gain is None else self.gain * scale
        return kernel * scale.view(-1, *[1] * (kernel.ndim - 1))
