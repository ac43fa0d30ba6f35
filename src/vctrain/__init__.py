"""vctrain trains digital twins of visual cortex: one network that predicts the spikes of many recording sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = [
    "LoadedTwin",
    "SavedSession",
    "SimulationConfig",
    "SimulationReport",
    "__version__",
    "bits_per_spike",
    "evaluate",
    "load",
    "save_session",
    "simulate",
]

if TYPE_CHECKING:
    from vctrain.api import (
        LoadedTwin,
        SavedSession,
        SimulationConfig,
        SimulationReport,
        bits_per_spike,
        evaluate,
        load,
        save_session,
        simulate,
    )
else:

    def __getattr__(name: str) -> object:
        # What is in `vctrain.api` needs torch, which `vctrain --help` must not wait for.
        if name in __all__:
            from importlib import import_module

            return getattr(import_module("vctrain.api"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
