"""What may be called from Python, and is promised to stay."""

from vctrain.config.simulation import SimulationConfig
from vctrain.data.making import SavedSession, save_session
from vctrain.data.simulation import SimulationReport, simulate
from vctrain.evaluation.evaluate import evaluate
from vctrain.evaluation.loaded import LoadedTwin, load
from vctrain.metrics.arrays import bits_per_spike

__all__ = [
    "LoadedTwin",
    "SavedSession",
    "SimulationConfig",
    "SimulationReport",
    "bits_per_spike",
    "evaluate",
    "load",
    "save_session",
    "simulate",
]
