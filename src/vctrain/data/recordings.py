"""What does one recording hold, frame by frame at the twin's rate, without being read into memory?"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.config.dataset_schema import FASTEST_HZ, SLOWEST_HZ
from vctrain.data.clips import MEAN_GREY
from vctrain.data.copying import take_rows
from vctrain.data.covariates import fault_of
from vctrain.data.dset import Dset
from vctrain.data.readahead import rows_will_be_needed, will_need
from vctrain.errors import ContractError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
_INFINITY_BITS = 0x7F800000
_CHECKED_BYTES = 1 << 20
COUNTS = ("robs", "rate_true")
"""Covariates of which the frames of a bin add up."""
LARGEST = 1e15
"""A signal beyond this is as good as not finite: its sums and products would leave float32."""
_LARGEST_COUNT = np.finfo(np.float32).max


class Recording:
    """One stimulus type of a session: mapped covariates of one `.dset`, downsampled by `factor` as they are read.

    Frames are those of the twin: `factor` frames of the file each, a remainder dropped. Counts are summed, the movie
    and labels take the first frame of a bin, continuous signals are averaged, validity needs all frames.

    Without `stim` the movie is neither needed nor looked at; one pixel of mean grey stands for it.
    """

    def __init__(self, session: str, kind: str, dset: Dset, factor: int, stim: bool = True) -> None:
        self.session, self.kind, self.path, self.factor = session, kind, dset.path, factor
        self.metadata: dict[str, Any] = dset.metadata
        self.notes = tuple(dset.notes)
        self._covariates = {name: _array(tensor) for name, tensor in dset.covariates.items() if stim or name != "stim"}
        if (fault := fault_of(self._covariates, stim)) is not None:
            raise self.error(fault[0], hint=fault[1])
        self.robs = self._covariates["robs"]
        grey = np.broadcast_to(np.uint8(MEAN_GREY), (len(self.robs), 1, 1))
        self.stim = self._covariates["stim"] if stim else grey
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

    @property
    def t_bins(self) -> NDArray[Any] | None:
        """Seconds of each frame of the file, (F,)."""
        return self._covariates.get("t_bins")

    def will_need(self, names: Iterable[str]) -> None:
        """Has whole covariates read in the background, where they are there."""
        for name in names:
            if name in self._covariates:
                will_need(self._covariates[name])

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
        will_need(rows)
        chosen = rows[:, units]
        if not _all_counts(chosen):
            self._refuse_counts(name, chosen, np.arange(start * k, stop * k), units)
        if k > 1:
            chosen = chosen.reshape(stop - start, k, chosen.shape[1]).sum(1, dtype=np.float32)
        return chosen.astype(np.float32, copy=False)

    def movie_at(self, frames: Ints, out: NDArray[np.uint8]) -> None:
        """The movie at `frames` (m, T) into `out` (m, T, H, W)."""
        k = self.factor
        rows_will_be_needed(self.stim, frames, k)
        take_rows(self.stim, frames if k == 1 else frames * k, out)

    def counts_at(self, name: str, frames: Ints, units: NDArray[np.int64] | slice, out: Floats) -> None:
        """Summed `robs` or `rate_true` at `frames` (m, T) and of some `units` into `out` (m, T, U).

        Raises ContractError for a count that is NaN, infinite or negative, before it is summed.
        """
        covariate = self._covariates[name]
        rows_will_be_needed(covariate, frames, self.factor)
        for stored, rows in self._rows(covariate, frames, units, out):
            if not _all_counts(rows):
                self._refuse_counts(name, rows.reshape(-1, rows.shape[-1]), stored.flatten(), units)

    def signal_at(self, name: str, frames: Ints, out: Floats) -> None:
        """A covariate at `frames` (m, T), averaged, or summed if it counts spikes, into `out` (m, T, C)."""
        covariate = self._covariates[name]
        for _ in self._rows(covariate.reshape(len(covariate), -1), frames, slice(None), out):
            pass
        if name not in COUNTS and self.factor > 1:
            out /= self.factor

    def _rows(
        self, covariate: NDArray[Any], frames: Ints, columns: NDArray[np.int64] | slice, out: Floats
    ) -> Iterator[tuple[Ints, NDArray[Any]]]:
        """Sums the rows of each bin into `out`; yields the frames of the file (m, T) and what they hold (m, T, U)
        before they are added."""
        k = self.factor
        if k == 1 and isinstance(columns, slice) and columns == slice(None) and covariate.dtype == out.dtype:
            covariate.take(frames, axis=0, out=out, mode="clip")
            yield frames, out
            return
        for within in range(k):
            stored = frames * k + within
            rows = np.take(covariate, stored, axis=0)[..., columns]
            yield stored, rows
            # what float32 cannot hold is refused as a count, and not valid as a signal
            with np.errstate(over="ignore"):
                np.copyto(out, rows, casting="unsafe") if within == 0 else np.add(out, rows, out=out, casting="unsafe")

    def width_of(self, name: str) -> int:
        """Columns of a covariate."""
        return math.prod(self._covariates[name].shape[1:])

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

    def labels(self, name: str, pixel: tuple[int, int] | None = None) -> NDArray[np.float64]:
        """A label of every frame, (n_frames,), that of the first frame of each bin; at one (row, column) of a label of
        pixels."""
        covariate = self._covariates[name][: self.n_frames * self.factor : self.factor]
        if pixel is not None:
            covariate = covariate[:, pixel[0], pixel[1]]
        return covariate.astype(np.float64).reshape(self.n_frames)

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
            # NaN is neither greater nor smaller; in a single pass each for the usual case
            if not rows.size or (float(rows.min()) > -LARGEST and float(rows.max()) < LARGEST):
                continue
            for column in rows.reshape(len(rows), -1).T:
                with np.errstate(over="ignore"):
                    good &= np.abs(column.astype(np.float32, copy=False)) < LARGEST
        # frame by frame of the bin: reductions over an axis of two or three are slow
        whole = good[0::k]
        for within in range(1, k):
            whole = whole & good[within::k]
        return whole

    def check_counts(self, cids: tuple[int, ...], budget: int) -> None:
        """Raises ContractError at the first count, or true rate, of a used unit that is NaN, infinite or negative.

        Reads about `budget` bytes: all counts, or pieces spread over the recording. What is read later is checked then.
        """
        for name in COUNTS:
            if name in self:
                self._check_counts(name, cids, budget)

    def _check_counts(self, name: str, cids: tuple[int, ...], budget: int) -> None:
        covariate = self._covariates[name]
        size = covariate.itemsize * self.n_units
        n_used, rows = self.n_frames * self.factor, max(1, _CHECKED_BYTES // size)
        n_pieces = -(-n_used // rows)
        every = max(1, -(-n_pieces * rows * size // max(budget, 1)))
        chunks = [(start, covariate[start : min(start + rows, n_used)]) for start in range(0, n_used, every * rows)]
        for _, chunk in chunks:
            will_need(chunk)
        for start, chunk in chunks:
            if not _all_counts(chunk):
                self._refuse_counts(name, chunk[:, list(cids)], np.arange(start, start + len(chunk)), np.array(cids))

    def _refuse_counts(self, name: str, used: NDArray[Any], frames: Ints, units: NDArray[np.int64] | slice) -> None:
        """Raises ContractError if one of the counts (n, U) at these frames of the file, and of used units, is none."""
        bad = ~((used >= 0) & (used <= _LARGEST_COUNT))
        if bad.any():
            cids = np.arange(self.n_units)[units]
            frame, column = (int(index) for index in np.argwhere(bad)[0])
            raise self.error(
                f"{name} is {float(used[frame, column])} at frame {frames[frame]}, cid {cids[column]}",
                hint="spike counts must be finite and not negative; correct the file, or drop the cid",
            )

    def rate_hz(self) -> float | None:
        """Frames a second of the file: `rate_hz` of its metadata, else from the median step of `t_bins`."""
        stated = stated_hz(self.metadata)
        if stated is not None or "t_bins" not in self._covariates or len(self.stim) < 2:
            return stated
        with np.errstate(all="ignore"):
            first = self._covariates["t_bins"][:100_000]
            will_need(first)
            step = np.median(np.diff(first.astype(np.float64)))
            rate = round(float(1 / step), 3)
        return rate if SLOWEST_HZ <= rate <= FASTEST_HZ else None

    def fingerprint(self, stim: bool = True) -> str:
        """16 hex digits of shapes and of 32 evenly spaced frames of movie, counts, trials and gaze: content only."""
        digest = hashlib.sha256()
        chosen = np.unique(np.linspace(0, len(self.stim) - 1, 32).astype(np.int64))
        for name in ("stim", "robs", "trial_inds", "eyepos"):
            if name in self._covariates and (stim or name != "stim"):
                array = self._covariates[name]
                rows_will_be_needed(array, chosen[:, None])
                digest.update(f"{name} {array.dtype} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array[chosen]).tobytes())
        return digest.hexdigest()[:16]


def stated_hz(metadata: Mapping[str, Any]) -> float | None:
    """The frame rate that the metadata of a recording state; None if they do not, or it is none.

    >>> stated_hz({"rate_hz": 120}), stated_hz({"rate_hz": float("nan")}), stated_hz({"rate_hz": "120"})
    (120.0, None, None)
    """
    stated = metadata.get("rate_hz")
    if not isinstance(stated, int | float) or isinstance(stated, bool) or not SLOWEST_HZ <= stated <= FASTEST_HZ:
        return None
    return float(stated)


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    # numpy has no bfloat16; such covariates are small enough to widen
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _all_counts(chunk: NDArray[Any]) -> bool:
    """Whether nothing in `chunk` is NaN, infinite or negative; False may also mean that it has to be looked at."""
    if not chunk.size:
        return True
    if chunk.dtype == np.float32 and chunk.flags.c_contiguous:
        # as unsigned integers, floats from 0 up to infinity are in order, and all others come after them: one pass
        return bool(chunk.view(np.uint32).max() < _INFINITY_BITS)
    return bool(chunk.min() >= 0 and chunk.max() <= _LARGEST_COUNT)
