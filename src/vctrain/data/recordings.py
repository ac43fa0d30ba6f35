"""What does one recording hold, frame by frame at the twin's rate, without being read into memory?"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.data.dset import Dset
from vctrain.errors import ContractError

Floats = NDArray[np.float32]
_INFINITY_BITS = 0x7F800000
_CHECKED_BYTES = 1 << 20
COUNTS = ("robs", "rate_true")
"""Covariates of which the frames of a bin add up."""


class Recording:
    """One stimulus type of a session: mapped covariates of one `.dset`, downsampled by `factor` as they are read.

    Frames are those of the twin: `factor` frames of the file each, a remainder dropped. Counts are summed, the movie
    and labels take the first frame of a bin, continuous signals are averaged, validity needs all frames.
    """

    def __init__(self, session: str, kind: str, dset: Dset, factor: int) -> None:
        self.session, self.kind, self.path, self.factor = session, kind, dset.path, factor
        self.metadata: dict[str, Any] = dset.metadata
        self._covariates = {name: _array(tensor) for name, tensor in dset.covariates.items()}
        self.check_shapes()
        self.stim = self._covariates["stim"]
        self.robs = self._covariates["robs"]
        self.height, self.width = (int(side) for side in self.stim.shape[1:])
        self.n_units = int(self.robs.shape[1])
        self.n_frames = len(self.stim) // factor
        if self.n_frames == 0:
            raise self.error(f"has {len(self.stim)} frames, fewer than one bin of {factor}", hint="drop this type")

    def error(self, what: str, *, hint: str) -> ContractError:
        """A ContractError that names this recording."""
        return ContractError(f"session {self.session}, {self.path}: {what}", hint=hint)

    def __contains__(self, covariate: str) -> bool:
        return covariate in self._covariates

    def check_shapes(self) -> None:
        """Raises ContractError for a covariate that is missing, or of the wrong length, shape or type."""
        covariates = self._covariates
        for name in ("stim", "robs"):
            if name not in covariates:
                raise self.error(f"covariate {name} is missing", hint="stim and robs are required")
        for name, array in covariates.items():
            if array.ndim == 0 or len(array) != len(covariates["stim"]):
                length = "no axis" if array.ndim == 0 else f"{len(array)} frames"
                frames = len(covariates["stim"]) if covariates["stim"].ndim else 0
                raise self.error(
                    f"covariate {name} has {length}, stim has {frames}",
                    hint="every covariate starts with the frame axis",
                )
        stim = covariates["stim"]
        if stim.dtype != np.uint8 or stim.ndim != 3 or 0 in stim.shape[1:]:
            raise self.error(
                f"stim is {stim.dtype} {_shape(stim)}, not uint8 (frames, height, width)",
                hint="store grey levels 0..255 with 127 as mean grey",
            )
        self._check("robs", 2, "biuf", "counts (frames, units)")
        if covariates["robs"].shape[1] == 0:
            raise self.error("robs has no unit", hint="store one column a unit")
        for name, ndim, kinds, what in (
            ("trial_inds", 1, "iuf", "a trial number (frames,)"),
            ("dpi_valid", 1, "biuf", "0 or 1 (frames,)"),
            ("t_bins", 1, "iuf", "seconds (frames,)"),
            ("eyepos", 2, "f", "degrees (frames, 2)"),
            ("rate_true", 2, "f", "spikes in a bin (frames, units)"),
        ):
            if name in covariates:
                self._check(name, ndim, kinds, what)
        if "rate_true" in covariates and covariates["rate_true"].shape != covariates["robs"].shape:
            raise self.error(
                f"rate_true is {_shape(covariates['rate_true'])}, robs is {_shape(covariates['robs'])}",
                hint="store one rate for every count",
            )

    def _check(self, name: str, ndim: int, kinds: str, what: str) -> None:
        array = self._covariates[name]
        if array.ndim != ndim or array.dtype.kind not in kinds:
            raise self.error(f"{name} is {array.dtype} {_shape(array)}, not {what}", hint=f"store {name} as {what}")

    def movie_into(self, out: NDArray[np.uint8], start: int, stop: int) -> None:
        """Frames [start, stop) of the movie into `out` (n, H, W)."""
        k = self.factor
        np.copyto(out, self.stim[start * k : stop * k : k])

    def counts(self, name: str, start: int, stop: int, units: NDArray[np.int64] | slice) -> Floats:
        """Summed `robs` or `rate_true` of frames [start, stop) and of some `units`, (n, U) float32.

        Raises ContractError for a count that is NaN, infinite or negative.
        """
        k = self.factor
        rows = self._covariates[name][start * k : stop * k]
        chosen = rows[:, units]
        if name == "robs" and chosen.size and not _all_counts(chosen):
            self._refuse_counts(chosen, start * k, np.arange(self.n_units)[units].tolist())
        if k > 1:
            chosen = chosen.reshape(stop - start, k, chosen.shape[1]).sum(1, dtype=np.float32)
        return chosen.astype(np.float32, copy=False)

    def signal(self, name: str, start: int, stop: int) -> Floats:
        """A covariate of frames [start, stop), averaged, or summed if it counts spikes; (n, C) float32."""
        k = self.factor
        rows = self._covariates[name][start * k : stop * k]
        rows = rows.reshape(len(rows), -1).astype(np.float32, copy=False)
        if k == 1:
            return rows
        total = rows[0::k].copy()
        for within in range(1, k):
            total += rows[within::k]
        if name not in COUNTS:
            total /= k
        return total

    def width_of(self, name: str) -> int:
        """Columns of a covariate."""
        return int(np.prod(self._covariates[name].shape[1:], dtype=np.int64))

    def trials(self, start: int, stop: int, block: int) -> NDArray[np.generic]:
        """The trial of frames [start, stop): that of the first frame of each bin; without trials, blocks of frames.

        A negative number means that the frame belongs to no trial.
        """
        k = self.factor
        if "trial_inds" not in self._covariates:
            return np.arange(start, stop) // block
        labels: NDArray[np.generic] = self._covariates["trial_inds"][start * k : stop * k : k]
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise self.error("trial_inds has values that are not finite", hint="number every frame's trial")
        return labels

    def times(self, start: int, stop: int) -> NDArray[np.float64]:
        """Mean time of the bins [start, stop), seconds on the clock of `t_bins`."""
        k = self.factor
        rows = self._covariates["t_bins"][start * k : stop * k].astype(np.float64)
        return rows.reshape(-1, k).mean(1)

    def largest(self, name: str, index: int) -> NDArray[np.float64]:
        """The largest value in each bin of one column of a covariate, (n_frames,); NaN where any is."""
        k = self.factor
        rows = self._covariates[name][: self.n_frames * k, index].astype(np.float64)
        largest: NDArray[np.float64] = rows.reshape(-1, k).max(axis=1)
        return largest

    def valid(self, start: int, stop: int, signals: tuple[str, ...]) -> NDArray[np.bool_]:
        """Whether frames [start, stop) can be used: eye tracking valid, and `signals` finite, on the whole bin."""
        k = self.factor
        good = np.ones((stop - start) * k, bool)
        if "dpi_valid" in self._covariates:
            good &= self._covariates["dpi_valid"][start * k : stop * k] > 0
        for name in signals:
            rows = self._covariates[name][start * k : stop * k]
            for column in rows.reshape(len(rows), -1).T:
                good &= np.isfinite(column)
        # frame by frame of the bin: reductions over an axis of two or three are slow
        whole = good[0::k]
        for within in range(1, k):
            whole = whole & good[within::k]
        return whole

    def check_counts(self, cids: tuple[int, ...], budget: int) -> None:
        """Raises ContractError at the first count of a used unit that is NaN, infinite or negative.

        Reads about `budget` bytes: all counts, or pieces spread over the recording. What is read later is checked then.
        """
        size = self.robs.itemsize * self.n_units
        n_used, rows = self.n_frames * self.factor, max(1, _CHECKED_BYTES // size)
        n_pieces = -(-n_used // rows)
        every = max(1, -(-n_pieces * rows * size // max(budget, 1)))
        for piece in range(0, n_pieces, every):
            start = piece * rows
            chunk = self.robs[start : min(start + rows, n_used)]
            if not _all_counts(chunk):
                self._refuse_counts(chunk[:, list(cids)], start, cids)

    def _refuse_counts(self, used: NDArray[Any], start: int, cids: Sequence[int]) -> None:
        """Raises ContractError if one of the counts of used units (from frame `start` of the file) is none."""
        values = used.astype(np.float32)
        bad = ~(np.isfinite(values) & (values >= 0))
        if bad.any():
            frame, column = (int(index) for index in np.argwhere(bad)[0])
            raise self.error(
                f"robs is {values[frame, column]} at frame {start + frame}, cid {cids[column]}",
                hint="spike counts must be finite and not negative; correct the file, or drop the cid",
            )

    def rate_hz(self) -> float | None:
        """Frames a second of the file: `rate_hz` of its metadata, else from the median step of `t_bins`."""
        stated = self.metadata.get("rate_hz")
        if isinstance(stated, int | float) and not isinstance(stated, bool) and np.isfinite(stated) and stated > 0:
            return float(stated)
        if "t_bins" not in self._covariates or len(self.stim) < 2:
            return None
        step = float(np.median(np.diff(self._covariates["t_bins"][:100_000].astype(np.float64))))
        return round(1.0 / step, 3) if np.isfinite(step) and step > 0 else None

    def fingerprint(self) -> str:
        """16 hex digits of shapes and of 32 evenly spaced frames of movie, counts, trials and gaze: content only."""
        digest = hashlib.sha256()
        chosen = np.unique(np.linspace(0, len(self.stim) - 1, 32).astype(np.int64))
        for name in ("stim", "robs", "trial_inds", "eyepos"):
            if name in self._covariates:
                array = self._covariates[name]
                digest.update(f"{name} {array.dtype} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array[chosen]).tobytes())
        return digest.hexdigest()[:16]


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    # numpy has no bfloat16; such covariates are small enough to widen
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _all_counts(chunk: NDArray[Any]) -> bool:
    """Whether nothing in `chunk` is NaN, infinite or negative; False may also mean that it has to be looked at."""
    if chunk.dtype == np.float32 and chunk.flags.c_contiguous:
        # as unsigned integers, floats from 0 up to infinity are in order, and all others come after them: one pass
        return bool(chunk.view(np.uint32).max() < _INFINITY_BITS)
    return bool(chunk.min() >= 0 and chunk.max() < np.inf)


def _shape(array: NDArray[Any]) -> str:
    return "(" + ", ".join(map(str, array.shape)) + ")"
