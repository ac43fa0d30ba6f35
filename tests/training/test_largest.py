"""A batch that does not fit into memory ends the run with the largest that does; without a GPU, a twin that says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_sessions import settings

from vctrain.errors import FaultError
from vctrain.models.twin import Twin
from vctrain.training import fit
from vctrain.training.largest import largest_that


@given(st.lists(st.integers(1, 500), unique=True), st.integers(0, 600))
def test_largest_that_is_that_of_trying_all(sizes: list[int], limit: int) -> None:
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= limit

    ordered = sorted(sizes)
    assert largest_that(fits, ordered) == max((size for size in ordered if size <= limit), default=None)
    assert len(tried) <= len(sizes).bit_length()


def with_room_for(monkeypatch: pytest.MonkeyPatch, clips: int) -> None:
    forward = Twin.forward

    def limited(self: Twin, parts: Any) -> Any:
        if torch.is_grad_enabled() and sum(len(part.stim) for part in parts) > clips:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return forward(self, parts)

    monkeypatch.setattr(Twin, "forward", limited)


@pytest.mark.parametrize(("room", "said"), [(7, "7 clips fit: --set data.batch_clips=7"), (1, "no batch fits")])
def test_out_of_memory_names_the_largest_batch_that_fits(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, said: str
) -> None:
    with_room_for(monkeypatch, room)
    chosen = settings(tiny_data, {"data.batch_clips": 12})
    with pytest.raises(FaultError, match=r"batch_clips 12") as caught:
        fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    assert said in caught.value.hint
    assert caught.value.code == 5
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "failed"
    if room > 1:
        advised = settings(tiny_data, {"data.batch_clips": 7, "trainer.max_epochs": 1})
        assert fit.train(advised, run_dir=tmp_path / "again", provenance={}, argv=[])["steps"] == 6
