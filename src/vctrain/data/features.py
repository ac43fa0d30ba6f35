"""What do clips read of features that a frozen core computed beforehand, and how are these kept on disk?"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.data.intervals import Intervals, Ints

_VALUES, _ABOUT = "features.npy", "about.json"
Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class StoredFeatures:
    """The features of one session, frame by frame.

    Those of a frame are the same in every clip that holds the frames they were computed from.
    """

    frames: Intervals
    """The global frames whose features are stored, trial by trial."""
    values: NDArray[np.float32]
    """(number of those frames, h, w, C) float32, mapped from disk."""
    dtype: torch.dtype
    """What the core computes them as; float32 holds each of its values."""
    before: int
    """Frames before the first scored one whose features are read too."""

    def of_clips(self, first: Ints, highs: Ints, length: int) -> torch.Tensor:
        """(n, before + length, h, w, C): of clips whose first scored frames are the global frames `first`.

        Frames from `highs` on, where the trial of a clip ends, are 0: nobody scores them, and no stage looks ahead.
        """
        start = first - self.before
        here = np.minimum(highs - start, self.before + length)
        row = self.frames.before(start)
        out = np.empty((len(first), self.before + length, *self.values.shape[1:]), np.float32)
        for clip, (low, n) in enumerate(zip(row.tolist(), here.tolist(), strict=True)):
            out[clip, :n] = self.values[low : low + n]
            out[clip, n:] = 0
        return torch.from_numpy(out).to(self.dtype)


def kept(folder: Path, shape: Shape) -> tuple[NDArray[np.float32], torch.dtype] | None:
    """The values in `folder`, mapped, and their type; None if they are not there, or damaged."""
    try:
        about = json.loads((folder / _ABOUT).read_text())
        values: NDArray[np.float32] = np.load(folder / _VALUES, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    dtype = getattr(torch, str(about.get("dtype")), None) if isinstance(about, dict) else None
    if values.shape != shape or values.dtype != np.float32 or not isinstance(dtype, torch.dtype):
        return None
    return values, dtype


def keep(folder: Path, shape: Shape, pieces: Iterable[torch.Tensor], about: Mapping[str, Any]) -> None:
    """Write `pieces` (each (n, h, w, C), together of this `shape`) into `folder`, which is there only when it is whole.

    What is in `folder` is replaced. Raises OSError, also for a full disk, and then leaves nothing.
    """
    unfinished = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    unfinished.mkdir(parents=True)
    try:
        dtype = torch.float32
        # Written, not mapped: a full disk is then an error, and not a signal that ends the process.
        with (unfinished / _VALUES).open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
            for piece in pieces:
                dtype = piece.dtype
                file.write(np.ascontiguousarray(piece.float().numpy(), "<f4").data)
            file.flush()
            os.fsync(file.fileno())
        content = {**about, "shape": list(shape), "dtype": str(dtype).removeprefix("torch.")}
        (unfinished / _ABOUT).write_text(json.dumps(content, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(unfinished, folder)
    except OSError:
        # Where locks do not work, somebody else may have been faster.
        if kept(folder, shape) is None:
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what a process that was killed left of `folder`; only for who knows that nobody writes it."""
    for left in folder.parent.glob(f".{folder.name}.????????"):
        shutil.rmtree(left, ignore_errors=True)
