"""What has a twin learned that can be drawn: temporal and spatial kernels, adapters of sessions, places of readouts?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vctrain.models.adaptation import AdaptationStage
from vctrain.models.adapter import SessionAdapter
from vctrain.models.build import AnyTwin
from vctrain.models.frontend import TemporalBank
from vctrain.models.geometry import Geometry
from vctrain.models.kernels import Kernel
from vctrain.models.legacy.adapter import OldAdapter
from vctrain.models.legacy.convs import LegacyKernelConv
from vctrain.models.legacy.temporal import HeadTemporal, OldTemporal
from vctrain.models.legacy.twin import LegacyTwin
from vctrain.models.readout import MIN_STD
from vctrain.models.temporal_basis import TemporalBasisStage

Array = NDArray[np.float64]
_CIRCLE = np.linspace(0.0, 2 * np.pi, 49)


@dataclass(frozen=True)
class Kernels:
    """Temporal kernels ``(K, taps)``, lag 0 first; ``about`` says what they are."""

    values: Array
    about: str


@dataclass(frozen=True)
class Filters:
    """Spatial kernels ``(filters, inputs, height, width)`` of a convolution, each at its strongest tap in time."""

    values: Array
    taps: int


@dataclass(frozen=True)
class Alignment:
    """How a session's stimulus reaches the core's grid: a point p of the grid, (y, x) in -1..1, reads the point
    ``matrix @ p + shift`` of the patch, in the same units; ``sigma`` is the blur's width in stimulus pixels."""

    matrix: Array
    shift: Array
    sigma: float | None
    learned: bool

    def to_patch(self, points: Array) -> Array:
        """Points ``(..., 2)`` of the grid in the patch."""
        return points @ self.matrix.T + self.shift

    def outline(self) -> Array:
        """The corners of the grid in the patch, closed, ``(5, 2)``."""
        return self.to_patch(np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]))


@dataclass(frozen=True)
class Masks:
    """The masks of one kind of a session's units in its patch, (y, x) in -1..1.

    ``centres`` ``(U, 2)``; ``outlines`` ``(U, 49, 2)`` at one standard deviation.
    """

    kind: str
    centres: Array
    outlines: Array


@dataclass(frozen=True)
class Part:
    """What a session owns of a twin."""

    session: str
    alignment: Alignment | None
    """None for a twin that reads no stimulus."""
    masks: tuple[Masks, ...]
    """None of them where units have no place."""


def kernels_of(twin: AnyTwin) -> Kernels | str:
    """The temporal kernels of the frontend; why there are none, in words."""
    frontend = twin.frontend
    with torch.no_grad():
        match frontend:
            case TemporalBank():
                return Kernels(
                    _lag_first(frontend.kernel()[:, 0]), "learned kernels of the frontend, shared by all pixels"
                )
            case TemporalBasisStage():
                return Kernels(_lag_first(frontend.bank[0]), "fixed basis of the frontend; nothing in it learns")
            case AdaptationStage():
                return Kernels(_lag_first(frontend.kernels()), "fast and slow filter of the adaptation in the frontend")
            case OldTemporal():
                rows = frontend.temporal_conv.out_channels
                return Kernels(_plain(frontend.kernel()[:rows, 0, :, 0, 0]), "learned kernels of the frontend")
            case HeadTemporal():
                conv = frontend.temporal_conv["conv"]
                assert isinstance(conv, LegacyKernelConv)
                return Kernels(_plain(conv.kernel()[:, 0, :, 0, 0]), "learned kernels of the frontend")
    if not twin.reads_stimulus:
        return "This twin reads no stimulus, so it has no temporal kernels."
    if frontend is None:
        return "This twin has no frontend, so it has no kernels in time alone; its convnet reads the stimulus itself."
    return f"The frontend of this twin ({twin.config.frontend.type}) has no kernels in time alone."


def filters_of(twin: AnyTwin) -> Filters | None:
    """The spatial kernels of the first convolution that looks at more than one pixel; None where there is none."""
    for stage in (twin.frontend, twin.convnet):
        for module in () if stage is None else stage.modules():
            if not isinstance(module, Kernel | LegacyKernelConv):
                continue
            with torch.no_grad():
                weights = _plain(module() if isinstance(module, Kernel) else module.kernel())
            if weights.ndim == 5 and max(weights.shape[-2:]) > 1:
                strongest = np.square(weights).sum((1, 3, 4)).argmax(1)
                return Filters(weights[np.arange(len(weights)), :, strongest], weights.shape[2])
    return None


