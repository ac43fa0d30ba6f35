"""A twin that computes as the old system did: windows of lags in, newest frame first, one prediction each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.legacy import LegacyModelConfig
from vctrain.config.legacy_parts import LegacyAdapter
from vctrain.data.clips import SessionClips
from vctrain.errors import ContractError
from vctrain.models.adapter import contrast
from vctrain.models.geometry import Geometry
from vctrain.models.legacy.activations import build_activation
from vctrain.models.legacy.adapter import OldAdapter
from vctrain.models.legacy.clipping import spikes
from vctrain.models.legacy.convnets import build_convnet
from vctrain.models.legacy.fitting import check_shapes, grid_size, map_size
from vctrain.models.legacy.frontends import build_frontend
from vctrain.models.legacy.modulators import PredictiveCoding, build_modulator
from vctrain.models.legacy.perceptron import Perceptron
from vctrain.models.legacy.placing import put_positions, put_rates
from vctrain.models.legacy.readouts import AnyReadout, MaskReadout, MeanReadout, TwoMaskReadout, build_readout
from vctrain.models.legacy.recurrent import build_recurrent
from vctrain.models.legacy.semantics import Code
from vctrain.models.legacy.windows import Features, Windows
from vctrain.models.shapes import SessionShape

WINDOWS_AT_ONCE = 256
"""Windows that are written out at the same time when no gradient is wanted."""
MIN_LOG_RATE, MIN_RATE = -20.0, 1e-8
"""Below this the old system cut its predictions off in training."""


class LegacyTwin(nn.Module):
    """A legacy network for the sessions of ``shapes``, in their order; names of tensors are those of old checkpoints.

    ``forward`` takes `SessionClips` as every twin does. For each scored frame the window of its ``config.lags`` is
    formed, newest frame first; what neighbouring windows share is computed once (`Windows`). Raises `UsageError` for
    settings that do not fit each other or the sessions, `ContractError` where behaviour is missing.
    """

    def __init__(self, config: LegacyModelConfig, shapes: Sequence[SessionShape]) -> None:
        super().__init__()
        self.config = config
        self.context = config.context
        self.names = tuple(shape.name for shape in shapes)
        self.units = tuple(shape.n_units for shape in shapes)
        self.reads_stimulus = config.reads_stimulus
        self.history_frames = max(config.spike_lags, default=0)
        check_shapes(config, shapes)
        code = Code.of(config)
        self.adapters = nn.ModuleList(_adapter(config.adapter_of(name)) for name in self.names)
        channels = config.initial_input_channels
        self.frontend = build_frontend(config, code)
        channels = channels if self.frontend is None else int(self.frontend.out_channels)  # type: ignore[arg-type]
        self.convnet = build_convnet(config, channels, code)
        channels = channels if self.convnet is None else self.convnet.out_channels
        self.modulator = build_modulator(config.modulator, channels, code)
        channels = channels if self.modulator is None else int(self.modulator.out_channels)  # type: ignore[arg-type]
        self.recurrent = None
        if config.recurrent.type != "none":
            self.recurrent = build_recurrent(config.recurrent, channels, code)
            channels = self.recurrent.out_channels
        self.readouts = nn.ModuleList(
            build_readout(config.readout_of(shape.name), channels, shape.n_units) for shape in shapes
        )
        if config.spike_lags:
            self.spike_history = nn.ModuleList(_history(config, units) for units in self.units)
        self.activation = build_activation(config.output_activation)
        if config.baseline.enabled:
            start = config.baseline.init_value
            self.baselines = nn.ParameterList(nn.Parameter(torch.full((units,), start)) for units in self.units)
        self._errors: list[Tensor] = []
        self.grids = tuple(grid_size(self.adapters[i], shape) for i, shape in enumerate(shapes))
        sizes = {grid: map_size(self, grid) for grid in dict.fromkeys(self.grids)}
        self.map_sizes = tuple(sizes[grid] for grid in self.grids)

    @property
    def core(self) -> list[nn.Module]:
        """The shared modules."""
        parts = (self.frontend, self.convnet, self.modulator, self.recurrent)
        return [part for part in parts if part is not None]

    @property
    def grid(self) -> int:
        """Side of the grid of the first session."""
        return self.grids[0][0]

    @property
    def geometry(self) -> Geometry:
        """Where the feature map's pixels lie on the grid of the first session."""
        return self.geometry_of(0)

    def geometry_of(self, session: int) -> Geometry:
        """Where the feature map's pixels lie on the grid of a session.

        Old convnets crop and pool about the centre, or half a pixel beside it: the map's centre is the grid's.
        """
        size, stride = min(self.map_sizes[session]), 1 if self.convnet is None else self.convnet.stride
        return Geometry(size, stride, (min(self.grids[session]) - 1 - stride * (size - 1)) / 2)

    def forward(self, parts: Sequence[SessionClips]) -> list[Tensor]:
        self._errors = []
        rates: dict[int, Tensor] = {}
        for group in self._passes(parts):
            for part, rate in zip(group, self._pass(group), strict=True):
                rates[part.session] = rate
        return [rates[part.session] for part in parts]

    def forward_windows(
        self, session: int, stim: Tensor | None, behavior: Tensor | None = None, history: Tensor | None = None
    ) -> Tensor:
        """Rates ``(N, U)`` of windows as the old system served them: ``stim`` ``(N, C, T, H, W)`` newest frame first,
        ``behavior`` ``(N, D)`` of the newest frame, ``history`` ``(N, lags, U)``."""
        self._errors = []
        x = None if stim is None or not self.reads_stimulus else self.adapters[session](stim)
        features = self.features(x, behavior, 0 if behavior is None else len(behavior))
        self._keep_errors([None], [len(features)])
        return self._read(session, features, history)

    def _passes(self, parts: Sequence[SessionClips]) -> list[list[SessionClips]]:
        """Sessions that can go through the core together: of one grid, with or without behaviour, and each alone while
        batch norms learn, whose moments were those of one session."""
        norms = any(isinstance(m, nn.BatchNorm3d | nn.BatchNorm1d) and m.training for m in self.modules())
        groups: dict[tuple[object, ...], list[SessionClips]] = {}
        for part in parts:
            guided = self.modulator is not None and part.behavior is not None
            kind = (self.grids[part.session], part.robs.shape[1], guided, part.session if norms else 0)
            groups.setdefault(kind, []).append(part)
        return list(groups.values())

    def _pass(self, parts: Sequence[SessionClips]) -> list[Tensor]:
        """Rates of sessions that go through the core together, without a gradient piece by piece."""
        if torch.is_grad_enabled():
            return self._predict(parts)
        scored, clips = parts[0].robs.shape[1], sum(part.n_clips for part in parts)
        frames = max(1, min(scored, WINDOWS_AT_ONCE // max(clips, 1)))
        pieces = [self._predict([p.piece(t, min(t + frames, scored)) for p in parts]) for t in range(0, scored, frames)]
        return [torch.cat(rates, dim=1) for rates in zip(*pieces, strict=True)]

    def _predict(self, parts: Sequence[SessionClips]) -> list[Tensor]:
        scored = parts[0].robs.shape[1]
        behaviors = [part.behavior[:, -scored:].flatten(0, 1) for part in parts if part.behavior is not None]
        behavior = torch.cat(behaviors) if behaviors and self.modulator is not None else None
        sizes = [part.n_clips * scored for part in parts]
        stored = [part.features for part in parts if part.features is not None]
        if stored:
            features = self._guided(torch.cat(stored).flatten(0, 1).permute(0, 3, 1, 2)[:, :, None], behavior)
        else:
            x = self._windows(parts, scored) if self.reads_stimulus else None
            features = self.features(x, behavior, sum(sizes))
        self._keep_errors([(part.dfs > 0).any(-1).flatten() for part in parts], sizes)
        return [
            self._read(part.session, own, spikes(part, scored, self.config.spike_lags)).view(part.n_clips, scored, -1)
            for part, own in zip(parts, features.split(sizes), strict=True)
        ]

    def _windows(self, parts: Sequence[SessionClips], scored: int) -> Features:
        """Every frame of the clips on its session's grid, once, as windows."""
        needed = self.context + scored
        adapted = []
        for part in parts:
            movie = contrast(part)
            if movie.shape[1] < needed or self.config.initial_input_channels != 1:
                raise ContractError(
                    f"session {self.names[part.session]}: clips of {movie.shape[1]} grey frames, the model reads "
                    f"{needed} of {self.config.initial_input_channels} channels",
                    hint="clips hold one grey value a pixel and the model's context before the first scored frame",
                )
            newest_first = movie[:, -needed:].flip(1)[:, None]
            adapted.append(self.adapters[part.session](newest_first))
        stream = torch.cat(adapted) if len(adapted) > 1 else adapted[0]
        windows = Windows((stream,), tuple((0, lag) for lag in self.config.lags), scored)
        return windows if scored > 1 else windows.gather()

    def features(self, x: Features | None, behavior: Tensor | None, windows: int) -> Tensor:
        """Features of windows on the grid, ``(n, C, T, H, W)`` or, after an old GRU, ``(n, C, H, W)``."""
        if x is None:
            assert behavior is not None
            x = behavior.new_ones(windows, self.config.initial_input_channels, 1, 1, 1)
        return self._guided(self._vision(x), behavior)

    def _vision(self, x: Features) -> Tensor:
        """What leaves the convnet of each window, ``(n, C, T, H, W)``."""
        x = x if self.frontend is None else self.frontend(x)
        x = x if self.convnet is None else self.convnet(x)
        if not self.reads_slots:
            # Readouts take the oldest slot only, and nothing from here on looks at the others.
            x = replace(x, slots=x.slots[-1:]) if isinstance(x, Windows) else x[:, :, -1:]
        return x.gather() if isinstance(x, Windows) else x

    def _guided(self, y: Tensor, behavior: Tensor | None) -> Tensor:
        y = y if self.modulator is None or behavior is None else self.modulator(y, behavior)
        return y if self.recurrent is None else self.recurrent(y)

    @property
    def reads_slots(self) -> bool:
        """Whether what follows the convnet reads more of a window than its oldest slot."""
        return self.recurrent is not None or bool(getattr(self.modulator, "reads_time", False))

    @property
    def vision_history(self) -> int:
        """Frames before a frame that what leaves the convnet at that frame depends on."""
        return self.context

    @property
    def seen_before(self) -> int:
        """Frames before the first scored one at which what leaves the convnet is read: none, unless `reads_slots`."""
        return 0

    def seen_shape(self, session: int) -> tuple[int, int, int]:
        """``(h, w, C)`` of what leaves the convnet at a frame."""
        channels = self.config.initial_input_channels
        for stage in (self.frontend, self.convnet):
            channels = channels if stage is None else int(stage.out_channels)  # type: ignore[arg-type]
        return *self.map_sizes[session], channels

    def see(self, part: SessionClips) -> Tensor:
        """What leaves the convnet at the scored frames of clips, ``(n, L, h, w, C)``: the `SessionClips.features` of
        later passes."""
        scored = part.robs.shape[1]
        return self._vision(self._windows([part], scored))[:, :, -1].permute(0, 2, 3, 1).unflatten(0, (-1, scored))

    def _read(self, session: int, features: Tensor, history: Tensor | None) -> Tensor:
        """Rates ``(N, U)`` in spikes per bin; in training cut off where the old system did."""
        y = self.readouts[session](features)
        y = y.to(torch.promote_types(y.dtype, torch.float32))
        if self.config.spike_lags:
            if history is None:
                raise ContractError(
                    f"session {self.names[session]}: the model reads spikes of the past, and none are given",
                    hint="ask for history_frames frames of counts",
                )
            y = y + self.spike_history[session](history.flatten(1))
        y = self.activation(y)
        if self.config.baseline.enabled:
            y = y + self._positive(self.baselines[session])
        if self.config.log_rate:
            return torch.exp(y.clamp_min(MIN_LOG_RATE) if self.training else y)
        return y.clamp_min(MIN_RATE) if self.training else y

    def _positive(self, baseline: Tensor) -> Tensor:
        return F.relu(baseline) if self.config.baseline.activation == "relu" else F.softplus(baseline)

    def _keep_errors(self, counts: Sequence[Tensor | None], sizes: Sequence[int]) -> None:
        if isinstance(self.modulator, PredictiveCoding):
            self._errors.extend(self.modulator.squares(counts, sizes))

    def auxiliary_sums(self) -> tuple[Tensor, Tensor] | None:
        """Of the last pass in training mode: the sum over scored frames of the squared error of predictive coding
        (mean over channels and positions), and the number of those frames; None for a twin without it."""
        if not self._errors:
            return None
        total, count = torch.stack(self._errors).sum(0)
        return total, count

    def auxiliary_loss(self) -> Tensor | None:
        """Mean squared error of predictive coding over the scored frames of all sessions of the last pass in training
        mode (the old system took its last session's, defect A10); ``config.lambda_pred`` is its weight."""
        sums = self.auxiliary_sums()
        return None if sums is None else sums[0] / sums[1].clamp_min(1.0)

    def keep_alive(self, parts: Sequence[SessionClips]) -> Tensor:
        """A zero that depends on the parameters that ``parts`` do not reach, as `Twin.keep_alive` says."""
        present = {part.session for part in parts}
        unused: list[nn.Parameter] = []
        for session in range(len(self.names)):
            if session not in present:
                unused.extend(self.own_parameters(session))
        if self.modulator is not None and all(part.behavior is None for part in parts):
            unused.extend(self.modulator.parameters())
        zero = torch.zeros((), device=next(self.parameters()).device)
        return zero + sum((p.flatten()[0] * 0.0 for p in unused if p.requires_grad), start=zero)

    def own_parameters(self, session: int) -> list[nn.Parameter]:
        """Parameters that only one session has."""
        own = [*self.adapters[session].parameters(), *self.readouts[session].parameters()]
        if self.config.spike_lags:
            own.extend(self.spike_history[session].parameters())
        if self.config.baseline.enabled:
            own.append(self.baselines[session])
        return own

    def set_rates(self, session: int, rates: Tensor) -> None:
        """Set the biases of ``session`` so that a unit without features fires at its rate (spikes per bin)."""
        bias = self._readout(session).offset()
        if bias is not None:
            baseline = self._positive(self.baselines[session]) if self.config.baseline.enabled else None
            put_rates(bias, rates, baseline, self.activation, log_rate=self.config.log_rate)

    def set_positions(self, session: int, positions: Tensor) -> None:
        """Centre the masks of ``session`` on ``positions`` ``(U, 2)``: (y, x) in -1..1 over the stimulus patch."""
        put_positions(
            self._readout(session).centres, positions, self.adapters[session], self.geometry_of(session),
            min(self.grids[session]),
        )  # fmt: skip

    def _readout(self, session: int) -> AnyReadout:
        readout = self.readouts[session]
        assert isinstance(readout, MaskReadout | MeanReadout | TwoMaskReadout)
        return readout


def _adapter(config: object) -> nn.Module:
    return OldAdapter(config.params) if isinstance(config, LegacyAdapter) else nn.Identity()


def _history(config: LegacyModelConfig, units: int) -> Perceptron:
    params = config.history_encoder.params
    return Perceptron(
        len(config.spike_lags) * units,
        params.hidden_dims,
        units,
        activation=params.act_type,
        spectral_norm=params.spectral_norm,
    )
