"""What does the settings of every stage of the core say about time?"""

from __future__ import annotations

from vctrain.config.base import Config


class Component(Config):
    """Settings of one part of a twin."""

    @property
    def history(self) -> int:
        """Leading frames that the part consumes: its taps in time less one, or its warm-up."""
        return 0
