"""Memory beyond the receptive field in time: a convolutional gated recurrent unit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.components.recurrent import ConvGRU
from vctrain.models.norms import ChannelRMS


class ConvGRUStage(nn.Module):
    """``(n, C, warmup + L, H, W)`` to ``(n, C + hidden, L, H, W)``: the input beside the state.

    The cell is the gated recurrent unit with the reset applied after the recurrent product (Cho et al. 2014, as in
    torch.nn.GRU), so the input convolutions of all frames run at once and each frame costs one recurrent convolution:
    ``z, r = sigmoid(.)``, ``candidate = tanh(W x + r * (U h))``, ``h = (1 - z) * candidate + z * h``.

    The input is normalised over channels (an unnormalised one saturated the gates and left the state constant), and the
    readout keeps a path around the unit, so a twin with it starts no slower than one without.
    """

    def __init__(self, config: ConvGRU, channels: int) -> None:
        super().__init__()
        self.hidden, self.warmup, self.padding = config.hidden, config.warmup, config.kernel // 2
        self.norm = ChannelRMS(channels)
        self.input_conv = nn.Conv2d(channels, 3 * config.hidden, config.kernel, padding=self.padding)
        self.state_weight = nn.Parameter(torch.empty(3 * config.hidden, config.hidden, config.kernel, config.kernel))
        self.candidate_bias = nn.Parameter(torch.zeros(config.hidden))
        self.out_channels = channels + config.hidden
        for gate in self.state_weight.chunk(3):
            nn.init.orthogonal_(gate.data, gain=0.5)

    def forward(self, x: Tensor) -> Tensor:
        n, _, frames, height, width = x.shape
        flat = self.norm(x).transpose(1, 2).reshape(n * frames, -1, height, width)
        drive = self.input_conv(flat).view(n, frames, 3 * self.hidden, height, width).unbind(1)
        state = x.new_zeros(n, self.hidden, height, width)
        states = []
        for at in drive:
            pushed = F.conv2d(state, self.state_weight, padding=self.padding)
            gates = torch.sigmoid(at[:, : 2 * self.hidden] + pushed[:, : 2 * self.hidden])
            update, reset = gates.chunk(2, dim=1)
            recurrent = pushed[:, 2 * self.hidden :] + self.candidate_bias.view(-1, 1, 1)
            candidate = torch.tanh(at[:, 2 * self.hidden :] + reset * recurrent)
            state = torch.lerp(candidate, state, update)
            states.append(state)
        kept = torch.stack(states[self.warmup :], dim=2)
        return torch.cat([x[:, :, self.warmup :], kept], dim=1)
