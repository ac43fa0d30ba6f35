"""The twin: adapters, one shared core, readouts; clips of several sessions in, predicted rates out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from vctrain.config.components.adapters import AffineAdapter
from vctrain.config.components.baselines import NoBaseline
from vctrain.config.components.component import Component
from vctrain.config.components.histories import NoHistory
from vctrain.config.model import ModelConfig
from vctrain.data.clips import SessionClips
from vctrain.errors import ContractError
from vctrain.models.adapter import SessionAdapter, adapted, contrast, contrasts
from vctrain.models.causal import Past
from vctrain.models.components import build
from vctrain.models.fitting import adapters_of, behavior_width, check_behavior_alone, check_output
from vctrain.models.geometry import Geometry, Space
from vctrain.models.modulator_memory import PredictiveCodingModulator
from vctrain.models.output import drive_of, rate_of
from vctrain.models.readout import Readout, masks_of
from vctrain.models.shapes import SessionShape as SessionShape
from vctrain.models.shapes import StoredShape as StoredShape
from vctrain.models.vision import compiled_vision, vision

LEAST_RATE = 1e-4
"""Spikes a bin: what a silent unit starts from."""

FRAMES_AT_ONCE = 192
"""Scored frames of all clips that go through the twin together without a gradient: what a layer writes for them still
fits into the caches of a processor (docs/performance.md)."""
LEAST_AT_ONCE = 24
"""Scored frames of a clip: a memory's steps are the slower the fewer clips take them together."""


def context_of(config: ModelConfig) -> int:
    """Frames a twin needs before the first it can score: receptive field in time less one, plus warm-ups."""
    return config.context


