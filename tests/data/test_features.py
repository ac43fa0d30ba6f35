"""Features on disk: what was written is what clips read, and nothing half-written is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vctrain.data.features import StoredFeatures, keep, kept, sweep
from vctrain.data.intervals import Intervals


def rows(n: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(n, 2, 2, 3, generator=torch.Generator().manual_seed(n)).to(dtype)


@given(
    lengths=st.lists(st.integers(3, 20), min_size=1, max_size=5),
    gap=st.integers(0, 4),
    before=st.integers(0, 2),
    frames=st.integers(1, 9),
    data=st.data(),
)
def test_clips_read_their_own_trials_frames(lengths, gap, before, frames, data) -> None:
    """Frame by frame: those of the trial, wherever the clip starts, and 0 beyond its end."""
    ends = np.cumsum([n + gap for n in lengths])
    table = np.stack([ends - lengths, ends], 1)
    values = np.zeros((int(sum(lengths)), 1, 1, 1), np.float32)
    values[:, 0, 0, 0] = np.concatenate([np.arange(a, b) for a, b in table]) + 1
    stored = StoredFeatures(Intervals(table), values, torch.float32, before)
    trial = data.draw(st.integers(0, len(lengths) - 1))
    low, high = table[trial].tolist()
    first = data.draw(st.integers(low + before, max(high - 1, low + before)))
    found = stored.of_clips(np.array([first]), np.array([high]), frames)[0, :, 0, 0, 0]
    wanted = np.arange(first - before, first + frames)
    assert found.tolist() == np.where(wanted < high, wanted + 1, 0).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_was_written_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    pieces = [rows(4, dtype), rows(3, dtype)]
    keep(tmp_path / "one", (7, 2, 2, 3), pieces, {"session": "Ada"})
    values, found = kept(tmp_path / "one", (7, 2, 2, 3)) or (None, None)
    assert found == dtype
    assert torch.equal(torch.from_numpy(np.array(values)).to(dtype), torch.cat(pieces))
    assert kept(tmp_path / "one", (8, 2, 2, 3)) is None
    stored = StoredFeatures(Intervals(np.array([[10, 17]])), values, dtype, 1)
    assert stored.of_clips(np.array([12]), np.array([17]), 3).dtype == dtype


def test_too_few_pieces_are_not_taken_for_whole(tmp_path: Path) -> None:
    keep(tmp_path / "one", (7, 2, 2, 3), [rows(4)], {})
    assert kept(tmp_path / "one", (7, 2, 2, 3)) is None


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def pieces() -> Iterator[torch.Tensor]:
        yield rows(4)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        keep(tmp_path / "one", (7, 2, 2, 3), pieces(), {})
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_no_other(tmp_path: Path) -> None:
    for name in (".one.12345678", ".two.12345678", "one"):
        (tmp_path / name).mkdir()
    sweep(tmp_path / "one")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".two.12345678", "one"]
