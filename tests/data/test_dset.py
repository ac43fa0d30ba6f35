"""Recordings are mapped, foreign metadata is inert, and no file ever runs code."""

from __future__ import annotations

import builtins
import collections
import contextlib
import datetime
import functools
import importlib
import os
import pickle
import random
import subprocess
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_recordings import covariates, write

from vctrain.data.dset import open_dset
from vctrain.errors import ContractError


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args


class Sets:
    """Pickles as an attribute set on what a call returns."""

    def __init__(self, function: Any, args: tuple[Any, ...], state: Any) -> None:
        self.function, self.args, self.state = function, args, state

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args, self.state


def is_mapped(tensor: torch.Tensor, path: Path) -> bool:
    """Whether the tensor's memory lies in a mapping of `path`."""
    address = tensor.data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, *_, name = line.split(maxsplit=5)
        low, high = (int(edge, 16) for edge in span.split("-"))
        if low <= address < high:
            return name.strip() == str(path)
    return False


@pytest.mark.parametrize("metadata", [{}, {"rate": np.float64(3.0)}], ids=["plain", "foreign"])
def test_covariates_are_mapped_with_their_values(tmp_path: Path, metadata: dict) -> None:
    content = covariates()
    path = write(tmp_path / "a.dset", content, metadata)
    dset = open_dset(path)
    assert set(dset.covariates) == set(content)
    for name, tensor in content.items():
        assert dset.covariates[name].equal(tensor)
        assert dset.covariates[name].dtype == tensor.dtype
    if Path("/proc/self/maps").exists():
        assert is_mapped(dset.covariates["stim"], path)


def test_plain_metadata_is_kept_without_a_note(tmp_path: Path) -> None:
    dset = open_dset(write(tmp_path / "a.dset", covariates(), {"rate_hz": 120.0, "cells": [1, 2], "name": "x"}))
    assert dset.metadata == {"rate_hz": 120.0, "cells": [1, 2], "name": "x"}
    assert dset.notes == []


def test_missing_metadata_is_tolerated(tmp_path: Path) -> None:
    torch.save({"covariates": covariates()}, tmp_path / "a.dset")
    assert open_dset(tmp_path / "a.dset").metadata == {}


def test_foreign_metadata_is_inert_and_named(tmp_path: Path) -> None:
    metadata = {
        "rate_hz": 120.0,
        "scalar": np.float64(2.5),
        "array": np.arange(4),
        "path": Path("/data"),
        "when": datetime.datetime(2024, 5, 6),
        "ids": {1, 2},
        "namespace": types.SimpleNamespace(a=1),
        "counter": collections.Counter("aab"),
        "masked": np.ma.masked_array([1, 2], [0, 1]),
        "generator": np.random.default_rng(0),
        "raw": b"bytes",
        "old": Sets(types.SimpleNamespace, (), {"a": np.float32(1)}),
    }
    dset = open_dset(write(tmp_path / "a.dset", covariates(), metadata))
    assert dset.metadata["rate_hz"] == 120.0
    assert set(dset.metadata) == set(metadata)
    (note,) = dset.notes
    for name in ("numpy.ndarray", "PosixPath", "datetime.datetime"):
        assert name in note
    assert "numpy.ndarray" in repr(dset.metadata["array"])


RUNS = {
    "os.system": lambda mark: Calls(os.system, f"touch {mark}"),
    "eval": lambda mark: Calls(builtins.eval, f"open({str(mark)!r}, 'w')"),
    "exec": lambda mark: Calls(builtins.exec, f"open({str(mark)!r}, 'w')"),
    "open": lambda mark: Calls(builtins.open, str(mark), "w"),
    "Popen": lambda mark: Calls(subprocess.Popen, ["touch", str(mark)]),
    "getattr": lambda mark: Calls(builtins.getattr, Calls(importlib.import_module, "os"), "system"),
    "partial": lambda mark: Calls(functools.partial, os.mkdir, str(mark)),
    "numpy.save": lambda mark: Calls(np.savetxt, str(mark), [1.0]),
    "path method": lambda mark: Calls(Path.touch, Calls(Path, str(mark))),
    "torch.load": lambda mark: Calls(torch.load, str(mark)),
    "load_from_bytes": lambda mark: Calls(torch.storage._load_from_bytes, pickle.dumps(Calls(os.mkdir, str(mark)))),
    "FileIO": lambda mark: Calls(__import__("io").FileIO, str(mark), "w"),
    "in an object": lambda mark: Sets(types.SimpleNamespace, (), {"a": Calls(os.mkdir, str(mark))}),
    "seed": lambda mark: Calls(random.seed, 1),
}


