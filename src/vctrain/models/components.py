"""Building any component that settings can name: importing this file registers them all."""

from __future__ import annotations

# each file registers its own
from vctrain.models import (  # noqa: F401
    adaptation,
    convnet,
    frontend,
    history,
    modulator,
    modulator_memory,
    output,
    readout,
    readout_opposed,
    recurrent,
    temporal_basis,
)
from vctrain.models.registry import build as build
from vctrain.models.registry import built_types as built_types
