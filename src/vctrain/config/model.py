"""Settings of a twin: which components, and how they are sized."""

from __future__ import annotations

from typing import Literal

from vctrain.config.base import Config
from vctrain.config.components.adapters import Adapter, AffineAdapter
from vctrain.config.components.baselines import Baseline, NoBaseline
from vctrain.config.components.convnets import Convnet, ResNet
from vctrain.config.components.frontends import Frontend, LearnableTemporal
from vctrain.config.components.histories import History, NoHistory
from vctrain.config.components.modulators import Modulator, NoModulator
from vctrain.config.components.readouts import GaussianReadout, Readout
from vctrain.config.components.recurrent import NoRecurrent, Recurrent


class ModelConfig(Config):
    """A twin: adapters, frontend, convnet, modulator, recurrent, readouts, spike history, output."""

    semantics: Literal["streaming"] = "streaming"
    """How the stored weights compute: current twins stream clips, oldest frame first."""
    stimulus: bool = True
    """False: behaviour alone predicts; no movie is read."""
    adapter: Adapter = AffineAdapter()
    frontend: Frontend = LearnableTemporal()
    convnet: Convnet = ResNet()
    modulator: Modulator = NoModulator()
    recurrent: Recurrent = NoRecurrent()
    readout: Readout = GaussianReadout()
    history: History = NoHistory()
    """What the spikes before a frame add to its drive."""
    baseline: Baseline = NoBaseline()
    output: Literal["softplus", "exp", "relu"] = "softplus"
    """From drives to rates; `relu` needs a baseline."""

    @property
    def reads_stimulus(self) -> bool:
        """Whether clips must hold a movie."""
        return self.stimulus

    @property
    def core_history(self) -> int:
        """Leading frames that the stages of the core consume: receptive field in time less one, and warm-ups."""
        return sum(part.history for part in (self.frontend, self.convnet, self.modulator, self.recurrent))

    @property
    def context(self) -> int:
        """Frames a twin needs before the first it can score: what the core consumes, and no fewer than the lags of
        spike history."""
        return max(self.core_history, self.history.num_lags)
