"""Convolutional gated units: how a state over space moves from frame to frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.models.causal import Past
from vctrain.models.gru_steps import gru_states


class GatedUnit(nn.Module):
    """What the units share: kernels for the input, run on all frames at once, and for the state, run frame by frame.

    ``state_weight`` is ``(gates * hidden, hidden, kernel, kernel)``, each gate orthogonal at the start.
    """

    def __init__(self, channels: int, hidden: int, kernel: int, gates: int) -> None:
        super().__init__()
        self.hidden, self.padding = hidden, kernel // 2
        self.input_conv = nn.Conv2d(channels, gates * hidden, kernel, padding=self.padding)
        self.state_weight = nn.Parameter(torch.empty(gates * hidden, hidden, kernel, kernel))
        for gate in self.state_weight.chunk(gates):
            nn.init.orthogonal_(gate.data, gain=0.5)

    def drives(self, x: Tensor) -> Tensor:
        """What the input ``(n, C, T, H, W)`` gives to the gates at each frame, ``(n, T, gates * hidden, H, W)``."""
        n, _, frames, height, width = x.shape
        flat = x.transpose(1, 2).reshape(n * frames, -1, height, width)
        return self.input_conv(flat).view(n, frames, -1, height, width)

    def pushed(self, state: Tensor) -> Tensor:
        """What the state gives to the gates of the next frame."""
        return F.conv2d(state, self.state_weight, padding=self.padding)


class GRU(GatedUnit):
    """``(n, C, T, H, W)`` to the state after each frame, ``(n, hidden, T, H, W)``, from a state of zero.

    A gated recurrent unit with the reset applied after the recurrent product (Cho et al. 2014, as in torch.nn.GRU), so
    each frame costs one recurrent convolution: ``z, r = sigmoid(.)``, ``candidate = tanh(W x + r * (U h + b))``,
    ``h = (1 - z) * candidate + z * h``. The state is kept in float32 whatever the precision of the convolutions.
    """

    def __init__(self, channels: int, hidden: int, kernel: int) -> None:
        super().__init__(channels, hidden, kernel, gates=3)
        self.candidate_bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, x: Tensor) -> Tensor:
        return self.resume(x, past=None)[0]

    def resume(self, x: Tensor, *, past: Past) -> tuple[Tensor, Past]:
        """From the state of the last frame before."""
        states = gru_states(self.drives(x), self.state_weight, self.candidate_bias, past)
        return states.transpose(1, 2), states[:, -1]


class LSTM(GatedUnit):
    """``(n, C, T, H, W)`` to the output after each frame, ``(n, hidden, T, H, W)``, from a cell of zero.

    Convolutional long short-term memory (Shi et al. 2015, without peepholes): ``i, f, o = sigmoid(.)``,
    ``c = f * c + i * tanh(.)``, ``h = o * tanh(c)``; the forget gate starts with a bias of 1.
    """

    def __init__(self, channels: int, hidden: int, kernel: int) -> None:
        super().__init__(channels, hidden, kernel, gates=4)
        assert self.input_conv.bias is not None
        nn.init.ones_(self.input_conv.bias.data[hidden : 2 * hidden])

    def forward(self, x: Tensor) -> Tensor:
        return self.resume(x, past=None)[0]

    def resume(self, x: Tensor, *, past: Past) -> tuple[Tensor, Past]:
        """From output and cell of the last frame before."""
        zeros = torch.zeros(len(x), self.hidden, *x.shape[3:], device=x.device)
        (output, cell), outputs = past or (zeros, zeros), []
        for drive in self.drives(x).unbind(1):
            into, forget, new, out = (drive.float() + self.pushed(output).float()).chunk(4, dim=1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(into) * torch.tanh(new)
            output = torch.sigmoid(out) * torch.tanh(cell)
            outputs.append(output)
        return torch.stack(outputs, dim=2), (output, cell)
