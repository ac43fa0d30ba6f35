"""What torch wrote is read as torch reads it: every kind of tensor, container and plain value, in both formats."""

from __future__ import annotations

import argparse
import collections
import datetime
import io
import zipfile
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.fabric.utilities.data import AttributeDict

from vctrain.data.inert import Inert
from vctrain.data.torchfile.reading import read_torch_file
from vctrain.data.torchfile.values import plain
from vctrain.errors import ContractError

FORMATS = pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])


def read(path: Path, content: Any, archive: bool = True, protocol: int = 2) -> Any:
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=archive)
    return read_torch_file(path, "a checkpoint").content


def same(ours: Any, theirs: Any) -> bool:
    """Whether two contents are alike, tensors by type, shape and value."""
    if isinstance(theirs, torch.Tensor):
        alike = isinstance(ours, torch.Tensor) and (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        return alike and torch.equal(ours.nan_to_num() if ours.is_floating_point() else ours, theirs.detach())
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and list(ours) == list(theirs) and all(same(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, list | tuple):
        return type(ours) is type(theirs) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    return type(ours) is type(theirs) and ours == theirs


SCALARS = (
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False) | st.text(max_size=12)
    | st.binary(max_size=12)
)  # fmt: skip
TENSORS = st.sampled_from(
    [
        torch.arange(6.0).view(2, 3),
        torch.arange(6.0).view(2, 3).t(),
        torch.arange(10)[2:7:2],
        torch.tensor(3, dtype=torch.int16),
        torch.zeros(0, 3),
        torch.ones(2, dtype=torch.bfloat16),
        torch.tensor([True, False]),
    ]
)
CONTENTS = st.recursive(
    SCALARS | TENSORS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(-(1 << 59), 1 << 59), inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3).map(collections.OrderedDict)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(CONTENTS, st.booleans(), st.integers(2, 5))
def test_plain_content_is_read_as_it_was_saved(
    tmp_path_factory: pytest.TempPathFactory, content: Any, archive: bool, protocol: int
) -> None:
    folder = tmp_path_factory.mktemp("plain")
    assert same(read(folder / "a.pt", {"x": content}, archive, protocol)["x"], content)


DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint8, torch.bool, torch.complex64, torch.complex128),
)


@FORMATS
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_of_number(tmp_path: Path, dtype: torch.dtype, archive: bool) -> None:
    value = torch.tensor([[0, 1, 3], [2, 0, 1]]).to(dtype)
    found = read(tmp_path / "a.pt", {"a": value}, archive)["a"]
    assert found.dtype == dtype
    assert torch.equal(found, value)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn])
def test_newer_types_of_number(tmp_path: Path, dtype: torch.dtype) -> None:
    value = torch.arange(8, dtype=torch.uint8).view(torch.uint8).repeat(2).view(dtype)
    found = read(tmp_path / "a.pt", value)
    assert (found.dtype, found.shape) == (dtype, value.shape)
    assert torch.equal(found.view(torch.uint8), value.view(torch.uint8))


@FORMATS
def test_views_share_what_they_shared(tmp_path: Path, archive: bool) -> None:
    whole = torch.arange(12.0)
    found = read(tmp_path / "a.pt", {"whole": whole, "part": whole[3:9:2], "turned": whole.view(3, 4).t()}, archive)
    assert torch.equal(found["part"], whole[3:9:2])
    assert torch.equal(found["turned"], whole.view(3, 4).t())
    found["whole"][3] = -1
    assert found["part"][0] == -1
    assert found["turned"][3, 0] == -1


