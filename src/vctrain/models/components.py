"""Building any component that settings can name: importing this file registers them all."""

from __future__ import annotations

from importlib import import_module

from vctrain.models.registry import build as build
from vctrain.models.registry import built_types as built_types

MODULES = (
    "adaptation",
    "convnet",
    "frontend",
    "history",
    "modulator",
    "modulator_memory",
    "output",
    "readout",
    "readout_opposed",
    "recurrent",
    "temporal_basis",
)
"""Where the components are; each file registers its own."""

for _name in MODULES:
    import_module(f"vctrain.models.{_name}")
