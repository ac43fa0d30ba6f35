"""Is what a user gives an array of the right kind, shape and length, and if not, what should they do?"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.data.inspection.findings import listed
from vctrain.errors import ContractError

Array = NDArray[Any]
KINDS = {"b": "bool", "i": "int", "u": "int", "f": "float"}
_SAMPLED_FRAMES = 64
_METADATA = "store text, numbers, arrays, and lists and mappings of them"


class Frames(Protocol):
    """A movie (F, H, W) that is read in pieces: an array, a memmap, an HDF5 dataset."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(F, H, W)."""

    @property
    def dtype(self) -> Any:
        """uint8."""

    def __getitem__(self, key: slice, /) -> Any:
        """Some frames."""


def as_array(name: str, value: object) -> Array:
    """`value` as an array of plain numbers in this machine's byte order, without a copy where there is a choice.

    Takes arrays, tensors and nested lists. Raises ContractError for text, objects, ragged lists and masked values.
    """
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.is_quantized:
            raise ContractError(f"{name} is a {value.layout} tensor", hint="give a dense one: .to_dense()")
        plain = value.detach().cpu()
        value = (plain.float() if plain.dtype is torch.bfloat16 else plain.resolve_conj().resolve_neg()).numpy()
    if np.ma.is_masked(value):
        raise ContractError(f"{name} has masked values", hint="fill them, with NaN where the covariate allows it")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ContractError(f"{name} is no array ({error})", hint="give an array of numbers") from None
    if array.dtype.kind not in KINDS:
        raise ContractError(f"{name} is {array.dtype}, not numbers", hint="give an array of bools, ints or floats")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def numbers(name: str, value: object, shape: Sequence[int | None], what: str) -> Array:
    """`value` as an array of the given shape (None: any length). Raises ContractError."""
    array = as_array(name, value)
    if not _fits(array.shape, shape):
        turned = len(shape) == 2 and _fits(array.shape[::-1], shape)
        hint = f"is it transposed? give {name}.T" if turned else f"give {what}"
        raise ContractError(f"{name} is {shown(array.shape)}, not {what}", hint=hint)
    return array


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(want in (None, has) for has, want in zip(shape, wanted, strict=True))


def finite(name: str, array: Array, what: str) -> Array:
    """`array`; ContractError if a value is NaN or infinite."""
    if array.dtype.kind != "f" or array.size == 0:
        return array
    bad = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
    if len(bad):
        row = array[bad[0]].reshape(-1)
        value = row[~np.isfinite(row)][0]
        raise ContractError(
            f"{name} is {value} at {what} {bad[0]:,} ({len(bad):,} in all)", hint="correct or leave out these"
        )
    return array


def fine_enough(name: str, seconds: Array, frame_seconds: float) -> None:
    """Raises ContractError if times are of a float type too coarse to tell where in a frame they lie."""
    if seconds.dtype.kind == "f" and seconds.dtype.itemsize < 8 and seconds.size:
        latest = float(np.abs(seconds).max())
        step = latest * float(np.finfo(seconds.dtype).eps)
        if step > 0.1 * frame_seconds:
            raise ContractError(
                f"{name} is {seconds.dtype}, which at {latest:g} s resolves no better than {1000 * step:.2g} ms; "
                f"a frame lasts {1000 * frame_seconds:.3g} ms",
                hint="give float64, from the source on",
            )


def whole(name: str, array: Array) -> NDArray[np.int64]:
    """Finite whole numbers as int64; ContractError otherwise."""
    finite(name, array, "frame")
    if array.dtype.kind == "b":
        raise ContractError(f"{name} is bool, not whole numbers", hint="number them, such as 0, 1, 2")
    if array.dtype.kind == "f" and (array != np.rint(array)).any():
        first = int(np.flatnonzero(array != np.rint(array))[0])
        raise ContractError(f"{name} is {array[first]:g} at frame {first:,}, no whole number", hint="round them")
    if array.size and not -(2**62) < float(array.min()) <= float(array.max()) < 2**62:
        raise ContractError(f"{name} goes up to {float(array.max()):g}", hint="number them, such as 0, 1, 2")
    return array.astype(np.int64)


def as_movie(stim: object) -> Frames:
    """`stim` as a movie that is read in pieces; ContractError, saying how to convert it, unless uint8 (F, H, W)."""
    lazy = not isinstance(stim, np.ndarray | torch.Tensor | list | tuple) and all(
        hasattr(stim, name) for name in ("shape", "dtype", "__getitem__")
    )
    movie: Any = stim if lazy else as_array("stim", stim)
    shape, dtype = tuple(movie.shape), np.dtype(movie.dtype)
    if len(shape) != 3 or 0 in shape[1:]:
        hint = "give one grey level a pixel, (frames, height, width)"
        if len(shape) == 4 and 1 in (shape[1], shape[3]):
            hint = f"drop the channel axis: stim[{':, 0' if shape[1] == 1 else '..., 0'}]"
        raise ContractError(f"stim is {dtype} {shown(shape)}, not uint8 (frames, height, width)", hint=hint)
    if shape[0] < 2:
        raise ContractError(f"stim has {shape[0]} frames", hint="give at least two")
    if dtype != np.uint8:
        raise ContractError(f"stim is {dtype} {shown(shape)}, not uint8", hint=_to_grey(movie))
    return movie


def sampled(n_frames: int) -> list[int]:
    """Some frames spread over a movie.

    >>> sampled(4), len(sampled(10**6))
    ([0, 1, 2, 3], 64)
    """
    frames: list[int] = np.unique(np.linspace(0, n_frames - 1, _SAMPLED_FRAMES).astype(np.int64)).tolist()
    return frames


def _to_grey(movie: Frames) -> str:
    values = np.concatenate([np.asarray(movie[i : i + 1], np.float64).ravel() for i in sampled(movie.shape[0])])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    how = "map mean grey to 127 and the rest to 0..255"
    if low < 0 and low >= -1 and high <= 1:
        how = "np.rint(127 + 127 * stim).astype(np.uint8)"
    elif low >= 0 and high <= 1:
        how = "np.rint(254 * stim).astype(np.uint8), which takes 0.5 to 127, mean grey"
    elif low >= 0 and high <= 255:
        how = "np.rint(stim).astype(np.uint8)"
    return f"its values lie between {low:g} and {high:g}; convert them to grey levels: {how}"


def plain_metadata(value: object, where: str = "metadata") -> Any:
    """`value` in types that a `.dset` may hold and that open without a note. Raises ContractError for others."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {str(key): plain_metadata(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_metadata(item, where) for item in value]
    if isinstance(value, np.ndarray | torch.Tensor):
        return to_tensor(where, value).clone()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    raise ContractError(f"{where} is a {type(value).__name__}", hint=_METADATA)


def to_tensor(name: str, value: object) -> torch.Tensor:
    """An array as a tensor of a type that torch computes with; unsigned integers and long doubles are converted."""
    array = as_array(name, value)
    if array.dtype.kind == "u" and array.dtype != np.uint8:
        array = array.astype(np.int64)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return from_array(np.ascontiguousarray(array))


def from_array(array: Array) -> torch.Tensor:
    """A tensor on the memory of a contiguous array, also of one that may not be written to: nobody does."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def shown(shape: tuple[int, ...]) -> str:
    """A shape for a message.

    >>> shown((600, 4))
    '(600, 4)'
    """
    return f"({listed(shape, 9)})"
