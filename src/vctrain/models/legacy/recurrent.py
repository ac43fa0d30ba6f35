"""The recurrent stages of old models, run from the newest lag to the oldest."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.legacy_parts import LegacyRecurrent, RecurrentParams
from vctrain.models.legacy.semantics import Code


def _each_frame(x: Tensor) -> Tensor:
    """``(n, C, T, H, W)`` as images ``(n * T, C, H, W)``."""
    return x.transpose(1, 2).flatten(0, 1)


def _bias(conv: nn.Conv2d) -> nn.Parameter:
    assert isinstance(conv.bias, nn.Parameter)
    return conv.bias


class ResetlessCell(nn.Module):
    """A GRU cell whose reset gate is computed from weights that reach nothing (defect A13).

    ``conv_x`` and ``conv_h`` hold rows for the update gate, the reset gate and the candidate, in this order; the middle
    third is kept because it is in the checkpoints, and is not computed: its gradient is zero.
    """

    def __init__(self, in_channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.padding = kernel // 2
        self.conv_x = nn.Conv2d(in_channels, 3 * hidden, kernel, padding=self.padding)
        self.conv_h = nn.Conv2d(hidden, 3 * hidden, kernel, padding=self.padding, bias=False)
        nn.init.kaiming_uniform_(self.conv_x.weight, a=math.sqrt(5))
        with torch.no_grad():
            self.conv_h.weight.copy_(
                nn.init.orthogonal_(torch.empty_like(self.conv_h.weight).flatten(1)).view_as(self.conv_h.weight)
            )

    def _alive(self, rows: Tensor) -> Tensor:
        return torch.cat([rows[: self.hidden], rows[2 * self.hidden :]])

    def forward(self, x: Tensor) -> Tensor:
        """The state ``(n, hidden, H, W)`` after all frames of ``x`` ``(n, C, T, H, W)``."""
        frames = x.shape[2]
        recurrent = self._alive(self.conv_h.weight)
        drive = F.conv2d(
            _each_frame(x),
            self._alive(self.conv_x.weight),
            self._alive(_bias(self.conv_x)),
            padding=self.padding,
        )
        drive = drive.view(x.shape[0], frames, *drive.shape[1:])
        state = drive.new_zeros(len(x), self.hidden, *drive.shape[3:])
        for frame in range(frames):
            gates = drive[:, frame]
            # The first state is zero; its kernel runs only where nothing else would give it a gradient (of zero).
            if frame > 0 or frames == 1:
                gates = gates + F.conv2d(state, recurrent, padding=self.padding)
            update, candidate = gates.chunk(2, dim=1)
            update = torch.sigmoid(update)
            state = (1 - update) * state + update * torch.tanh(candidate)
        return state


class LSTMCell(nn.Module):
    """A convolutional LSTM cell; ``gates`` are input, forget, candidate, output."""

    def __init__(self, in_channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Conv2d(in_channels + hidden, 4 * hidden, kernel, padding=kernel // 2)
        nn.init.xavier_uniform_(self.gates.weight)
        nn.init.zeros_(_bias(self.gates))

    def forward(self, x: Tensor) -> Tensor:
        """The output ``(n, hidden, H, W)`` after all frames of ``x`` ``(n, C, T, H, W)``."""
        output = x.new_zeros(len(x), self.hidden, *x.shape[3:])
        memory = output
        for frame in x.unbind(2):
            i, f, g, o = self.gates(torch.cat([frame, output], dim=1)).chunk(4, dim=1)
            memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
            output = torch.sigmoid(o) * torch.tanh(memory)
        return output


class LastState(nn.Module):
    """What a ``cell`` holds after the oldest frame, ``(n, hidden, H, W)``; with ``fast_phase`` beside that frame."""

    def __init__(self, cell: ResetlessCell | LSTMCell, in_channels: int, fast_phase: bool = False) -> None:
        super().__init__()
        self.cell = cell
        self.fast_phase = fast_phase
        self.out_channels = cell.hidden + (in_channels if fast_phase else 0)

    def forward(self, x: Tensor) -> Tensor:
        state: Tensor = self.cell(x)
        return torch.cat([x[:, :, -1], state], dim=1) if self.fast_phase else state


class GatedCell(nn.Module):
    """The GRU cell of newer code: ``update_gate``, ``reset_gate`` and ``out_gate`` read input and state."""

    def __init__(self, in_channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.hidden, self.inputs = hidden, in_channels
        self.padding = kernel // 2
        self.update_gate = nn.Conv2d(in_channels + hidden, hidden, kernel, padding=self.padding)
        self.reset_gate = nn.Conv2d(in_channels + hidden, hidden, kernel, padding=self.padding)
        self.out_gate = nn.Conv2d(in_channels + hidden, hidden, kernel, padding=self.padding)
        for gate, bias in ((self.update_gate, 1.0), (self.reset_gate, 0.0), (self.out_gate, 0.0)):
            nn.init.orthogonal_(gate.weight)
            nn.init.constant_(_bias(gate), bias)

    def forward(self, x: Tensor) -> Tensor:
        """The states ``(n, hidden, T, H, W)`` of all frames of ``x``; convolutions of the input run at once."""
        gates = (self.update_gate, self.reset_gate, self.out_gate)
        weights = [gate.weight for gate in gates]
        of_input = torch.cat([weight[:, : self.inputs] for weight in weights])
        of_state = torch.cat([weight[:, self.inputs :] for weight in weights[:2]])
        of_reset_state = weights[2][:, self.inputs :]
        padding = self.padding
        drive = F.conv2d(_each_frame(x), of_input, torch.cat([_bias(gate) for gate in gates]), padding=padding)
        drive = drive.view(x.shape[0], x.shape[2], *drive.shape[1:])
        state = drive.new_zeros(len(x), self.hidden, *drive.shape[3:])
        states: list[Tensor] = []
        for frame in drive.unbind(1):
            update, reset, candidate = frame.chunk(3, dim=1)
            # The first state is zero; its kernels run only where nothing else would give them a gradient (of zero).
            if states or drive.shape[1] == 1:
                from_state = F.conv2d(state, of_state, padding=padding)
                update, reset = update + from_state[:, : self.hidden], reset + from_state[:, self.hidden :]
                candidate = candidate + F.conv2d(torch.sigmoid(reset) * state, of_reset_state, padding=padding)
            update = torch.sigmoid(update)
            state = (1 - update) * state + update * torch.tanh(candidate)
            states.append(state)
        return torch.stack(states, dim=2)


class GatedLayers(nn.Module):
    """Layers of `GatedCell`, ``cells.i``: states of all frames, ``(n, hidden, T, H, W)``."""

    def __init__(self, in_channels: int, hidden: int, kernel: int, layers: int = 1) -> None:
        super().__init__()
        self.cells = nn.ModuleList(
            GatedCell(in_channels if layer == 0 else hidden, hidden, kernel) for layer in range(layers)
        )
        self.out_channels = hidden

    def forward(self, x: Tensor) -> Tensor:
        for cell in self.cells:
            x = cell(x)
        return x


def build_gru(in_channels: int, params: RecurrentParams, code: Code) -> LastState | GatedLayers:
    """The convolutional GRU of a generation."""
    if code.head:
        return GatedLayers(in_channels, params.hidden_dim, params.kernel_size, params.n_layers)
    cell = ResetlessCell(in_channels, params.hidden_dim, params.kernel_size)
    return LastState(cell, in_channels, params.fast_phase)


def build_recurrent(config: LegacyRecurrent, in_channels: int, code: Code) -> LastState | GatedLayers:
    """The recurrent stage of a config."""
    if config.type == "convgru":
        return build_gru(in_channels, config.params, code)
    cell = LSTMCell(in_channels, config.params.hidden_dim, config.params.kernel_size)
    return LastState(cell, in_channels, config.params.fast_phase)
