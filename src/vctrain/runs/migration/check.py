"""Does a migrated twin predict what the old model did?"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vctrain.errors import ContractError, UsageError
from vctrain.models.legacy.twin import LegacyTwin

TOLERANCE = 1e-5
LEAST = 1e-6
"""Rates below this count as this when a difference is put in relation to them."""
MAX_BYTES = 2 << 30


@dataclass(frozen=True)
class Reference:
    """What an old model was shown in one session, and the rates it answered with (spikes a bin, ``(n, U)``)."""

    stim: Tensor | None
    """(n, 1, T, H, W), newest frame first, as the model sees it."""
    behavior: Tensor | None
    """(n, D)."""
    history: Tensor | None
    """(n, R, U): earlier spikes, newest first."""
    rates: Tensor


def read_batch(path: Path) -> dict[int, Reference]:
    """References by index of the session, from ``stim_i``, ``behavior_i``, ``history_i`` and ``rates_i`` of an npz.

    Raises UsageError for a file that is no such batch; pickled arrays are not read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise UsageError(f"--check {path} is larger than {MAX_BYTES >> 30} GiB", hint="give fewer samples")
        with np.load(path, allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files if name.partition("_")[0] in _KINDS}
    except (OSError, ValueError, zipfile.BadZipFile, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"--check {path} cannot be read ({reason[:120]})", hint="give an .npz of arrays") from error
    indices = sorted(int(name[6:]) for name in stored if name.startswith("rates_") and name[6:].isdecimal())
    if not indices:
        raise UsageError(
            f"--check {path} holds no rates_0, rates_1, ...", hint="see docs/old-checkpoints.md for its layout"
        )
    return {
        index: Reference(
            stim=_array(stored, f"stim_{index}"),
            behavior=_array(stored, f"behavior_{index}"),
            history=_array(stored, f"history_{index}"),
            rates=torch.from_numpy(np.asarray(stored[f"rates_{index}"], np.float32)),
        )
        for index in indices
    }


_KINDS = ("stim", "behavior", "history", "rates")


def _array(stored: dict[str, NDArray[Any]], name: str) -> Tensor | None:
    return torch.from_numpy(np.asarray(stored[name], np.float32)) if name in stored else None


def compare(twin: LegacyTwin, batch: dict[int, Reference], path: Path) -> dict[str, float]:
    """The largest relative difference of each session's rates from those of ``batch``, elementwise over
    ``max(|expected|, 1e-6)``. ContractError for a batch of other sessions or units."""
    beyond = [index for index in batch if index >= len(twin.names)]
    if beyond:
        raise ContractError(
            f"--check {path} has rates_{beyond[0]}, the checkpoint {len(twin.names)} sessions",
            hint="give the batch of this checkpoint",
        )
    found = {}
    for index, reference in batch.items():
        with torch.no_grad():
            rates = twin.forward_windows(index, reference.stim, reference.behavior, reference.history)
        if rates.shape != reference.rates.shape:
            raise ContractError(
                f"--check {path}: rates_{index} is {tuple(reference.rates.shape)}, the twin predicts "
                f"{tuple(rates.shape)} in session {twin.names[index]}",
                hint="give the batch of this checkpoint",
            )
        difference = (rates.double() - reference.rates.double()).abs()
        relative = float((difference / reference.rates.double().abs().clamp_min(LEAST)).max())
        found[twin.names[index]] = relative if math.isfinite(relative) else math.inf
    return found


def try_window(twin: LegacyTwin, sizes: Sequence[tuple[int, int] | None], where: str) -> None:
    """Show the twin one grey window, and the adapter of each session one; ContractError if something is not finite.

    ``sizes`` are those of the stimuli; where one is unknown, that after the session's adapter.
    """
    frames, channels = len(twin.config.lags), twin.config.initial_input_channels
    modulator = twin.config.modulator
    behavior = torch.zeros(1, modulator.params.width) if modulator.type != "none" else None
    history = torch.zeros(1, len(twin.config.spike_lags), twin.units[0]) if twin.config.spike_lags else None
    stims = [torch.zeros(1, channels, frames, *(size or twin.grids[i])) for i, size in enumerate(sizes)]
    with torch.no_grad():
        found = [twin.forward_windows(0, stims[0] if twin.reads_stimulus else None, behavior, history)]
        if twin.reads_stimulus:
            found += [adapter(stim) for adapter, stim in zip(twin.adapters, stims, strict=True)]
    if not all(bool(torch.isfinite(values).all()) for values in found):
        raise ContractError(
            f"{where}: what it predicts for a grey window is not finite",
            hint="its weights are damaged; take an earlier checkpoint",
        )
