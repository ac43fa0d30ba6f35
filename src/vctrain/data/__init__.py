"""Recordings on disk, turned into clips."""
