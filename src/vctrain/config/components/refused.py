"""Which component types does vctrain know but not offer, why, and what takes their place?"""

from __future__ import annotations

REFUSED: dict[tuple[str, str], str] = {
    ("convnet", "shifttcn"): (
        "shifttcn moves channels from later frames to earlier ones, so a prediction would read the future; "
        "use resnet with temporal kernels and dilation"
    ),
    ("convnet", "x3dnet"): "it is called x3d",
    ("convnet", "conv"): "it is called vanilla",
    ("convnet", "cnn"): "it is called vanilla",
    ("frontend", "adapter"): "the adapter belongs to each session: set model.adapter",
    ("recurrent", "gru"): "a state without space is not offered; use convgru with kernel 1",
    ("recurrent", "lstm"): "a state without space is not offered; use convlstm with kernel 1",
    ("conv", "stacked2d"): "kernels here have a time axis; use standard with kernel [1, h, w]",
    ("conv", "windowed2d"): "use standard with a window and kernel [1, h, w]",
    ("conv", "separable_windowed2d"): "use depthwise with a window and kernel [1, h, w]",
    ("pool", "locatt"): "local attention pooling is not offered; aablur weights each window by its values",
    ("pool", "se_pool"): "it is called se",
    ("activation", "swish"): "it is called silu",
    ("activation", "identity"): "it is called none",
}
"""(part of the model, type) to what to know. Components that look across time by definition are refused here: a twin
streams clips, so a frame's prediction may read that frame and those before it, and may not depend on the clip's ends.
Norms over time are refused by having no settings for it: `batch` looks across time in training only, all others never.
Convolutions, shifts and attention over later frames have no streaming form; temporal strides and pools neither, since
which frames they keep depends on where the clip begins."""