@pytest.mark.parametrize("name", list(RUNS))
@pytest.mark.parametrize("place", ["metadata", "covariates", "top"])
def test_code_that_asks_to_run_is_refused_and_not_run(tmp_path: Path, name: str, place: str) -> None:
    mark = tmp_path / "ran"
    content: dict[str, Any] = {"covariates": covariates(), "metadata": {}}
    evil = RUNS[name](mark)
    if place == "top":
        content["hook"] = evil
    else:
        content[place]["hook"] = evil
    path = tmp_path / "evil.dset"
    torch.save(content, path)
    state = random.getstate()
    with pytest.raises(ContractError, match="asks to run") as error:
        open_dset(path)
    assert str(path) in str(error.value)
    assert not mark.exists()
    assert random.getstate() == state


def hand_made(path: Path, program: bytes) -> Path:
    """A .dset whose pickle is `program`, in an archive torch accepts."""
    write(path, {"robs": torch.ones(2, 2)})
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    path.unlink()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, program if name.endswith("data.pkl") else data)
    return path


def test_a_pickle_cannot_change_the_functions_it_may_call(tmp_path: Path) -> None:
    before = torch._utils._rebuild_tensor_v2.__defaults__
    state = b"N}U\x0c__defaults__U\x01xs\x86"
    program = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + state + b"b."
    with pytest.raises(ContractError):
        open_dset(hand_made(tmp_path / "a.dset", program))
    assert torch._utils._rebuild_tensor_v2.__defaults__ == before


def test_instructions_that_call_classes_directly_are_refused(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for program in (
        b"\x80\x02(cos\nsystem\nU\x05touchl." + b"",
        b"\x80\x02(U" + bytes([len(f"touch {mark}")]) + f"touch {mark}".encode() + b"ios\nsystem\n.",
        b"\x80\x02csubprocess\nPopen\n)\x81.",
    ):
        with pytest.raises(ContractError):
            open_dset(hand_made(tmp_path / "a.dset", program))
        assert not mark.exists()


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=60))
def test_any_pickle_program_ends_in_one_error(tmp_path_factory: pytest.TempPathFactory, program: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.dset"
    with pytest.raises(ContractError, match=r"a\.dset"):
        open_dset(hand_made(path, b"\x80\x02" + program + b"."))


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.6, 0.999])
def test_a_truncated_file_is_named(tmp_path: Path, keep: float) -> None:
    path = write(tmp_path / "a.dset", covariates())
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(ContractError, match="truncated") as error:
        open_dset(path)
    assert str(path) in error.value.message
    assert error.value.hint


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_damaged_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, place: float, change: int) -> None:
    path = write(tmp_path_factory.mktemp("damage") / "a.dset", {"robs": torch.ones(3, 2)}, {"rate_hz": 1})
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= change
    path.write_bytes(data)
    with contextlib.suppress(ContractError):
        open_dset(path)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("hello " * 100),
        lambda path: torch.save({"covariates": {}}, path, _use_new_zipfile_serialization=False),
        lambda path: torch.jit.script(torch.nn.Linear(1, 1)).save(str(path)),
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save({"covariates": 3}, path),
        lambda path: path.mkdir(),
        lambda path: None,
    ],
    ids=["text", "old torch format", "torchscript", "a list", "no mapping", "a folder", "missing"],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_not_a_recording_is_refused(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "a.dset"
    make(path)
    with pytest.raises(ContractError, match=r"a\.dset"):
        open_dset(path)


@pytest.mark.parametrize(
    "value", [np.zeros(3), [1, 2], "text", None, torch.eye(2).to_sparse(), torch.zeros(2, dtype=torch.complex64)]
)
@pytest.mark.parametrize("metadata", [{}, {"a": np.float64(1)}])
def test_covariates_that_are_not_dense_tensors_are_refused(tmp_path: Path, value: Any, metadata: dict) -> None:
    path = write(tmp_path / "a.dset", {**covariates(), "eyepos": value}, metadata)
    with pytest.raises(ContractError, match="covariate eyepos is"):
        open_dset(path)


def test_a_parameter_is_a_tensor(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dset", {"robs": torch.nn.Parameter(torch.ones(2, 2))}, {"a": np.float64(1)})
    robs = open_dset(path).covariates["robs"]
    assert robs.equal(torch.ones(2, 2))
    assert not robs.requires_grad
