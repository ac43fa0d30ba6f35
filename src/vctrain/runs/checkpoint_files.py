"""How do checkpoints get onto the disk whole, and which of a run is the newest good one?

A checkpoint is written beside its place, flushed to the disk, read back, and only then takes the name of the one
before. Whatever ends the process, a run keeps a good checkpoint once it had one.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from vctrain.errors import ContractError, FaultError
from vctrain.runs.checkpoints import Checkpoint, read_checkpoint
from vctrain.runs.files import FULL

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's way to checkpoint files, with whole files only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path`` as `write_checkpoint` does."""
        write_checkpoint(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """The content of a checkpoint; never runs code from it."""
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return loaded


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Replace the file at ``path`` by one that was flushed and read back.

    FaultError when the disk is full or fails; the file that was there stays.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with _disk_errors(path):
            with temporary.open("xb") as file:
                _save(content, file)
                file.flush()
                os.fsync(file.fileno())
            _read_back(temporary, path)
            os.replace(temporary, path)
            flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def keep_previous(folder: Path) -> None:
    """Let ``previous.ckpt`` be what ``last.ckpt`` is now; there is a ``last.ckpt`` at every moment."""
    last, fresh = folder / LAST, folder / f".{PREVIOUS}.part"
    if last.exists():
        with _disk_errors(folder / PREVIOUS):
            link_or_copy(last, fresh)
            os.replace(fresh, folder / PREVIOUS)
            # a rename does nothing between two names of one file
            fresh.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or a copy where the file system has no hard links; replaces ``target``."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in FULL:
            raise
        shutil.copyfile(source, target)


def flush_folder(folder: Path) -> None:
    """Make new names in ``folder`` survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # some network file systems cannot flush folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Found:
    """The newest good checkpoint of a run, and what was wrong with newer ones."""

    checkpoint: Checkpoint
    validated: bool
    """Whether the validation at its step is over."""
    notes: tuple[str, ...]

    @property
    def step(self) -> int:
        """Optimizer steps taken."""
        return self.checkpoint.step or 0


def newest_good(run_dir: Path) -> Found | None:
    """The readable checkpoint of ``run_dir`` that got furthest; None before the first was written.

    Damaged ones are passed over with a note. ContractError when there are checkpoints and none of them is good.
    """
    folder = Path(run_dir) / "checkpoints"
    good: list[tuple[tuple[int, bool, bool], Checkpoint]] = []
    notes: list[str] = []
    for path in sorted(folder.glob("*.ckpt")):
        if path.name == BEST:
            continue
        try:
            checkpoint = read_checkpoint(path)
        except ContractError as error:
            notes.append(f"passed over: {error.message}")
            continue
        if not checkpoint.resumable or checkpoint.step is None or "progress" not in checkpoint.content:
            notes.append(f"passed over: {path} holds no state to go on from")
            continue
        good.append(((checkpoint.step, is_validated(checkpoint), path.name == LAST), checkpoint))
    if not good:
        if notes:
            raise ContractError(
                f"{folder}: no good checkpoint ({'; '.join(notes)})",
                hint="restore one from a backup, or train again in another directory",
            )
        return None
    newest = max(good, key=lambda item: item[0])[1]
    return Found(newest, is_validated(newest), tuple(notes))


def is_validated(checkpoint: Checkpoint) -> bool:
    """Whether the validation at the checkpoint's step is over."""
    return bool((checkpoint.content.get("progress") or {}).get("validated"))


def remove_parts(run_dir: Path) -> None:
    """Remove what a killed process was writing; only for who holds the lock."""
    for folder in (Path(run_dir), Path(run_dir) / "checkpoints", Path(run_dir) / "plots"):
        for part in folder.glob(".*.part"):
            part.unlink(missing_ok=True)


def _save(content: dict[str, Any], file: Any) -> None:
    try:
        torch.save(content, file)
    except RuntimeError as error:
        # torch's writer turns a failed write into an error of its own; the disk's reason is its context
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def _read_back(path: Path, what: Path) -> None:
    """Every record against its checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        broken = str(error)
    if broken is not None:
        raise FaultError(
            f"{what}: what was written does not read back the same ({broken})",
            hint="the disk or its network is failing; the previous checkpoint is intact",
        )


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in FULL
        raise FaultError(
            f"{path} could not be written: {error.strerror or error}; the checkpoint before it is intact",
            hint=f"{'make room' if full else 'check the disk'}, then vctrain resume {path.parent.parent}",
        ) from error
