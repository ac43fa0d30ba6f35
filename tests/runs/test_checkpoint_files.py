"""Checkpoints are on the disk whole or not at all, whatever fails; damage anywhere is found."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vctrain.errors import ContractError, FaultError
from vctrain.runs import checkpoint_files
from vctrain.runs.checkpoint_files import (
    LAST,
    PREVIOUS,
    keep_previous,
    newest_good,
    remove_parts,
    write_checkpoint,
)
from vctrain.runs.checkpoints import read_checkpoint

CONTENT: dict[str, Any] = {"state_dict": {"a": torch.arange(2000.0)}, "step": 3}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / LAST, CONTENT)
    read = torch.load(tmp_path / LAST, weights_only=True)
    assert torch.equal(read["state_dict"]["a"], CONTENT["state_dict"]["a"])
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
@pytest.mark.parametrize("stage", ["torch.save", "os.fsync", "os.replace"])
def test_a_failure_at_any_stage_leaves_the_file_before(stage, number, tmp_path, monkeypatch) -> None:
    write_checkpoint(tmp_path / LAST, {"step": 1})
    before = (tmp_path / LAST).read_bytes()

    def fails(*arguments: Any, **more: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"vctrain.runs.checkpoint_files.{stage}", fails)
    with pytest.raises(FaultError, match=os.strerror(number)) as caught:
        write_checkpoint(tmp_path / LAST, CONTENT)
    assert ("make room" in caught.value.hint) == (number != errno.EIO)
    assert (tmp_path / LAST).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


def test_what_does_not_read_back_the_same_never_takes_the_name(tmp_path, monkeypatch) -> None:
    write_checkpoint(tmp_path / LAST, {"step": 1})
    before = (tmp_path / LAST).read_bytes()
    save = torch.save

    def damaged(content: Any, file: Any) -> None:
        save(content, file)
        file.seek(file.tell() // 2)
        file.write(b"\xff" * 16)
        file.seek(0, os.SEEK_END)

    monkeypatch.setattr(checkpoint_files.torch, "save", damaged)
    with pytest.raises(FaultError, match="does not read back"):
        write_checkpoint(tmp_path / LAST, CONTENT)
    assert (tmp_path / LAST).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


def test_a_limit_of_file_sizes_is_a_full_disk(tmp_path: Path) -> None:
    """torch's own writer, not a stand-in: its error has lost the reason."""
    write_checkpoint(tmp_path / LAST, {"step": 1})
    before, (soft, hard) = (tmp_path / LAST).read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        with pytest.raises(FaultError, match="could not be written") as caught:
            write_checkpoint(tmp_path / LAST, CONTENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert "make room" in caught.value.hint
    assert (tmp_path / LAST).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


@pytest.mark.parametrize("links", [True, False])
def test_the_one_before_is_kept_under_its_own_name(links: bool, tmp_path, monkeypatch) -> None:
    if not links:

        def refused(*arguments: Any) -> None:
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refused)
    keep_previous(tmp_path)
    assert list(tmp_path.iterdir()) == []
    for step in (1, 2, 3):
        keep_previous(tmp_path)
        keep_previous(tmp_path)
        write_checkpoint(tmp_path / LAST, {"step": step})
    steps = [torch.load(tmp_path / name, weights_only=True)["step"] for name in (PREVIOUS, LAST)]
    assert steps == [2, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, PREVIOUS]


def test_parts_of_killed_processes_go_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in (".last.ckpt.00.part", ".best.ckpt.part", "last.ckpt", "notes.part", ".hidden"):
        (folder / name).write_bytes(b"x")
    (tmp_path / ".run.json.00.part").write_bytes(b"x")
    remove_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".hidden", "checkpoints", "last.ckpt", "notes.part"]


@pytest.fixture(scope="module")
def good(tiny_run) -> bytes:
    return (tiny_run.checkpoints / LAST).read_bytes()


@given(data=st.data())
def test_a_flipped_bit_is_found_or_changes_nothing(data: st.DataObject, good, tiny_run, tmp_path_factory) -> None:
    """Some bytes of the container (times, padding) mean nothing; whatever reads as good has the same numbers."""
    path = tmp_path_factory.mktemp("flipped") / LAST
    damaged = bytearray(good)
    place = data.draw(st.integers(0, len(good) - 1))
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(damaged)
    try:
        read = read_checkpoint(path)
    except ContractError:
        return
    whole = read_checkpoint(tiny_run.checkpoints / LAST)
    assert read.content == whole.content
    assert all(torch.equal(read.weights[name], weight) for name, weight in whole.weights.items())
    loaded, expected = torch.load(path, weights_only=True), torch.load(tiny_run.checkpoints / LAST, weights_only=True)
    assert repr(loaded) == repr(expected)


@given(kept=st.floats(0.0, 0.9999))
def test_a_truncated_file_is_found(kept: float, good: bytes, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("short") / LAST
    path.write_bytes(good[: int(kept * len(good))])
    with pytest.raises(ContractError):
        read_checkpoint(path)


def test_the_newest_good_one_is_found_and_the_bad_are_named(tiny_run, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    shutil.copytree(tiny_run.checkpoints, folder)
    found = newest_good(tmp_path)
    assert found is not None
    assert (found.checkpoint.path.name, found.step, found.validated, found.notes) == (LAST, 18, True, ())
    (folder / LAST).write_bytes(b"PK")
    shutil.copyfile(folder / "best.ckpt", folder / "weights.ckpt")
    found = newest_good(tmp_path)
    assert found is not None
    assert found.checkpoint.path.name.startswith(("epoch=", "weights"))
    assert found.step == 18
    assert [LAST in note for note in found.notes] == [True]
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ContractError, match="no good checkpoint"):
        newest_good(tmp_path)
    for path in folder.iterdir():
        path.unlink()
    assert newest_good(tmp_path) is None
