"""Settings of a twin: which components, and how they are sized."""

from __future__ import annotations

from typing import Literal

from vctrain.config.base import Config
from vctrain.config.components.adapters import Adapter, AffineAdapter
from vctrain.config.components.convnets import Convnet, ResNet
from vctrain.config.components.frontends import Frontend, LearnableTemporal
from vctrain.config.components.modulators import Modulator, NoModulator
from vctrain.config.components.readouts import GaussianReadout, Readout
from vctrain.config.components.recurrent import NoRecurrent, Recurrent


class ModelConfig(Config):
    """A twin: adapters, frontend, convnet, modulator, recurrent, readouts, output."""

    semantics: Literal["streaming"] = "streaming"
    """How the stored weights compute: current twins stream clips, oldest frame first."""
    adapter: Adapter = AffineAdapter()
    frontend: Frontend = LearnableTemporal()
    convnet: Convnet = ResNet()
    modulator: Modulator = NoModulator()
    recurrent: Recurrent = NoRecurrent()
    readout: Readout = GaussianReadout()
    output: Literal["softplus", "exp"] = "softplus"