class Twin(nn.Module):
    """One network for all sessions of ``sessions``, in their order.

    ``forward`` takes `SessionClips` whose stimuli are ``(n, context + L, H, W)``, oldest frame first, and returns for
    each the rates in spikes per bin, ``(n, L, U)``. What a component adds to the channels, takes from the map or
    consumes of the frames is tracked here and nowhere else.

    Raises `UsageError` when the components do not fit each other or the sessions, `ContractError` when sessions lack
    what the components need.
    """

    def __init__(self, config: ModelConfig, sessions: Sequence[SessionShape]) -> None:
        super().__init__()
        check_output(config)
        check_behavior_alone(config, sessions)
        self.config, self.context = config, config.context
        self.names = tuple(session.name for session in sessions)
        self.units = tuple(session.n_units for session in sessions)
        adapters, self.grid = adapters_of(config, sessions)
        self.adapters = nn.ModuleList(
            SessionAdapter(adapter, self.grid) if isinstance(adapter, AffineAdapter) else nn.Identity()
            for adapter in adapters
        )
        space = Space(1, Geometry(self.grid))
        self.frontend, space = _stage(config.frontend, space)
        self.convnet, space = _stage(config.convnet, space)
        self._seen_space = space
        behavior: tuple[int, bool] | tuple[()] = ()
        if config.modulator.type != "none":
            behavior = (behavior_width(config, sessions), any(s.behavior_dim == 0 for s in sessions))
        self.modulator, space = _stage(config.modulator, space, *behavior)
        self.recurrent, space = _stage(config.recurrent, space)
        self.geometry = space.geometry
        self.readouts = nn.ModuleList(_readout(config, session, space) for session in sessions)
        self._auxiliary: tuple[Tensor, Tensor] | None = None
        self.compiles = False
        """Whether training computes the vision with kernels written for it (`vctrain.models.vision`)."""

    @property
    def core(self) -> list[nn.Module]:
        """The shared modules."""
        return [m for m in (self.frontend, self.convnet, self.modulator, self.recurrent) if m is not None]

    @property
    def reads_stimulus(self) -> bool:
        """Whether clips must hold a movie."""
        return self.config.stimulus

    @property
    def history_frames(self) -> int:
        """Frames before the scored ones of which clips must hold the counts."""
        return self.config.history.num_lags

    def forward(self, parts: Sequence[SessionClips]) -> list[Tensor]:
        scored = parts[0].robs.shape[1]
        frames = max(FRAMES_AT_ONCE // sum(part.n_clips for part in parts), LEAST_AT_ONCE)
        if torch.is_grad_enabled() or self.training or scored <= frames:
            return self._pass(parts, _run, self.context)
        kept: dict[nn.Module, Past] = {}

        def resume(stage: Any, *inputs: Tensor) -> Tensor:
            y, kept[stage] = stage.resume(*inputs, past=kept.get(stage))
            return cast(Tensor, y)

        rates = [
            self._pass(
                [part.piece(start, min(start + frames, scored), before=start == 0) for part in parts],
                resume,
                self.context if start == 0 else 0,
            )
            for start in range(0, scored, frames)
        ]
        return [torch.cat(of_one, dim=1) for of_one in zip(*rates, strict=True)]

    def _pass(self, parts: Sequence[SessionClips], run: Callable[..., Tensor], context: int) -> list[Tensor]:
        """Rates of clips with ``context`` frames before the scored ones: all that is needed, or none where ``run`` has
        stages go on from the frames before."""
        x = self._seen(parts, run, context) if self.reads_stimulus else self._blank(parts, context)
        if self.modulator is not None:
            x = run(self.modulator, x, self._encode_behavior(parts, x.shape[2]))
            self._auxiliary = self._prediction_errors(parts)
        x = x if self.recurrent is None else run(self.recurrent, x)
        sizes = [part.n_clips for part in parts]
        masks = masks_of([self._readout(part.session) for part in parts])
        drives = [self._drive(*of_one) for of_one in zip(parts, x.split(sizes), masks, strict=True)]
        return self._rates(parts, drives)

    def _seen(self, parts: Sequence[SessionClips], run: Callable[..., Tensor], context: int) -> Tensor:
        """What leaves the convnet, ``(n, C, T, h, w)``: of the stimuli, or computed beforehand."""
        stored = [part.features for part in parts if part.features is not None]
        if stored:
            # the layout in memory that the convnet writes: channels last
            return torch.cat(stored).permute(0, 4, 1, 2, 3)
        stimuli = adapted([self.adapters[part.session] for part in parts], contrasts(parts))
        x = torch.cat(stimuli) if len(stimuli) > 1 else stimuli[0]
        return self._vision(x[:, None, max(context - self.config.core_history, 0) :], run)

    def _vision(self, x: Tensor, run: Callable[..., Tensor]) -> Tensor:
        trains = self.training and torch.is_grad_enabled()
        return (compiled_vision() if self.compiles and trains else vision)(self.frontend, self.convnet, x, run)

    @property
    def vision_history(self) -> int:
        """Frames before a frame that what leaves the convnet at that frame depends on."""
        return self.config.frontend.history + self.config.convnet.history

    @property
    def seen_before(self) -> int:
        """Frames before the first scored one at which the rest of the core reads what leaves the convnet."""
        return self.config.core_history - self.vision_history

    def seen_shape(self, session: int) -> tuple[int, int, int]:
        """``(h, w, C)`` of what leaves the convnet at a frame."""
        return self._seen_space.geometry.size, self._seen_space.geometry.size, self._seen_space.channels

    def see(self, part: SessionClips) -> Tensor:
        """What leaves the convnet of clips with `vision_history` frames of context, ``(n, L, h, w, C)``: the
        `SessionClips.features` of later passes."""
        x = self.adapters[part.session](contrast(part))[:, None]
        return self._vision(x, _run).permute(0, 2, 3, 4, 1)

    def _blank(self, parts: Sequence[SessionClips], context: int) -> Tensor:
        """What stands where a stimulus would, ``(n, 1, T, 1, 1)``: ones."""
        for part in parts:
            if part.behavior is None:
                raise ContractError(
                    f"session {self.names[part.session]}: no behavior in its clips, and this twin reads nothing else",
                    hint="add a behavior transform to its dataset config, or leave the session out",
                )
        frames = parts[0].robs.shape[1] + min(context, self.config.core_history)
        return torch.ones(sum(part.n_clips for part in parts), 1, frames, 1, 1, device=parts[0].robs.device)

    def _encode_behavior(self, parts: Sequence[SessionClips], frames: int) -> Tensor:
        encoder = self.modulator.encoder
        return torch.cat(
            [
                encoder(None if part.behavior is None else part.behavior[:, -frames:], part.n_clips, frames)
                for part in parts
            ]
        )

    def _readout(self, session: int) -> Readout:
        readout = self.readouts[session]
        assert isinstance(readout, Readout)
        return readout

    def _drive(self, part: SessionClips, features: Tensor, masks: Sequence[Tensor]) -> Tensor:
        history = self.history_frames + part.robs.shape[1]
        counts = None if part.history is None else part.history[:, -history:]
        drive: Tensor = self._readout(part.session)(features, counts, masks)
        return drive

    def _rates(self, parts: Sequence[SessionClips], drives: Sequence[Tensor]) -> list[Tensor]:
        """Rates of all sessions at once, end to end, and then each with its baseline."""
        together = rate_of(self.config.output, torch.cat([drive.flatten() for drive in drives]))
        pieces = together.split([drive.numel() for drive in drives])
        rates = [piece.view_as(drive) for piece, drive in zip(pieces, drives, strict=True)]
        baselines = [self._readout(part.session).baseline for part in parts]
        return [
            rate if baseline is None else rate + baseline() for rate, baseline in zip(rates, baselines, strict=True)
        ]

    def _prediction_errors(self, parts: Sequence[SessionClips]) -> tuple[Tensor, Tensor] | None:
        if not isinstance(self.modulator, PredictiveCodingModulator) or self.modulator.errors is None:
            return None
        scored = parts[0].robs.shape[1]
        squares = self.modulator.errors[:, :, -scored:].float().square().mean((1, 3, 4))
        counts = torch.cat([(part.dfs > 0).any(-1) for part in parts]).to(squares)
        return (squares * counts).sum(), counts.sum()

    def auxiliary_sums(self) -> tuple[Tensor, Tensor] | None:
        """Of the last pass in training mode: the sum over scored frames of the squared error of predictive coding
        (mean over channels and positions), and the number of those frames; None for a twin without it.

        Their sums over ranks give the loss of the whole step.
        """
        return self._auxiliary

    def auxiliary_loss(self) -> Tensor | None:
        """Mean squared error of predictive coding over the scored frames of all sessions of the last pass in training
        mode; None for a twin without it."""
        return None if self._auxiliary is None else self._auxiliary[0] / self._auxiliary[1].clamp_min(1.0)

    @torch.no_grad()
    def set_rates(self, session: int, rates: Tensor) -> None:
        """Set the biases of ``session`` so that a unit without features fires at its rate (spikes per bin,
        ``(U,)``)."""
        readout = self._readout(session)
        if readout.bias is None:
            return
        rate = rates.to(readout.bias)
        if readout.baseline is not None:
            rate = rate - readout.baseline()
        readout.bias.copy_(drive_of(self.config.output, rate.clamp_min(LEAST_RATE)))

    @torch.no_grad()
    def set_positions(self, session: int, positions: Tensor) -> None:
        """Centre the masks of ``session`` on ``positions`` ``(U, 2)``: (y, x) in -1..1 over the stimulus patch."""
        for centre in self._readout(session).centres:
            grid_pixel = (positions.to(centre) + 1) / 2 * (self.grid - 1)
            index = (grid_pixel - self.geometry.offset) / self.geometry.stride
            limit = (self.geometry.size - 1) / 2
            centre.copy_((index - limit).clamp(-limit, limit))

    def own_parameters(self, session: int) -> list[nn.Parameter]:
        """The parameters that ``session`` owns."""
        return [*self.adapters[session].parameters(), *self.readouts[session].parameters()]

    def keep_alive(self, parts: Sequence[SessionClips]) -> Tensor:
        """A zero that depends on the parameters of sessions absent from ``parts``.

        Under DDP every parameter must take part in every backward pass of every rank; a session whose clips lie on
        other ranks takes part through this.
        """
        present = {part.session for part in parts}
        absent = [i for i in range(len(self.names)) if i not in present]
        unused = [p for i in absent for p in self.own_parameters(i)]
        if self.modulator is not None:
            encoder = self.modulator.encoder
            if encoder.null is not None and all(part.behavior is not None for part in parts):
                unused.append(encoder.null)
            if all(part.behavior is None for part in parts):
                unused.extend(encoder.net.parameters())
        zero = torch.zeros((), device=next(self.parameters()).device)
        return zero + sum((p.flatten()[0] * 0.0 for p in unused if p.requires_grad), start=zero)


def _run(stage: Any, *inputs: Tensor) -> Tensor:
    return cast(Tensor, stage(*inputs))


def _stage(config: Component, space: Space, *inputs: Any) -> tuple[Any, Space]:
    """The stage of the core that ``config`` describes and the space it writes; None, and the space it would read, for
    one of type none."""
    if getattr(config, "type") == "none":  # noqa: B009  (every member of the families declares it)
        return None, space
    stage = build(config, space, *inputs)
    return stage, stage.out


def _readout(config: ModelConfig, session: SessionShape, space: Space) -> Readout:
    """The readout of ``session``, its own or the model's, with its spike history and baseline."""
    readout: Readout = build(session.own_readout or config.readout, space, session.n_units)
    if not isinstance(config.history, NoHistory):
        readout.history = build(config.history, session.n_units)
    if not isinstance(config.baseline, NoBaseline):
        readout.baseline = build(config.baseline, session.n_units)
    return readout
