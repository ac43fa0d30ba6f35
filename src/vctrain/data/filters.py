"""When does a unit count? `missing_pct`: while its sorter loses few enough of its spikes to the detection threshold."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vctrain.config.dataset_schema import MissingPct
from vctrain.data.intervals import Intervals, runs_of_equal
from vctrain.data.recordings import Recording
from vctrain.errors import ContractError

COVARIATE = "missing_pct"
_NAMES = ("t", "missing_pct", "cids", "windows", "cid")
_PLACES = ("missing_pct.npz", "qc/missing_pct.npz", "qc/amp_truncation/missing_pct.npz")

# What a damaged archive makes numpy and zipfile raise.
_UNREADABLE = (
    *(OSError, ValueError, EOFError, AttributeError, LookupError, TypeError, NotImplementedError, RuntimeError),
    *(MemoryError, OverflowError, SyntaxError, UnicodeError, struct.error, zlib.error, zipfile.BadZipFile),
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Judge = Callable[[Recording, int], Bools]
"""Whether one unit (by its place among the cids) counts in each frame of a recording."""


def unit_validity(
    config: MissingPct, recordings: Sequence[Recording], cids: tuple[int, ...], folder: Path
) -> tuple[Intervals | None, ...]:
    """For each unit the global frames in which it counts; None: in all.

    The percentages come from a covariate `missing_pct` (frames, units) of every recording, of which the worst frame of
    a bin counts; else from an npz file of the session: samples ``t`` (K,), ``missing_pct`` (K, U), ``cids`` (U,),
    interpolated to the middle of each bin and held at the ends; or windows ``windows`` (M, 2), ``cid`` (M,),
    ``missing_pct`` (M,), outside of which the unit does not count. Times are seconds on the clock of ``t_bins``.

    A unit counts where its percentage is below the threshold, and everywhere in a recording over which its median is
    not (there the estimate says nothing about when); of windows, in those below the threshold, or in all its windows
    if their median is not. These are the rules of the legacy system, whose OLD generation mistook the windows (defect
    A16). Raises ContractError if there is no source, or none for a unit.
    """
    named = config.source or COVARIATE
    if any(named in recording for recording in recordings):
        judge = _covariate_judge(config.threshold, recordings, cids, named)
    else:
        path = _file(config, folder, recordings[0])
        for recording in recordings:
            if "t_bins" not in recording:
                raise recording.error("missing_pct needs the covariate t_bins", hint=f"add it, on the clock of {path}")
        judge = _file_judge(path, config.threshold, cids)
    return tuple(_frames_of(recordings, position, judge) for position in range(len(cids)))


def _frames_of(recordings: Sequence[Recording], position: int, judge: Judge) -> Intervals | None:
    """The global frames in which a unit counts; None if in all."""
    tables, offset = [], 0
    for recording in recordings:
        good = judge(recording, position)
        runs, value = runs_of_equal(lambda a, b, g=good: g[a:b], recording.n_frames)  # type: ignore[misc]
        tables.append(runs[value.astype(bool)] + offset)
        offset += recording.n_frames
    valid = Intervals(np.concatenate(tables))
    return None if valid.total == offset else valid


def _below(percent: Floats, threshold: float) -> Bools:
    known = percent[np.isfinite(percent)]
    return np.ones(len(percent), bool) if len(known) and np.median(known) >= threshold else percent < threshold


def _covariate_judge(threshold: float, recordings: Sequence[Recording], cids: tuple[int, ...], name: str) -> Judge:
    for recording in recordings:
        if name not in recording:
            raise recording.error(f"covariate {name} is missing; the filter missing_pct needs it", hint="add it")
        if recording.width_of(name) != recording.n_units:
            raise recording.error(
                f"{name} has {recording.width_of(name)} columns, robs {recording.n_units} units",
                hint="store one column a unit",
            )
    return lambda recording, position: _below(recording.largest(name, cids[position]), threshold)


def _file(config: MissingPct, folder: Path, recording: Recording) -> Path:
    tried = [folder / place for place in ((config.source,) if config.source else _PLACES)]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise recording.error(
            f"missing_pct has no source: no covariate {config.source or COVARIATE}, and none of "
            f"{', '.join(map(str, tried))}",
            hint="add one of them, name it with missing_pct: {source: ...}, or remove the filter",
        )
    return found


def _file_judge(path: Path, threshold: float, cids: tuple[int, ...]) -> Judge:
    arrays = _read(path)
    wrong = next((name for name in _NAMES if name in arrays and arrays[name].dtype.kind not in "iuf"), None)
    if wrong is not None:
        raise ContractError(f"{path}: {wrong} is {arrays[wrong].dtype}, not numbers", hint="store plain numbers")
    if {"t", "missing_pct", "cids"} <= arrays.keys():
        return _sample_judge(path, arrays, threshold, cids)
    if {"windows", "cid", "missing_pct"} <= arrays.keys():
        return _window_judge(path, arrays, threshold, cids)
    raise ContractError(
        f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}",
        hint="store t (K,), missing_pct (K, U), cids (U,); or windows (M, 2) in seconds, cid (M,), missing_pct (M,)",
    )


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise ContractError(
            f"{path} cannot be read as an npz of plain arrays ({reason})",
            hint="save it again with numpy.savez",
        ) from error


def _sample_judge(
    path: Path, arrays: Mapping[str, NDArray[np.generic]], threshold: float, cids: tuple[int, ...]
) -> Judge:
    times, percent = arrays["t"].astype(np.float64), arrays["missing_pct"].astype(np.float64)
    listed = arrays["cids"].astype(np.float64)
    if percent.shape != (*times.shape, *listed.shape) or percent.size == 0 or not (np.diff(times) > 0).all():
        raise ContractError(
            f"{path}: missing_pct is {percent.shape}, t {times.shape}, cids {listed.shape}",
            hint="store missing_pct (K, U) for K rising times t and U cids",
        )
    columns = [_place(path, listed, cid) for cid in cids]

    def judge(recording: Recording, position: int) -> Bools:
        samples = percent[:, columns[position]]
        if (samples < threshold).all():
            return np.ones(recording.n_frames, bool)
        return _below(np.interp(recording.times(0, recording.n_frames), times, samples), threshold)

    return judge


def _window_judge(
    path: Path, arrays: Mapping[str, NDArray[np.generic]], threshold: float, cids: tuple[int, ...]
) -> Judge:
    windows, percent = arrays["windows"].astype(np.float64), arrays["missing_pct"].astype(np.float64)
    listed = arrays["cid"].astype(np.float64)
    fits = listed.ndim == 1 and windows.shape == (len(listed), 2) and percent.shape == listed.shape
    if not fits or not (windows[:, 1] > windows[:, 0]).all():
        raise ContractError(
            f"{path}: windows is {windows.shape}, cid {listed.shape}, missing_pct {percent.shape}",
            hint="store M windows [start, stop) in seconds, each with its cid and missing_pct",
        )
    chosen: list[Floats] = []
    for cid in cids:
        _place(path, listed, cid)
        mine = listed == cid
        judged = np.median(percent[mine]) < threshold
        chosen.append(windows[mine & (percent < threshold)] if judged else windows[mine])

    def judge(recording: Recording, position: int) -> Bools:
        at = recording.times(0, recording.n_frames)
        good = np.zeros(len(at), bool)
        for start, stop in chosen[position]:
            good |= (at >= start) & (at < stop)
        return good

    return judge


def _place(path: Path, listed: Floats, cid: int) -> int:
    found = np.flatnonzero(listed == cid)
    if not len(found):
        raise ContractError(f"{path} says nothing of cid {cid}", hint="add the unit there, or drop the cid")
    return int(found[0])
