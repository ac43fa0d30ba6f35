"""Checkpoints of the earlier systems, turned into current ones."""
