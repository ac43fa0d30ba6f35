"""What must a twin know of a session to be built?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vctrain.config.components.adapters import Adapter
from vctrain.config.components.readouts import Readout


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
