"""Simulated sessions: stimuli, gaze, units and spikes whose true rates are known."""

from vctrain.data.simulation.sessions import SimulationReport, simulate

__all__ = ["SimulationReport", "simulate"]
