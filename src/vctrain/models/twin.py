"""The twin: adapters, one shared core, readouts; clips of several sessions in, predicted rates out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.components.adapters import Adapter, AffineAdapter
from vctrain.config.components.convnets import NoConvnet
from vctrain.config.components.frontends import LearnableTemporal, NoFrontend
from vctrain.config.components.modulators import NoModulator
from vctrain.config.components.readouts import Readout
from vctrain.config.components.recurrent import ConvGRU
from vctrain.config.model import ModelConfig
from vctrain.data.clips import SessionClips
from vctrain.errors import ContractError, UsageError
from vctrain.models.adapter import SessionAdapter, contrast
from vctrain.models.convnet import ResNetCore
from vctrain.models.frontend import TemporalBank
from vctrain.models.geometry import Geometry
from vctrain.models.modulator import ConcatModulator, FilmModulator
from vctrain.models.readout import GaussianMaskReadout
from vctrain.models.recurrent import ConvGRUStage


class SessionShape(Protocol):
    """What a twin must know of a session to be built: sizes only."""

    @property
    def name(self) -> str: ...
    @property
    def n_units(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def behavior_dim(self) -> int: ...
    @property
    def own_adapter(self) -> Adapter | None: ...
    @property
    def own_readout(self) -> Readout | None: ...


@dataclass(frozen=True)
class StoredShape:
    """A `SessionShape` written down, as checkpoints hold it."""

    name: str
    n_units: int
    height: int
    width: int
    behavior_dim: int
    own_adapter: Adapter | None = None
    """Instead of the model's."""
    own_readout: Readout | None = None
    """Instead of the model's."""


def context_of(config: ModelConfig) -> int:
    """Frames a twin needs before the first it can score: receptive field in time less one, plus recurrent warm-up."""
    history = config.frontend.kernel_size - 1 if isinstance(config.frontend, LearnableTemporal) else 0
    if not isinstance(config.convnet, NoConvnet):
        stem = [config.convnet.stem] if config.convnet.stem else []
        history += sum(block.kernel[0] - 1 for block in [*stem, *config.convnet.blocks])
    return history + (config.recurrent.warmup if isinstance(config.recurrent, ConvGRU) else 0)


def _adapters(config: ModelConfig, sessions: Sequence[SessionShape]) -> tuple[list[Adapter], int]:
    """The adapter of each session, its own or the model's, and the side of the grid that all of them bring it to."""
    adapters = [session.own_adapter or config.adapter for session in sessions]
    stated = {
        session.name: adapter.grid_size
        for session, adapter in zip(sessions, adapters, strict=True)
        if isinstance(adapter, AffineAdapter) and adapter.grid_size is not None
    }
    grid = next(iter(stated.values()), max(side for s in sessions for side in (s.height, s.width)))
    for name, size in stated.items():
        if size != grid:
            raise UsageError(
                f"session {name}: adapter.grid_size is {size}, that of other sessions {grid}",
                hint="the core has one grid; leave grid_size out of the dataset config",
            )
    for session, adapter in zip(sessions, adapters, strict=True):
        if not isinstance(adapter, AffineAdapter) and (session.height, session.width) != (grid, grid):
            listed = ", ".join(f"{s.name} {s.height}x{s.width}" for s in sessions)
            raise UsageError(
                f"model.adapter none needs square stimuli of one size, got {listed}",
                hint="use --set model.adapter.type=adapter",
            )
    return adapters, grid


