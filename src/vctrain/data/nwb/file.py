"""How is an NWB file opened and read without an exception of h5py or pynwb getting out?"""

from __future__ import annotations

import importlib
import struct
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vctrain.data.making.arrays import Array, as_array
from vctrain.errors import ContractError, FaultError, UsageError

INSTALL = "pip install 'vctrain[nwb]'"
# What damaged files, and files that are something else, make h5py, hdmf and pynwb raise.
_UNREADABLE = (
    *(OSError, RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError),
    *(EOFError, OverflowError, RecursionError, NotImplementedError, struct.error),
)


def pynwb_module() -> Any:
    """pynwb. Raises FaultError, saying how to install it, where it is not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("pynwb")
    except ModuleNotFoundError as error:
        raise FaultError(f"import-nwb needs pynwb, and {error.name} is not installed", hint=INSTALL) from None


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The NWBFile at `path`; data in it are read when they are asked for, with `read`.

    Raises UsageError if there is no such file, ContractError if it is no NWB file or damaged, FaultError without pynwb.
    """
    pynwb = pynwb_module()
    if not path.is_file():
        what = "is a folder; only NWB files in HDF5 are read" if path.is_dir() else "does not exist"
        raise UsageError(f"{path} {what}", hint="give an .nwb file")
    with path.open("rb"):
        pass
    build, h5py = importlib.import_module("hdmf.build"), importlib.import_module("h5py")
    unreadable = (*_UNREADABLE, build.BuildError, build.ConstructError)
    with ExitStack() as stack:
        try:
            with warnings.catch_warnings():
                # hdmf warns of old versions of the format and of extensions; what is missing in the end is said by us.
                warnings.simplefilter("ignore")
                file = stack.enter_context(h5py.File(path, "r"))
                io = stack.enter_context(pynwb.NWBHDF5IO(file=file, mode="r", load_namespaces=True))
                nwb = io.read()
        except unreadable as error:
            raise ContractError(
                f"{path} cannot be read as an NWB file ({_first_line(error)})", hint="is it whole, and NWB 2 in HDF5?"
            ) from error
        yield nwb


def read(where: str, data: Any, key: Any = slice(None)) -> Array:
    """`data[key]` as an array of numbers. Raises ContractError, naming `where`, if it cannot be read."""
    try:
        values = np.asarray(data)[key] if isinstance(data, list | tuple) else data[key]
    except _UNREADABLE as error:
        raise ContractError(f"{where} cannot be read ({_first_line(error)})", hint="is the file damaged?") from error
    return as_array(where, values)


def values_of(where: str, data: Any) -> list[Any]:
    """All of a column of a table, whatever it holds. Raises ContractError, naming `where`, if it cannot be read."""
    try:
        return list(data[:])
    except _UNREADABLE as error:
        raise ContractError(f"{where} cannot be read ({_first_line(error)})", hint="is the file damaged?") from error


def length_of(data: Any) -> int:
    """Length of the first axis of a data set; 0 if there is none."""
    return 0 if data is None else len(data)


def times_of(series: Any, where: str) -> Array:
    """Seconds of each sample of a TimeSeries, from its timestamps, or from its rate and starting time, (n,).

    Raises ContractError where it has neither.
    """
    if series.timestamps is not None:
        return read(f"{where}, timestamps", series.timestamps).astype(np.float64)
    if not series.rate:
        raise ContractError(f"{where} has neither timestamps nor a rate", hint="give it one of them, with pynwb")
    return float(series.starting_time or 0.0) + np.arange(length_of(series.data)) / float(series.rate)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
