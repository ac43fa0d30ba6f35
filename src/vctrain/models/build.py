"""Which twin does a model config describe, and how much context does it need?"""

from __future__ import annotations

from collections.abc import Sequence

from vctrain.config.legacy import LegacyModelConfig
from vctrain.config.model import ModelConfig
from vctrain.models.legacy.twin import LegacyTwin
from vctrain.models.shapes import SessionShape
from vctrain.models.twin import Twin

AnyTwin = Twin | LegacyTwin
"""What the rest of the program trains and evaluates: both have the same face."""


def build_twin(config: ModelConfig | LegacyModelConfig, shapes: Sequence[SessionShape]) -> AnyTwin:
    """The twin of ``config`` for the sessions of ``shapes``, in their order.

    Raises `UsageError` when the components do not fit each other or the sessions.
    """
    return LegacyTwin(config, shapes) if isinstance(config, LegacyModelConfig) else Twin(config, shapes)


def context_of(config: ModelConfig | LegacyModelConfig) -> int:
    """Frames the twin of ``config`` needs before the first it can score."""
    return config.context