class Twin(nn.Module):
    """One network for all sessions of ``sessions``, in their order.

    ``forward`` takes `SessionClips` whose stimuli are uint8 ``(n, context + L, H, W)``, oldest frame first, and
    returns for each the rates in spikes per bin, ``(n, L, U)``. What a component adds to the channels is tracked here
    and nowhere else.

    Raises `UsageError` when the components do not fit each other or the sessions.
    """

    def __init__(self, config: ModelConfig, sessions: Sequence[SessionShape]) -> None:
        super().__init__()
        self.config = config
        self.context = context_of(config)
        self.names = tuple(session.name for session in sessions)
        self.units = tuple(session.n_units for session in sessions)
        adapters, grid = _adapters(config, sessions)
        self.adapters = nn.ModuleList(
            SessionAdapter(adapter, grid) if isinstance(adapter, AffineAdapter) else nn.Identity()
            for adapter in adapters
        )
        channels, geometry = 1, Geometry(grid)
        self.frontend: TemporalBank | None = None
        if not isinstance(config.frontend, NoFrontend):
            self.frontend = TemporalBank(config.frontend)
            channels = config.frontend.num_channels
        self.convnet: ResNetCore | None = None
        if not isinstance(config.convnet, NoConvnet):
            self.convnet = ResNetCore(config.convnet, channels, geometry)
            channels, geometry = self.convnet.out_channels, self.convnet.geometry
        if geometry.size < 1:
            raise UsageError(
                f"a {grid}x{grid} stimulus grid leaves no feature map after the convnet",
                hint="raise model.adapter.grid_size, or pad ('same') or pool less in model.convnet",
            )
        self.modulator = self._build_modulator(config, channels, sessions)
        channels = channels if self.modulator is None else self.modulator.out_channels
        self.recurrent = ConvGRUStage(config.recurrent, channels) if isinstance(config.recurrent, ConvGRU) else None
        channels = channels if self.recurrent is None else self.recurrent.out_channels
        self.geometry, self.grid = geometry, grid
        self.readouts = nn.ModuleList(
            GaussianMaskReadout(session.own_readout or config.readout, channels, session.n_units, geometry.size)
            for session in sessions
        )

    @staticmethod
    def _build_modulator(
        config: ModelConfig, channels: int, sessions: Sequence[SessionShape]
    ) -> ConcatModulator | FilmModulator | None:
        if isinstance(config.modulator, NoModulator):
            return None
        widths = {session.behavior_dim for session in sessions if session.behavior_dim}
        if not widths:
            raise ContractError(
                f"model.modulator is {config.modulator.type}, but no session has behavior",
                hint="use --set model.modulator.type=none, or add a behavior transform to the dataset config",
            )
        if len(widths) > 1:
            listed = ", ".join(f"{s.name} {s.behavior_dim}" for s in sessions)
            raise ContractError(
                f"behavior has different widths: {listed}", hint="give all sessions the same transforms"
            )
        make = FilmModulator if config.modulator.type == "film" else ConcatModulator
        some_without = any(not session.behavior_dim for session in sessions)
        return make(config.modulator, channels, widths.pop(), some_without)  # type: ignore[arg-type]

    @property
    def core(self) -> list[nn.Module]:
        """The shared modules."""
        return [m for m in (self.frontend, self.convnet, self.modulator, self.recurrent) if m is not None]

    def forward(self, parts: Sequence[SessionClips]) -> list[Tensor]:
        stimuli = [self.adapters[part.session](contrast(part)) for part in parts]
        x = torch.cat(stimuli) if len(stimuli) > 1 else stimuli[0]
        x = x[:, None] if self.frontend is None else self.frontend(x)
        x = x if self.convnet is None else self.convnet(x)
        if self.modulator is not None:
            x = self.modulator(x, self._encode_behavior(parts, x.shape[2]))
        x = x if self.recurrent is None else self.recurrent(x)
        sizes = [part.n_clips for part in parts]
        return [
            self._rate(self.readouts[part.session](features))
            for part, features in zip(parts, x.split(sizes), strict=True)
        ]

    def _encode_behavior(self, parts: Sequence[SessionClips], frames: int) -> Tensor:
        assert self.modulator is not None
        encoder = self.modulator.encoder
        return torch.cat(
            [
                encoder(None if part.behavior is None else part.behavior[:, -frames:], part.n_clips, frames)
                for part in parts
            ]
        )

    def _rate(self, drive: Tensor) -> Tensor:
        drive = drive.float()
        return torch.exp(drive.clamp_max(15.0)) if self.config.output == "exp" else F.softplus(drive)

    @torch.no_grad()
    def set_rates(self, session: int, rates: Tensor) -> None:
        """Set the biases of ``session`` so that a unit without features fires at its rate (spikes per bin,
        ``(U,)``)."""
        readout = self.readouts[session]
        assert isinstance(readout, GaussianMaskReadout)
        if readout.bias is None:
            return
        rate = rates.to(readout.bias).clamp_min(1e-4)
        readout.bias.copy_(rate.log() if self.config.output == "exp" else rate + torch.log(-torch.expm1(-rate)))

    @torch.no_grad()
    def set_positions(self, session: int, positions: Tensor) -> None:
        """Centre the masks of ``session`` on ``positions`` ``(U, 2)``: (y, x) in -1..1 over the stimulus patch."""
        readout = self.readouts[session]
        assert isinstance(readout, GaussianMaskReadout)
        grid_pixel = (positions.to(readout.mean) + 1) / 2 * (self.grid - 1)
        index = (grid_pixel - self.geometry.offset) / self.geometry.stride
        limit = (self.geometry.size - 1) / 2
        readout.mean.copy_((index - limit).clamp(-limit, limit))

    def keep_alive(self, parts: Sequence[SessionClips]) -> Tensor:
        """A zero that depends on the parameters of sessions absent from ``parts``.

        Under DDP every parameter must take part in every backward pass of every rank; a session whose clips lie on
        other ranks takes part through this.
        """
        present = {part.session for part in parts}
        absent = [i for i in range(len(self.names)) if i not in present]
        unused = [p for i in absent for m in (self.adapters[i], self.readouts[i]) for p in m.parameters()]
        if self.modulator is not None:
            encoder = self.modulator.encoder
            if encoder.null is not None and all(part.behavior is not None for part in parts):
                unused.append(encoder.null)
            if all(part.behavior is None for part in parts):
                unused.extend(encoder.net.parameters())
        zero = torch.zeros((), device=next(self.parameters()).device)
        return zero + sum((p.flatten()[0] * 0.0 for p in unused if p.requires_grad), start=zero)
