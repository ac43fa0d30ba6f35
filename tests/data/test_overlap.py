"""Are frames that two types share found wherever they are, and types on like clocks left alone?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_recordings import covariates, write

from vctrain.data.dset import open_dset
from vctrain.data.overlap import overlap_of
from vctrain.data.recordings import Recording

FRAMES = 600


def recording(folder: Path, kind: str, content: dict[str, torch.Tensor], factor: int = 1) -> Recording:
    return Recording("Ada_1", kind, open_dset(write(folder / f"{kind}.dset", content)), factor)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, FRAMES - 60), st.integers(60, FRAMES), st.booleans(), st.sampled_from([1, 2]))
def test_a_stretch_of_the_same_frames_is_found(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int, swapped: bool, factor: int
) -> None:
    folder = tmp_path_factory.mktemp("same")
    whole, more = covariates(), covariates(seed=1)
    more["t_bins"] = more["t_bins"] + 100
    stop = min(start + length, FRAMES)
    part = {name: torch.cat([value[start:stop], more[name]]) for name, value in whole.items()}
    one, other = recording(folder, "a", whole, factor), recording(folder, "b", part, factor)
    said = overlap_of(*((one, other) if swapped else (other, one)))
    assert said == f"holds frames of {'b' if swapped else 'a'} too, from {start / 100:g} s to {(stop - 1) / 100:g} s"


@pytest.mark.parametrize("offset", [0.0, 0.004, 3.0])
def test_other_counts_at_the_same_times_are_other_frames(tmp_path: Path, offset: float) -> None:
    other = covariates(seed=1)
    other["t_bins"] = other["t_bins"] + offset
    assert overlap_of(recording(tmp_path, "a", covariates()), recording(tmp_path, "b", other)) is None


def test_few_spikes_prove_nothing(tmp_path: Path) -> None:
    one, other = covariates(), covariates(seed=1)
    for content in (one, other):
        content["robs"][:] = 0
        content["robs"][100:105] = 1
    assert overlap_of(recording(tmp_path, "a", one), recording(tmp_path, "b", other)) is None


@pytest.mark.parametrize("times", [None, np.nan, 0.0])
def test_without_times_only_a_whole_copy_is_seen(tmp_path: Path, times: float | None) -> None:
    content = covariates()
    if times is None:
        del content["t_bins"]
    else:
        content["t_bins"][5] = times
    one = recording(tmp_path, "a", content)
    assert overlap_of(recording(tmp_path, "b", content), one) == "holds the same recording as a"
    half = {name: value[300:] for name, value in content.items()}
    assert overlap_of(recording(tmp_path, "c", half), one) is None
