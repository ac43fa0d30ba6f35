"""vctrain trains digital twins of visual cortex: one network that predicts the spikes of many recording sessions."""

__version__ = "0.1.0"
