"""What may be called from Python, and is promised to stay."""

from vctrain.config.simulation import SimulationConfig
from vctrain.data.making import SavedSession, save_session
from vctrain.data.simulation import SimulationReport, simulate

__all__ = ["SavedSession", "SimulationConfig", "SimulationReport", "save_session", "simulate"]