@FORMATS
def test_a_module_state_and_its_parameters(tmp_path: Path, archive: bool) -> None:
    module = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3), torch.nn.BatchNorm3d(2))
    named = {"state": module.state_dict(), "parameter": module[0].weight}
    found = read(tmp_path / "a.pt", named, archive)
    assert same(dict(found["state"]), dict(module.state_dict()))
    assert torch.equal(found["parameter"], module[0].weight)
    assert not found["parameter"].requires_grad
    assert not module[0].weight.is_set_to(found["parameter"])


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_values_of_other_libraries_become_plain(tmp_path: Path, protocol: int) -> None:
    content = {
        "number": np.float64(2.5),
        "count": np.int32(-7),
        "flag": np.bool_(True),
        "cids": np.array([3, 1, 2]),
        "twice": [np.array([[1.0, 2.0], [3.0, 4.0]])] * 2,
        "fortran": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        "path": Path("/data/x"),
        "namespace": argparse.Namespace(lr=0.1, names=["a"]),
        "simple": SimpleNamespace(a=1),
        "attributes": AttributeDict(lr=0.5, nested={"a": 1}),
        "default": collections.defaultdict(list, {"a": [1]}),
        "counter": collections.Counter("aab"),
        "set": {1, 2},
        "frozen": frozenset({"a"}),
        "queue": collections.deque([1, 2]),
        "size": torch.Size([1, 2]),
        "bytes": b"\x00\xff",
    }
    found = plain(read(tmp_path / "a.pt", content, protocol=protocol))
    assert found == {
        "number": 2.5,
        "count": -7,
        "flag": True,
        "cids": [3, 1, 2],
        "twice": [[[1.0, 2.0], [3.0, 4.0]]] * 2,
        "fortran": [[0, 1, 2], [3, 4, 5]],
        "path": "/data/x",
        "namespace": {"lr": 0.1, "names": ["a"]},
        "simple": {"a": 1},
        "attributes": {"lr": 0.5, "nested": {"a": 1}},
        "default": {"a": [1]},
        "counter": {"a": 2, "b": 1},
        "set": [1, 2],
        "frozen": ["a"],
        "queue": [1, 2],
        "size": [1, 2],
        "bytes": b"\x00\xff",
    }
    assert isinstance(found["flag"], bool)
    assert type(found["number"]) is float


def test_paths_are_pure(tmp_path: Path) -> None:
    assert isinstance(read(tmp_path / "a.pt", {"p": Path("/data/x")})["p"], PurePosixPath)


class Custom:
    """A class that a reader does not know."""

    def __init__(self) -> None:
        self.inner = {"weights": torch.ones(3), "again": self}


@FORMATS
@pytest.mark.filterwarnings("ignore")
def test_foreign_objects_and_names_stay_inert(tmp_path: Path, archive: bool) -> None:
    content = {
        "object": Custom(),
        "class": Custom,
        "function": test_paths_are_pure,
        "when": datetime.datetime(2025, 10, 8),
        "objects": np.array([{}, 1], dtype=object),
        "module": torch.nn.Linear(2, 2),
        "kept": 3,
    }
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=archive)
    stored = read_torch_file(tmp_path / "a.pt", "a checkpoint")
    found = plain(stored.content)
    assert found.pop("kept") == 3
    assert all(isinstance(value, Inert) for value in found.values())
    assert "Custom" in repr(found["object"])
    assert "Custom" in repr(found["class"])
    assert "test_paths_are_pure" in repr(found["function"])
    assert any("Custom" in name for name in stored.foreign)
    assert any("datetime" in name for name in stored.foreign)


@pytest.mark.filterwarnings("ignore")
def test_sparse_and_quantized_tensors_stay_inert(tmp_path: Path) -> None:
    content = {
        "sparse": torch.eye(3).to_sparse(),
        "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "plain": torch.ones(2),
    }
    found = read(tmp_path / "a.pt", content)
    assert isinstance(found["sparse"], Inert)
    assert isinstance(found["quantized"], Inert)
    assert torch.equal(found["plain"], torch.ones(2))


def test_an_archive_written_anew_by_a_zip_tool_is_read(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(5.0)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "b.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert torch.equal(read_torch_file(tmp_path / "b.pt", "a file").content["a"], torch.arange(5.0))


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_no_flipped_bit_goes_unnoticed(tmp_path_factory: pytest.TempPathFactory, place: float, bit: int) -> None:
    buffer = io.BytesIO()
    torch.save({"a": torch.arange(5.0), "b": {"c": [1, "x"]}, "d": torch.ones(70)}, buffer)
    data = bytearray(buffer.getvalue())
    data[int(place * len(data))] ^= 1 << bit
    path = tmp_path_factory.mktemp("flip") / "a.pt"
    path.write_bytes(data)
    try:
        found = read_torch_file(path, "a checkpoint").content
    except ContractError as error:
        assert "a.pt" in error.message  # noqa: PT017 - a flip in what nobody reads (dates, padding) is no error
    else:
        assert torch.equal(found["a"], torch.arange(5.0))
        assert found["b"] == {"c": [1, "x"]}
        assert torch.equal(found["d"], torch.ones(70))


def test_large_archives_have_64_bit_fields(tmp_path: Path) -> None:
    """As torch writes them beyond 4 GiB, here forced for a small one."""
    torch.save({"a": torch.arange(3.0)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "b.pt", "w") as new:
        for name in old.namelist():
            with new.open(zipfile.ZipInfo(name), "w", force_zip64=True) as entry:
                entry.write(old.read(name))
    assert torch.equal(read_torch_file(tmp_path / "b.pt", "a file").content["a"], torch.arange(3.0))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="is not there"):
        read_torch_file(tmp_path / "nowhere.pt", "a checkpoint")
