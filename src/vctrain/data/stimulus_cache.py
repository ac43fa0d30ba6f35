"""Where is a movie kept whose operations cannot wait for the device? On disk, computed once for the same content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.config.locate import cache_root
from vctrain.data.intervals import Ints
from vctrain.data.recordings import Recording
from vctrain.data.stimulus import StimChain
from vctrain.errors import FaultError

_VERSION = 1
"""Raised whenever the same operations give other numbers."""
_HASH_BYTES = 1 << 24


def computed_movie(recording: Recording, runs: Ints, chain: StimChain) -> NDArray[np.float32]:
    """The movie of `recording` after `chain`, (n_frames, H, W) float32, mapped from the cache.

    `runs` (n, 2) are the trials: frames [start, stop) of the twin, which cover the recording. What is kept belongs to
    the bytes of the movie, the trials and the operations, not to names. Raises FaultError if the cache cannot be
    written.
    """
    folder = cache_root() / "movies"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{_key(recording, runs, chain)}.npy"
        shape = (recording.n_frames, recording.height, recording.width)
        if (kept := _kept(path, shape)) is not None:
            return kept
        _compute(recording, runs, chain, path)
    except OSError as error:
        raise FaultError(
            f"cannot write the movie of {recording.path} to {folder}: {error.strerror or error}",
            hint="free space there, or set VCTRAIN_CACHE to a folder with more",
        ) from error
    movie: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return movie


def _kept(path: Path, shape: tuple[int, int, int]) -> NDArray[np.float32] | None:
    """The movie at `path`; None if it is not there, or damaged, and so is computed anew."""
    if not path.is_file():
        return None
    try:
        movie: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError):
        return None
    return movie if movie.shape == shape and movie.dtype == np.float32 else None


def fit_maxima(chain: StimChain, parts: list[tuple[Recording, Ints]]) -> None:
    """Set the maxima of `chain` from the training trials of all recordings of a session; ``parts`` as (recording,
    trials)."""
    for position in chain.fitted_positions:
        largest = 0.0
        for recording, runs in parts:
            for first, last in runs.tolist():
                for start, stop, low, high in chain.pieces(last - first):
                    piece = chain.apply(_frames(recording, first + low, first + high), upto=position)
                    largest = max(largest, float(piece[start - low : stop - low].abs().max()))
        if largest == 0.0:
            raise parts[0][0].error("the movie never changes, so maxnorm has no scale", hint="remove maxnorm")
        chain.maxima[position] = largest


def _compute(recording: Recording, runs: Ints, chain: StimChain, path: Path) -> None:
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    shape = (recording.n_frames, recording.height, recording.width)
    try:
        out = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float32, shape=shape)
        for first, last in runs.tolist():
            for start, stop, low, high in chain.pieces(last - first):
                piece = chain.apply(_frames(recording, first + low, first + high))[start - low : stop - low]
                if not torch.isfinite(piece).all():
                    raise recording.error(
                        f"transforms.stim make values that are not finite of frames {first + start} to {first + stop}",
                        hint="correct its factors",
                    )
                out[first + start : first + stop] = piece.numpy()
        out.flush()
        del out
        # Whoever is first keeps the name; the other's file is the same.
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _frames(recording: Recording, start: int, stop: int) -> torch.Tensor:
    raw = np.empty((stop - start, recording.height, recording.width), np.uint8)
    recording.movie_into(raw, start, stop)
    return torch.from_numpy(raw).float()


def _key(recording: Recording, runs: Ints, chain: StimChain) -> str:
    ops = [op.model_dump(mode="json") for op in chain.ops]
    described = {"version": _VERSION, "ops": ops, "maxima": sorted(chain.maxima.items()), "factor": recording.factor}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(runs, np.int64).tobytes())
    digest.update(content_digest(recording).encode())
    return digest.hexdigest()[:32]


def content_digest(recording: Recording) -> str:
    """The digest of the whole movie; remembered as long as its file has the same size and time of change."""
    state = recording.path.stat()
    name = hashlib.sha256(str(recording.path.resolve()).encode()).hexdigest()[:32]
    memo = cache_root() / "movies" / f"{name}.json"
    memo.parent.mkdir(parents=True, exist_ok=True)
    stamp = [state.st_size, state.st_mtime_ns]
    with contextlib.suppress(FileNotFoundError, ValueError):
        known = json.loads(memo.read_text())
        if isinstance(known, dict) and known.get("stamp") == stamp and isinstance(known.get("digest"), str):
            return str(known["digest"])
    digest = hashlib.sha256(f"{recording.stim.shape}".encode())
    rows = max(1, _HASH_BYTES // max(1, recording.height * recording.width))
    for start in range(0, len(recording.stim), rows):
        digest.update(np.ascontiguousarray(recording.stim[start : start + rows]).tobytes())
    unfinished = memo.with_name(f".{memo.name}.{secrets.token_hex(4)}")
    unfinished.write_text(json.dumps({"stamp": stamp, "digest": digest.hexdigest()}))
    os.replace(unfinished, memo)
    return digest.hexdigest()
