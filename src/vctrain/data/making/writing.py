"""How does a large recording get to disk whole or not at all, without being held in memory?"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from vctrain.data.making.arrays import from_array, shown
from vctrain.errors import ContractError, FaultError, UsageError


@contextmanager
def replaced(path: Path, overwrite: bool) -> Iterator[IO[bytes]]:
    """A file to write; at the end it takes the place of `path`, after an error it is gone with the folders made for it.

    Raises UsageError if `path` is there and may not be overwritten, FaultError if it cannot be written.
    """
    refuse_existing(path, overwrite)
    made: list[Path] = []
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        for folder in [path.parent, *path.parent.parents]:
            if folder.exists():
                break
            made.append(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        refuse_existing(path, overwrite)
        os.replace(temporary, path)
        made.clear()
    except OSError as error:
        raise FaultError(
            f"cannot write {path}: {error.strerror or error}",
            hint="check free space and permissions; nothing was changed",
        ) from error
    finally:
        if temporary.exists():
            temporary.unlink()
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises UsageError if there is something at `path` that may not be replaced."""
    if os.path.lexists(path) and (path.is_dir() or not overwrite):
        raise UsageError(
            f"{path} exists; nothing was changed",
            hint="remove it first" if path.is_dir() else "name another, or replace it: overwrite=True, or --overwrite",
        )


def in_scratch(folder: Path, shape: tuple[int, ...], dtype: DTypeLike, blocks: Iterable[NDArray[Any]]) -> torch.Tensor:
    """The blocks joined end to end, mapped from a nameless file in `folder`, which is gone when the tensor is.

    Raises ContractError if the blocks do not make up `shape`.
    """
    dtype = np.dtype(dtype)
    done = 0
    with tempfile.TemporaryFile(dir=folder) as file:
        for block in blocks:
            if block.shape[1:] != shape[1:] or block.dtype != dtype:
                raise ContractError(
                    f"frames from {done:,} are {block.dtype} {shown(block.shape[1:])}, not {dtype} {shown(shape[1:])}",
                    hint="every frame has the size and type of the first",
                )
            file.write(np.ascontiguousarray(block).data)
            done += len(block)
        if done != shape[0]:
            raise ContractError(f"{done:,} frames could be read of {shape[0]:,}", hint="is the source complete?")
        file.flush()
        return from_array(np.memmap(file, dtype, mode="r", shape=shape))


def write_recording(file: IO[bytes], covariates: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]) -> None:
    """A `.dset` into an open file. Raises FaultError where torch cannot write it."""
    try:
        torch.save({"covariates": dict(covariates), "metadata": dict(metadata)}, file)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise FaultError(f"cannot write {file.name}: {reason}", hint="check free space and permissions") from error
