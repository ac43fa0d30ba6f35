"""What must a covariate be whose name is known?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_F = None
_KINDS: dict[str, tuple[tuple[int | None, ...], str, str]] = {
    "robs": ((_F, None), "biuf", "counts (frames, units)"),
    "trial_inds": ((_F,), "iuf", "a trial number (frames,)"),
    "dpi_valid": ((_F,), "biuf", "0 or 1 (frames,)"),
    "t_bins": ((_F,), "iuf", "seconds (frames,)"),
    "eyepos": ((_F, 2), "f", "degrees (frames, 2)"),
    "psth_inds": ((_F,), "iuf", "a frame number (frames,)"),
    "roi": ((_F, 2, 2), "iuf", "pixels (frames, 2, 2)"),
    "stim_phase": ((_F, None, None), "iuf", "degrees (frames, height, width)"),
    "ori": ((_F,), "iuf", "degrees (frames,)"),
    "sf": ((_F,), "iuf", "cycles a degree (frames,)"),
    "missing_pct": ((_F, None), "iuf", "percent (frames, units)"),
    "rate_true": ((_F, None), "f", "spikes in a bin (frames, units)"),
}
"""The length of each axis (None: any), the kinds of number, and both in words."""
_OF_EACH_UNIT = ("rate_true", "missing_pct")


def fault_of(covariates: Mapping[str, NDArray[Any]], needs_stim: bool = True) -> tuple[str, str] | None:
    """What is wrong with the first covariate that is missing or of the wrong length, shape or type, and what to do."""
    if needs_stim and "stim" not in covariates:
        return "covariate stim is missing", "stim and robs are required; only modulator-only needs no stim"
    if "robs" not in covariates:
        return "covariate robs is missing", "stim and robs are required" if needs_stim else "robs is required"
    first = "stim" if needs_stim else "robs"
    stim = covariates[first]
    for name, array in covariates.items():
        if array.ndim == 0 or len(array) != (len(stim) if stim.ndim else 0):
            length = "no axis" if array.ndim == 0 else f"{len(array)} frames"
            frames = len(stim) if stim.ndim else 0
            return f"covariate {name} has {length}, {first} has {frames}", "every covariate starts with the frame axis"
    if not needs_stim:
        return _fault_of_known(covariates)
    if stim.dtype != np.uint8 or stim.ndim != 3 or 0 in stim.shape[1:]:
        what = f"stim is {stim.dtype} {_shape(stim)}, not uint8 (frames, height, width)"
        return what, "store grey levels 0..255 with 127 as mean grey"
    return _fault_of_known(covariates)


def _fault_of_known(covariates: Mapping[str, NDArray[Any]]) -> tuple[str, str] | None:
    """What is wrong with the first covariate beside the movie whose name is known."""
    robs = covariates["robs"]
    for name, (shape, kinds, words) in _KINDS.items():
        array = covariates.get(name, robs)
        fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
        if name in covariates and not (fits and array.dtype.kind in kinds):
            return f"{name} is {array.dtype} {_shape(array)}, not {words}", f"store {name} as {words}"
    if "dfs" in covariates and covariates["dfs"].ndim > 2:
        return f"dfs is {_shape(covariates['dfs'])}, not (frames, 1) or (frames, units)", "leave it out; it is not read"
    if robs.shape[1] == 0:
        return "robs has no unit", "store one column a unit"
    for name in _OF_EACH_UNIT:
        if name in covariates and covariates[name].shape != robs.shape:
            return f"{name} is {_shape(covariates[name])}, robs is {_shape(robs)}", "store one column a unit"
    return None


def _shape(array: NDArray[Any]) -> str:
    return "(" + ", ".join(map(str, array.shape)) + ")"
