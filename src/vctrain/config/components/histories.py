"""Settings of what a unit's drive takes from the spikes before the frame."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from vctrain.config.components.component import Component
from vctrain.config.components.values import LayerActivation


class NoHistory(Component):
    """Spikes are predicted, never read."""

    type: Literal["none"] = "none"

    @property
    def num_lags(self) -> int:
        """No frame of past spikes is read."""
        return 0


class MLPHistory(Component):
    """A perceptron of each session reads the last counts of all its units and adds to their drives.

    Such a twin predicts one step ahead: training and evaluation give it the observed spikes of the past.
    """

    type: Literal["mlp"] = "mlp"
    num_lags: PositiveInt = 5
    """Frames before the predicted one whose counts are read."""
    hidden: tuple[PositiveInt, ...] = (32, 10)
    """Units of the hidden layers."""
    activation: LayerActivation = "relu"


History = Annotated[NoHistory | MLPHistory, Field(discriminator="type")]
