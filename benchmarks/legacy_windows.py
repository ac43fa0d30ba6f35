"""Windows of old models, sharing what neighbours share and skipping taps of zero, against every window by itself.

python -m benchmarks.legacy_windows [--width 0.125] [--pairs 5] [--sessions 1]

The network is the published one (frontend of 16 frames, 7x7, 3x9x9 and 3x5x5 with norms over time, ConvGRU of 3x3 that
every window unrolls from zero) with fewer channels, on windows of 49 lags. Clips have 64 scored frames in training. The
step is forward, loss, backward, the check for finite gradients and AdamW. ``difference`` is the largest difference of
rates, relative to the mean rate.
"""

from __future__ import annotations

import argparse
import copy
import json
from typing import Any

import torch

from benchmarks.paired import paired
from benchmarks.published import batch
from benchmarks.streaming import SCORED, frames_of, make_evaluation, make_step
from benchmarks.windowed import Windowed
from vctrain.config.legacy import read_legacy_config
from vctrain.models.legacy.convs import LegacyKernelConv
from vctrain.models.legacy.twin import LegacyTwin
from vctrain.models.shapes import StoredShape

LAGS = tuple(range(49))
BARS = {"with_gru": {"train": 3.0, "evaluate": 3.0}, "without_gru": {"train": 5.5, "evaluate": 5.5}}


def description(width: float, recurrent: bool) -> dict[str, Any]:
    """The model config that the earlier system read, with ``width`` times the channels."""

    def channels(published: int) -> int:
        return max(1, round(published * width))

    def block(kernel: tuple[int, int, int], norm: str, pool: dict[str, Any] | None = None) -> dict[str, Any]:
        conv = {"type": "standard", "kernel_size": list(kernel), "padding": [0, 0, 0], "aa_signal": True}
        conv |= {"aa_window": "hann", "aa_window_kwargs": {"power": 1.0}, "use_weight_norm": True}
        conv |= {"keep_unit_norm": True}
        return {"conv_params": conv, "norm_type": norm, "act_type": "splitrelu", "dropout": 0.0, "pool_params": pool}

    stem = {"out_channels": channels(8), **block((1, 7, 7), "rms")}
    pool = {"type": "max", "kernel_size": 2, "stride": 2}
    temporal = {"kernel_size": 16, "num_channels": 4, "init_type": "gaussian_derivatives", "aa_signal": True}
    temporal |= {"aa_window": "hann", "aa_window_kwargs": {"power": 0.25}, "bias": False, "causal": True}
    convnet = {"channels": [channels(64), channels(128)], "stem_config": stem}
    convnet["block_configs"] = [block((3, 9, 9), "grn", pool), block((3, 5, 5), "grn")]
    gru = {"n_layers": 1, "hidden_dim": channels(128), "kernel_size": 3}
    return {
        "model_type": "v1multi",
        "initial_input_channels": 1,
        "adapter": {"type": "adapter", "params": {"grid_size": 51, "init_sigma": 1.0, "transform": "scale"}},
        "frontend": {"type": "learnable_temporal", "params": temporal},
        "convnet": {"type": "resnet", "params": convnet},
        "modulator": {"type": "none", "params": {}},
        "recurrent": {"type": "convgru", "params": gru} if recurrent else {"type": "none", "params": {}},
        "readout": {"type": "gaussian", "params": {"bias": True, "initial_std": 0.5, "initial_mean_scale": 0.1}},
        "output_activation": "softplus",
    }


def build(width: float, recurrent: bool, sessions: int) -> LegacyTwin:
    """The old network for some sessions of 24 units, always of the same weights."""
    torch.manual_seed(0)
    config = read_legacy_config(description(width, recurrent), semantics="head", lags=LAGS)
    return LegacyTwin(config, [StoredShape(f"Sim{i:02d}_2025-01-01", 24, 60, 60, 0) for i in range(sessions)])


def as_before(twin: LegacyTwin) -> Windowed:
    """A copy that applies its kernels whole, zero taps included, to every window by itself."""
    whole = copy.deepcopy(twin)
    for module in whole.modules():
        if isinstance(module, LegacyKernelConv):
            module.live = tuple((0, taps) for taps in module.size)
    return Windowed(whole)


def difference(twin: LegacyTwin) -> float:
    """The largest difference of a rate from that of its window alone, relative to the mean rate."""
    given = batch(twin, 1, 12)
    with torch.no_grad():
        pairs = zip(twin(given.parts), as_before(twin)(given.parts), strict=True)
        return max(float((a - b).abs().max() / b.mean()) for a, b in pairs)


def measure(options: argparse.Namespace, recurrent: bool) -> dict[str, Any]:
    """Ratios of training and evaluation per scored frame."""
    twin = build(options.width, recurrent, options.sessions)
    bars = BARS["with_gru" if recurrent else "without_gru"]
    ours, theirs = batch(twin, 1, SCORED), batch(twin, 1, options.windows)
    each = frames_of(theirs), frames_of(ours)
    before = as_before(twin)
    slow, fast = make_step(before, before.twin, theirs), make_step(twin, twin, ours)
    train = {**paired(slow, fast, options.pairs, each), "bar": bars["train"]}
    twin.eval()
    slow, fast = make_evaluation(as_before(twin), theirs), make_evaluation(twin, ours)
    evaluate = {**paired(slow, fast, options.pairs, each), "bar": bars["evaluate"]}
    return {"difference": difference(twin), "train": train, "evaluate": evaluate}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--windows", type=int, default=16, help="windows that the reference runs at a time")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    result = {name: measure(options, name == "with_gru") for name in BARS}
    told = {"width": options.width, "sessions": options.sessions, "threads": torch.get_num_threads()}
    print(json.dumps({"benchmark": "legacy_windows", **told, **result}))


if __name__ == "__main__":
    main()
