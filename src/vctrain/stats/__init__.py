"""Statistics of recordings: spike-triggered maps."""