def parts_of(twin: AnyTwin, names: Sequence[str]) -> list[Part]:
    """What the sessions ``names`` own, in their order."""
    return [_part(twin, twin.names.index(name)) for name in names]


def _part(twin: AnyTwin, session: int) -> Part:
    name = twin.names[session]
    if not twin.reads_stimulus:
        return Part(name, None, ())
    with torch.no_grad():
        alignment = alignment_of(twin.adapters[session])
        if isinstance(twin, LegacyTwin):
            geometry, grid = twin.geometry_of(session), min(twin.grids[session])
        else:
            geometry, grid = twin.geometry, twin.grid
        masks = tuple(_masks(twin.readouts[session], geometry, grid, alignment))
    return Part(name, alignment, masks)


def alignment_of(adapter: nn.Module) -> Alignment:
    """The map of an adapter; the identity for a session without one."""
    if isinstance(adapter, SessionAdapter):
        scale, shift = _plain(adapter.scale), _plain(adapter.shift)
        matrix = np.diag(scale)
        if adapter.shear is not None:
            shear = _plain(adapter.shear)
            matrix = np.array([[scale[0], shear[0]], [shear[1], scale[1]]])
        sigma = None if adapter.log_sigma is None else float(F.softplus(adapter.log_sigma.detach()))
        return Alignment(matrix, shift, sigma, True)
    if isinstance(adapter, OldAdapter):
        if adapter.scales:
            return Alignment(np.diag(_plain(adapter.span())), np.zeros(2), adapter.sigma(), True)
        # stored for (x, y)
        affine = _plain(adapter.affine)
        return Alignment(affine[::-1, 1::-1].copy(), affine[::-1, 2].copy(), adapter.sigma(), True)
    return Alignment(np.eye(2), np.zeros(2), None, False)


def _masks(readout: nn.Module, geometry: Geometry, grid: int, alignment: Alignment) -> list[Masks]:
    """Every Gaussian mask that ``readout`` has: parameters named alike but for mean, std and theta."""
    parameters = dict(readout.named_parameters())
    found = []
    for name, mean in parameters.items():
        if "mean" not in name:
            continue
        std, theta = parameters.get(name.replace("mean", "std")), parameters.get(name.replace("mean", "theta"))
        if std is not None and theta is not None:
            kind = _kind(name)
            found.append(_in_patch(kind, _plain(mean), _plain(std), _plain(theta), geometry, grid, alignment))
    return found


def _kind(name: str) -> str:
    words: Mapping[str, str] = {"excitatory.mean": "excitatory", "inhibitory.mean": "inhibitory"}
    return words.get(name, {"mean_ex": "excitatory", "mean_inh": "inhibitory"}.get(name, ""))


def _in_patch(
    kind: str, mean: Array, std: Array, theta: Array, geometry: Geometry, grid: int, alignment: Alignment
) -> Masks:
    """Masks in map pixels from the map's centre, as `gaussian_masks` reads them, in the patch."""
    width = np.maximum(np.abs(std), MIN_STD)
    along, across = width[:, :1] * np.cos(_CIRCLE), width[:, 1:] * np.sin(_CIRCLE)
    cos, sin = np.cos(theta)[:, None], np.sin(theta)[:, None]
    ring = np.stack([along * cos - across * sin, along * sin + across * cos], axis=-1)

    def placed(points: Array) -> Array:
        pixel = geometry.stride * (points + (geometry.size - 1) / 2) + geometry.offset
        return alignment.to_patch(pixel * 2 / max(grid - 1, 1) - 1)

    return Masks(kind, placed(mean), placed(mean[:, None] + ring))


def _plain(values: Tensor | Any) -> Array:
    return np.asarray(values.detach().cpu().double().numpy())


def _lag_first(values: Tensor) -> Array:
    """Kernels with the newest tap last, the other way round."""
    return _plain(values)[:, ::-1].copy()
