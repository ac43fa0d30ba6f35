"""How are arrays saved as a recording: `save_session`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from vctrain.config.locate import recordings_in, session_folder
from vctrain.data.dset import open_dset
from vctrain.data.making.arrays import Frames, from_array
from vctrain.data.making.binning import Counts
from vctrain.data.making.counts import SpikeTimes
from vctrain.data.making.recording import Made, make
from vctrain.data.making.writing import in_scratch, refuse_existing, replaced, write_recording
from vctrain.errors import ContractError, UsageError

Numbers = ArrayLike | torch.Tensor
Tell = Callable[[int, int], None]
"""Told how many frames were written, of how many."""
PIECE_BYTES = 1 << 25
COUNT_FRAMES = 1 << 14


@dataclass(frozen=True)
class SavedSession:
    """What `save_session` wrote."""

    path: Path
    session: str
    type: str
    frames: int
    size: tuple[int, int]
    """Height and width of the movie, pixels."""
    rate_hz: float
    units: int
    spikes: int
    """In a frame."""
    spikes_outside: int
    """Before the first frame or after the last: not saved."""
    spikes_in_pauses: int
    """Between two frames further apart than 1.5 median frames: not saved."""
    trials: int | None
    """Distinct trials; None: trials were not given, and there is no pause to tell them by."""
    frames_without_trial: int
    frames_invalid: int | None
    """Without valid eye tracking; None: neither eyepos nor valid was given."""
    notes: tuple[str, ...] = ()
    """What is worth knowing, one line each."""

    @property
    def seconds(self) -> float:
        """How long all frames last."""
        return self.frames / self.rate_hz

    def __str__(self) -> str:
        lines = [
            f"{self.path}: {self.frames:,} frames of {self.size[0]}x{self.size[1]} at {self.rate_hz:g} Hz, "
            f"{self.units:,} units, {self.spikes:,} spikes"
        ]
        if self.spikes_outside or self.spikes_in_pauses:
            lines[0] += f" ({self.spikes_outside:,} outside and {self.spikes_in_pauses:,} in pauses left out)"
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def save_session(
    path: str | Path,
    stim: Numbers | Frames,
    *,
    type: str | None = None,
    spike_times: SpikeTimes | None = None,
    counts: Numbers | None = None,
    frame_times: Numbers | None = None,
    rate_hz: float | None = None,
    eyepos: Numbers | None = None,
    valid: Numbers | None = None,
    trials: Numbers | None = None,
    psth_inds: Numbers | None = None,
    rate_true: Numbers | None = None,
    covariates: Mapping[str, Numbers] | None = None,
    metadata: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> SavedSession:
    """Save one stimulus type of a session as a `.dset` that `--data` takes, and say what is in it.

    A folder of session folders is a data set: saving every type of a session in ``ROOT/SESSION`` makes ROOT one. All
    times are seconds on one clock. F frames, U units; arrays may be numpy, torch or lists.

    Args:
        path: ``ROOT/SESSION/TYPE.dset``, or the session's folder ``ROOT/SESSION`` and `type`.
        stim: movie, uint8 (F, H, W), 127 = mean grey. What is no array (an HDF5 dataset, say) is read in pieces.
        type: stimulus type, such as "gaborium".
        spike_times: for each unit its spikes, (n,) seconds, in any order; or a mapping of such by the unit's own id. A
            unit's cid is its place (the ids are kept as ``unit_ids`` in the metadata).
        counts: instead of spike_times, (F, U) whole numbers of spikes a bin.
        frame_times: start of each frame, (F,) seconds, increasing.
        rate_hz: frames a second; by default from the median step of frame_times. Without frame_times, frame i starts
            at i / rate_hz.
        eyepos: gaze, (F, 2) degrees to the right and up. Frames on which it is not finite are marked invalid.
        valid: whether eye tracking is valid, (F,) of 0 or 1.
        trials: number of each frame's trial, (F,), negative for none; or start and stop of each trial, (n, 2) seconds:
            a frame belongs to trial i if it starts in [start, stop), and to none (-1) outside. Without it, blocks of
            10 s stand for trials.
        psth_inds: number of the frame within a repeated sequence, (F,), negative for none.
        rate_true: expected counts of simulated units, (F, U) spikes a bin.
        covariates: others by name, (F, ...), in units of their own.
        metadata: text, numbers, arrays, lists and mappings of them.
        overwrite: replace a file that is there.

    A spike is counted in the one frame in whose time it falls: a frame lasts until the next one starts, but where that
    takes more than 1.5 median steps (a pause), and at the end, as long as the median step. Other spikes are left out
    and counted in the report.

    The file appears whole or not at all. Raises ContractError for arrays that are no recording, UsageError for
    arguments that do not fit together and for a file that is there already, FaultError if it cannot be written.
    """
    target, session, kind = target_of(path, type)
    refuse_existing(target, overwrite)
    made = make(
        session,
        kind,
        stim,
        spike_times=spike_times,
        counts=counts,
        frame_times=frame_times,
        rate_hz=rate_hz,
        eyepos=eyepos,
        valid=valid,
        trials=trials,
        psth_inds=psth_inds,
        rate_true=rate_true,
        covariates=covariates,
        metadata=metadata,
    )
    write_all([(made, target)], overwrite)
    return report_of(made, target)


def target_of(path: str | Path, kind: str | None) -> tuple[Path, str, str]:
    """The file to write, its session and its stimulus type. Raises UsageError."""
    path = Path(path).expanduser()
    if path.suffix != ".dset":
        if kind is None:
            raise UsageError(f"{path} is taken for a session folder, and type is missing", hint='say type="gaborium"')
        if path.is_file():
            raise UsageError(f"{path} is a file", hint="name a session folder, or a file that ends in .dset")
        if Path(kind).name != kind or not kind.strip() or kind.startswith("."):
            raise UsageError(f"type {kind!r} cannot name a file", hint="such as gaborium")
        path = path / f"{kind}.dset"
    elif kind not in (None, path.stem):
        raise UsageError(f"type is {kind}, but the file is {path.name}", hint="leave type out, or rename the file")
    session = session_folder(Path(os.path.abspath(path))).name
    if not session or path.stem.startswith("."):
        raise UsageError(f"{path} names no session and type", hint="name ROOT/SESSION/TYPE.dset")
    return path, session, path.stem


def write_all(recordings: Sequence[tuple[Made, Path]], overwrite: bool, tell: Tell = lambda done, total: None) -> None:
    """All recordings to their paths, or, after an error, none of them."""
    total, done = sum(made.shape[0] for made, _ in recordings), 0
    with ExitStack() as stack:
        for made, path in recordings:
            file = stack.enter_context(replaced(path, overwrite))

            def movie(made: Made = made, before: int = done) -> Iterator[NDArray[np.uint8]]:
                for start, piece in _pieces(made):
                    tell(before + start, total)
                    yield piece

            stim = _in_memory(made.movie)
            if stim is None:
                stim = in_scratch(path.parent, made.shape, np.uint8, movie())
            robs = in_scratch(path.parent, made.counts.shape, np.float32, _count_blocks(made))
            write_recording(file, {"stim": stim, "robs": robs, **made.covariates}, made.metadata)
            done += made.shape[0]
            tell(done, total)


def _in_memory(movie: Frames) -> torch.Tensor | None:
    """The movie if it can be saved as it lies in memory, or is mapped."""
    return from_array(movie) if isinstance(movie, np.ndarray) and movie.flags.c_contiguous else None


def _pieces(made: Made) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    frames, height, width = made.shape
    step = max(1, PIECE_BYTES // (height * width))
    for start in range(0, frames, step):
        try:
            piece = np.asarray(made.movie[start : min(start + step, frames)])
        except OSError as error:
            raise ContractError(
                f"stim cannot be read from frame {start:,} ({error})", hint="is its file whole?"
            ) from error
        yield start, piece


def _count_blocks(made: Made) -> Iterator[Counts]:
    frames = made.shape[0]
    for start in range(0, frames, COUNT_FRAMES):
        yield made.counts.block(start, min(start + COUNT_FRAMES, frames))


def report_of(made: Made, path: Path) -> SavedSession:
    """What is in a recording, with a note if others in its folder do not go with it."""
    frames, height, width = made.shape
    number, valid = made.covariates.get("trial_inds"), made.covariates.get("dpi_valid")
    return SavedSession(
        path=path,
        session=made.session,
        type=made.kind,
        frames=frames,
        size=(height, width),
        rate_hz=made.rate_hz,
        units=made.counts.shape[1],
        spikes=int(made.counts.totals.sum()),
        spikes_outside=made.counts.outside,
        spikes_in_pauses=made.counts.paused,
        trials=None if number is None else len(number[number >= 0].unique()),
        frames_without_trial=0 if number is None else int((number < 0).sum()),
        frames_invalid=None if valid is None else int((valid == 0).sum()),
        notes=(*made.notes, *_unlike_others(made, path)),
    )


def _unlike_others(made: Made, path: Path) -> Iterator[str]:
    """What keeps the other types of the session from being used together with this one."""
    for kind, other in recordings_in(session_folder(path)).items():
        if kind == made.kind:
            continue
        try:
            dset = open_dset(other)
        except ContractError as error:
            yield error.message
            continue
        stim, robs, rate = dset.covariates.get("stim"), dset.covariates.get("robs"), dset.metadata.get("rate_hz")
        said = []
        if stim is not None and tuple(stim.shape[1:]) != made.shape[1:]:
            said.append(f"has frames of {_by(stim.shape[1:])} ({made.kind}: {_by(made.shape[1:])})")
        if robs is not None and robs.ndim == 2 and robs.shape[1] != made.counts.shape[1]:
            said.append(f"has {robs.shape[1]} units ({made.counts.shape[1]})")
        if isinstance(rate, int | float) and abs(rate - made.rate_hz) > 0.01 * made.rate_hz:
            said.append(f"runs at {rate:g} Hz ({made.rate_hz:g})")
        if said:
            yield f"{kind} of this session {', '.join(said)}; types of a session share frame size, units and rate"


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
