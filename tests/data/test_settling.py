"""The start of a recording can be left out, without changing which trials are for training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.opening import open_sessions
from vctrain.errors import ContractError


@pytest.mark.parametrize("seconds", [0.0, 1.0, 7.5])
def test_no_frame_before_it_is_in_any_segment_and_the_split_stays(tiny_data: Path, seconds: float) -> None:
    specs = load_dataset_configs(tiny_data)
    whole = open_sessions(specs, 15)[0]
    settled = open_sessions(specs, 15, seconds)[0]
    first = round(seconds * whole.rate_hz)
    offsets = np.cumsum([0, *(recording.n_frames for recording in whole.recordings)])
    for split in ("train", "val"):
        expected = {
            frame
            for start, stop in whole.segments(split).tolist()
            for frame in range(start, stop)
            if frame - offsets[np.searchsorted(offsets, frame, side="right") - 1] >= first
        }
        assert {f for start, stop in settled.segments(split).tolist() for f in range(start, stop)} == expected
    assert settled.describe()["filters"]["settle_seconds"] == seconds


def test_leaving_out_everything_is_an_error_that_names_the_session(tiny_data: Path) -> None:
    specs = load_dataset_configs(tiny_data)
    with pytest.raises(ContractError, match=specs[0].name):
        open_sessions(specs, 15, 1e6)
