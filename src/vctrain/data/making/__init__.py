"""Making recordings: arrays become a `.dset` file that vctrain opens."""

from vctrain.data.making.saving import SavedSession, save_session

__all__ = ["SavedSession", "save_session"]
