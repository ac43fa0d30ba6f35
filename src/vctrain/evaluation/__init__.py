"""Evaluating checkpoints on recordings."""
