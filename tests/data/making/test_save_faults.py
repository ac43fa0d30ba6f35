"""Is what cannot be a recording one error, with nothing on disk?"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_arrays import FRAMES, NAME, arrays, files_in
from numpy.typing import NDArray

from vctrain import save_session
from vctrain.data.dset import open_dset
from vctrain.data.recordings import Recording
from vctrain.errors import ContractError, UsageError, VctrainError


def nan_at(array: NDArray[Any], index: Any, value: float = np.nan) -> NDArray[Any]:
    array = array.astype(float)
    array[index] = value
    return array


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], type[VctrainError], str]] = {
    "contrast": (lambda g: {"stim": g["stim"] / 127.5 - 1}, ContractError, r"stim is float64 .*127 \+ 127 \* stim"),
    "0 to 1": (lambda g: {"stim": (g["stim"] / 255).astype(np.float32)}, ContractError, r"is float32 .*254 \* stim"),
    "float grey": (lambda g: {"stim": g["stim"].astype(float)}, ContractError, r"rint\(stim\)"),
    "wide ints": (lambda g: {"stim": g["stim"].astype(np.int16) * 9}, ContractError, "map mean grey to 127"),
    "channels": (lambda g: {"stim": g["stim"][:, None]}, ContractError, r"stim\[:, 0\]"),
    "one frame": (lambda g: {"stim": g["stim"][:1]}, ContractError, "stim has 1 frames"),
    "flat": (lambda g: {"stim": g["stim"].reshape(FRAMES, 20)}, ContractError, "not uint8"),
    "text": (lambda g: {"stim": "movie.mp4"}, ContractError, "stim is .*not numbers"),
    "none": (lambda g: {"spike_times": None}, UsageError, "neither spike_times nor counts"),
    "both": (lambda g: {"counts": np.ones((FRAMES, 1))}, UsageError, "both spike_times and counts"),
    "flat spikes": (lambda g: {"spike_times": g["spike_times"][0]}, ContractError, r"for one unit give \[times\]"),
    "flat list": (lambda g: {"spike_times": [1.0, 2.0]}, ContractError, "not an array for each unit"),
    "no unit": (lambda g: {"spike_times": []}, ContractError, "no unit"),
    "no spike": (lambda g: {"spike_times": [[], []]}, ContractError, "no unit ever fires"),
    "milliseconds": (lambda g: {"spike_times": [g["spike_times"][0] * 1000 + 1e5]}, ContractError, "on one clock"),
    "NaN spike": (lambda g: {"spike_times": [[1.0], [2.0, np.nan]]}, ContractError, r"times\[1\] is nan at spike 1"),
    "named NaN": (lambda g: {"spike_times": {"u7": [np.inf]}}, ContractError, r"spike_times\[u7\] is inf"),
    "coarse spikes": (
        lambda g: {"spike_times": [np.array([1, 9e4], np.float32)]}, ContractError, "float32, which at 90000 s"),
    "2-D spikes": (lambda g: {"spike_times": [np.ones((2, 2))]}, ContractError, r"\(2, 2\)"),
    "fractions": (lambda g: {"spike_times": None, "counts": np.full((FRAMES, 2), 0.5)}, ContractError, "whole numbers"),
    "negative": (lambda g: {"spike_times": None, "counts": np.full((FRAMES, 2), -1)}, ContractError, "counts is -1"),
    "turned counts": (lambda g: {"spike_times": None, "counts": np.ones((2, FRAMES))}, ContractError, r"counts\.T"),
    "no spikes": (lambda g: {"spike_times": None, "counts": np.zeros((FRAMES, 2))}, ContractError, "no unit ever"),
    "edges": (lambda g: {"frame_times": np.arange(FRAMES + 1) / 9}, ContractError, "drop the last edge"),
    "short times": (lambda g: {"frame_times": g["frame_times"][1:]}, ContractError, "frame_times is"),
    "backwards": (lambda g: {"frame_times": g["frame_times"][::-1]}, ContractError, "each later than the one before"),
    "NaN time": (lambda g: {"frame_times": nan_at(g["frame_times"], 7)}, ContractError, "times is nan at frame 7"),
    "frame numbers": (lambda g: {"frame_times": np.arange(FRAMES)}, ContractError, "1 frames a second"),
    "other rate": (lambda g: {"rate_hz": 60}, ContractError, "rate_hz is 60, frame_times run at 100 Hz"),
    "no rate": (lambda g: {"frame_times": None}, UsageError, "neither frame_times nor rate_hz"),
    "bad rate": (lambda g: {"rate_hz": -1}, UsageError, "rate_hz is -1"),
    "coarse times": (
        lambda g: {"frame_times": (g["frame_times"] + 3e4).astype(np.float32)}, ContractError, "float32"),
    "turned gaze": (lambda g: {"eyepos": g["eyepos"].T}, ContractError, r"eyepos\.T"),
    "pixels": (lambda g: {"eyepos": g["eyepos"] * 100 + 500}, ContractError, "degrees of visual angle, not pixels"),
    "still gaze": (lambda g: {"eyepos": g["eyepos"] * [0, 1]}, ContractError, "column 0 never changes"),
    "lost gaze": (lambda g: {"eyepos": g["eyepos"] * np.nan}, ContractError, "finite on no valid frame"),
    "never valid": (lambda g: {"valid": np.zeros(FRAMES)}, ContractError, "valid is 0 everywhere"),
    "NaN valid": (lambda g: {"valid": nan_at(np.ones(FRAMES), 3)}, ContractError, "valid is nan at frame 3"),
    "half trials": (lambda g: {"trials": g["trials"] + 0.5}, ContractError, "no whole number"),
    "NaN trials": (lambda g: {"trials": nan_at(g["trials"], 5)}, ContractError, "trials is nan at frame 5"),
    "bool trials": (lambda g: {"trials": g["trials"] > 3}, ContractError, "trials is bool"),
    "short trials": (lambda g: {"trials": g["trials"][1:]}, ContractError, "give a trial number for each frame"),
    "huge trials": (lambda g: {"trials": g["trials"] + 1e30}, ContractError, "goes up to"),
    "overlap": (lambda g: {"trials": [[0, 5], [4, 6]]}, ContractError, "before trial 0 stops"),
    "stop first": (lambda g: {"trials": [[5, 0]]}, ContractError, "starts at 5 s and stops at 0 s"),
    "NaN interval": (lambda g: {"trials": [[0, np.nan]]}, ContractError, "trials is nan at trial 0"),
    "elsewhere": (lambda g: {"trials": [[1e6, 2e6]]}, ContractError, "no frame lies in a trial"),
    "no trials": (lambda g: {"trials": np.zeros((0, 2))}, ContractError, "holds no trial"),
    "psth": (lambda g: {"psth_inds": np.arange(7)}, ContractError, "psth_inds is"),
    "rates": (lambda g: {"rate_true": np.ones((FRAMES, 2))}, ContractError, "rate_true is"),
    "own covariate": (lambda g: {"covariates": {"dfs": np.ones(FRAMES)}}, UsageError, "may not hold dfs"),
    "short covariate": (lambda g: {"covariates": {"ori": np.ones(3)}}, ContractError, "covariate ori has 3 frames"),
    "number": (lambda g: {"covariates": {"ppd": 3.0}}, ContractError, "covariate ppd has no axis"),
    "ragged": (lambda g: {"covariates": {"ori": [[1], [1, 2]]}}, ContractError, "ori"),
    "dates": (lambda g: {"covariates": {"d": np.full(FRAMES, "2024", "M8[D]")}}, ContractError, "not numbers"),
    "masked": (lambda g: {"eyepos": np.ma.masked_less(g["eyepos"], 0)}, ContractError, "masked"),
    "sparse": (lambda g: {"valid": torch.ones(FRAMES).to_sparse()}, ContractError, "to_dense"),
    "objects": (lambda g: {"metadata": {"rig": object()}}, ContractError, "metadata.rig is a object"),
    "own metadata": (lambda g: {"metadata": {"rate_hz": 3}}, UsageError, "metadata rate_hz is set"),
    "no type": (lambda g: {"type": None}, UsageError, "type is missing"),
    "odd type": (lambda g: {"type": "a/b"}, UsageError, "cannot name a file"),
    "hidden type": (lambda g: {"type": ".a"}, UsageError, "cannot name a file"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_line_and_writes_nothing(tmp_path: Path, fault: str) -> None:
    change, kind, message = FAULTS[fault]
    given = arrays() | {"type": "gaborium"}
    with pytest.raises(kind) as error:
        save_session(tmp_path / NAME, **(given | change(given)))
    assert re.search(message, f"{error.value.message} -- {error.value.hint}")
    assert error.value.hint
    assert "\n" not in error.value.message + error.value.hint
    assert files_in(tmp_path) == []


ANY = hnp.arrays(
    st.sampled_from([np.float64, np.float32, np.int32, np.uint8, np.bool_, ">f8", np.complex64, "U3", object]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["stim", "spike_times", "counts", "frame_times", "eyepos", "valid", "trials", "psth_inds"]), ANY
    ),
    st.sampled_from([None, 50.0, float("nan")]),
)
def test_whatever_is_given_there_is_a_recording_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, odd: dict[str, Any], rate: float | None
) -> None:
    folder = tmp_path_factory.mktemp("any")
    given = {"stim": np.zeros((4, 2, 2), np.uint8), "counts": np.ones((4, 1)), "rate_hz": rate} | odd
    saved = error = None
    try:
        saved = save_session(folder / NAME, type="a", **given)
    except VctrainError as raised:
        error = raised
    if saved is not None:
        recording = Recording(NAME, "a", open_dset(saved.path), 1)
        assert recording.n_frames == saved.frames
        assert recording.n_units == saved.units
    else:
        assert error is not None
        assert error.code in (2, 3)
        assert error.hint
        assert files_in(folder) == []
