"""What does a checkpoint predict, frame by frame: rates beside counts, in a file that any analysis reads?"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap

from vctrain.data.intervals import Intervals
from vctrain.data.session import Session
from vctrain.errors import UsageError
from vctrain.evaluation.evaluate import Question, open_for
from vctrain.evaluation.rates import rates_of
from vctrain.models.build import AnyTwin
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.runs.files import refuse_existing, write_new
from vctrain.training.engine import device_of, resolve_accelerator

_ROWS = 65_536
ARRAYS = ("rhat", "robs", "dfs", "rate_true", "frame", "trial", "type", "time", "cids")
"""``rhat``, ``robs``, ``rate_true`` (N, U) float32, spikes a bin; ``dfs`` (N, U) bool, which entries count; ``frame``
(N,), place in the recording of ``type`` (N,) text, in frames of the twin; ``trial`` (N,); ``time`` (N,) seconds, where
the recording has ``t_bins``; ``cids`` (U,)."""


def predict(target: str, question: Question, output: Path) -> dict[str, Any]:
    """Write what ``target`` predicts on every scored frame of a split, in order, to ``output``.

    An ``.npz`` holds all sessions, as ``SESSION/rhat`` and so on (`ARRAYS`); a ``.dset`` one session, with the same
    names as covariates. Returns ``{"checkpoint", "output", "split", "sessions": {name: {"n_frames", "n_units"}},
    "bytes", "notes"}``. Memory does not grow with frames. Raises UsageError if ``output`` exists or is neither,
    NumericsError for rates that are not finite.
    """
    if output.suffix not in (".npz", ".dset"):
        raise UsageError(f"{output}: neither .npz nor .dset", hint="such as --out rates.npz")
    refuse_existing(output)
    checkpoint = read_checkpoint(target)
    matched = open_for(checkpoint, question)
    if output.suffix == ".dset" and len(matched.sessions) > 1:
        names = ", ".join(session.name for session in matched.sessions[:4])
        raise UsageError(f"{output}: a .dset holds one session, and there are {names}", hint="write an .npz")
    twin = checkpoint.build()
    device = device_of(resolve_accelerator(question.accelerator))
    sessions = {}
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder:
        for session in matched.sessions:
            place = Path(folder) / str(session.index)
            place.mkdir()
            sessions[session.name] = _predict_session(twin.to(device), session, question.split, place, device)
        about = {
            "checkpoint": str(checkpoint.path),
            "split": question.split,
            "rate_hz": {session.name: session.rate_hz for session in matched.sessions},
        }
        if output.suffix == ".npz":
            write_new(output, lambda part: _zipped(part, Path(folder), matched.sessions))
        else:
            write_new(output, lambda part: _as_dset(part, Path(folder) / str(matched.sessions[0].index), about))
    return {
        "checkpoint": str(checkpoint.path),
        "output": str(output),
        "split": question.split,
        "sessions": sessions,
        "bytes": output.stat().st_size,
        "notes": list(matched.notes),
    }


def _predict_session(twin: AnyTwin, session: Session, split: str, folder: Path, device: torch.device) -> dict[str, int]:
    """The arrays of one session as .npy files in ``folder``; every scored frame has a row, in order."""
    scored = session.scored(split, twin.context)
    arrays = _arrays(folder, session, scored.total)
    for rows in rates_of(twin, session, split, device):
        for name in ("rhat", "robs", "dfs", "rate_true"):
            if name in arrays:
                arrays[name][rows.first : rows.first + len(rows.frames)] = getattr(rows, name)
    _label_rows(arrays, session, scored)
    for array in arrays.values():
        array.flush()
    return {"n_frames": scored.total, "n_units": session.n_units}


def _arrays(folder: Path, session: Session, n: int) -> dict[str, np.memmap[Any, Any]]:
    kinds: dict[str, tuple[str, tuple[int, ...]]] = {
        "rhat": ("<f4", (n, session.n_units)),
        "robs": ("<f4", (n, session.n_units)),
        "dfs": ("|b1", (n, session.n_units)),
        "frame": ("<i8", (n,)),
        "trial": ("<f8", (n,)),
        "type": (f"<U{max(len(kind) for kind in session.types)}", (n,)),
        "cids": ("<i8", (session.n_units,)),
    }
    if session.has_rate_true:
        kinds["rate_true"] = ("<f4", (n, session.n_units))
    if all(recording.t_bins is not None for recording in session.recordings):
        kinds["time"] = ("<f8", (n,))
    return {
        name: open_memmap(folder / f"{name}.npy", "w+", np.dtype(kind), shape) for name, (kind, shape) in kinds.items()
    }


def _label_rows(arrays: dict[str, Any], session: Session, scored: Intervals) -> None:
    """Where each row comes from."""
    arrays["cids"][:] = session.cids
    row = 0
    for start, stop in scored.chunks(_ROWS):
        rows = slice(row, row + stop - start)
        place, first = session.place_of(start)
        recording = session.recordings[place]
        arrays["frame"][rows] = np.arange(first, first + stop - start)
        arrays["type"][rows] = recording.kind
        arrays["trial"][rows] = session.labels[int(session.trials_at([start])[0])][1]
        if "time" in arrays:
            arrays["time"][rows] = recording.times(first, first + stop - start)
        row = rows.stop


def _zipped(path: Path, folder: Path, sessions: Sequence[Session]) -> None:
    """An .npz, whose arrays are never in memory as a whole."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for session in sessions:
            for array in sorted((folder / str(session.index)).glob("*.npy")):
                archive.write(array, f"{session.name}/{array.name}")


def _as_dset(path: Path, folder: Path, about: dict[str, Any]) -> None:
    """A .dset: frames first, and what is not one a frame in its metadata."""
    arrays = {array.stem: np.load(array, mmap_mode="r") for array in sorted(folder.glob("*.npy"))}
    kinds, which = np.unique(arrays.pop("type"), return_inverse=True)
    metadata = {**about, "cids": arrays.pop("cids").tolist(), "types": kinds.tolist()}
    covariates = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    covariates["type"] = torch.from_numpy(which.astype(np.int64))
    with path.open("xb") as file:
        torch.save({"covariates": covariates, "metadata": metadata}, file)
