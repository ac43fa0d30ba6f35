"""What must a twin know of a session to be built?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vctrain.config.components.adapters import Adapter
from vctrain.config.components.readouts import Readout


class SessionShape(Protocol):
    """What a twin must know of a session to be built: sizes only."""

    @property
    def name(self) -> str:
        """By which checkpoints and data are matched."""

    @property
    def n_units(self) -> int:
        """Columns of the readout."""

    @property
    def height(self) -> int:
        """Of the stimulus, pixels."""

    @property
    def width(self) -> int:
        """Of the stimulus, pixels."""

    @property
    def behavior_dim(self) -> int:
        """Columns of behaviour; 0: it has none."""

    @property
    def own_adapter(self) -> Adapter | None:
        """Instead of the model's."""

    @property
    def own_readout(self) -> Readout | None:
        """Instead of the model's."""


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
