"""Importing recordings from NWB files."""

from vctrain.data.nwb.importing import NwbReport, import_nwb

__all__ = ["NwbReport", "import_nwb"]
