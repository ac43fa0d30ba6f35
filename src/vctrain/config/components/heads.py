"""What may one session have instead of the model's adapter and readout?"""

from __future__ import annotations

from vctrain.config.base import Config
from vctrain.config.components.adapters import Adapter
from vctrain.config.components.readouts import Readout


class SessionHeads(Config):
    """What one session has instead of the model's adapter and readout."""

    adapter: Adapter | None = None
    readout: Readout | None = None
