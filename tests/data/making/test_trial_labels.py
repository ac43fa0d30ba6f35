"""Which trial is each frame given, by labels, intervals, pauses?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_arrays import NAME
from numpy.typing import NDArray

from vctrain import SavedSession, save_session
from vctrain.data.dset import open_dset
from vctrain.data.inspection.recording import inspect_dset
from vctrain.data.making.trials import labels_of
from vctrain.errors import ContractError


class TestTrials:
    """Labels, intervals, and neither."""

    def saved(self, folder: Path, trials: Any, times: NDArray[np.float64]) -> tuple[SavedSession, list[int]]:
        stim = np.zeros((len(times), 2, 2), np.uint8)
        made = save_session(folder / NAME, stim, type="a", spike_times=[times], frame_times=times, trials=trials)
        labels = open_dset(made.path).covariates.get("trial_inds")
        return made, [] if labels is None else labels.tolist()

    def test_intervals_in_any_order(self, tmp_path: Path) -> None:
        times = np.arange(10) / 10
        made, labels = self.saved(tmp_path, [[0.5, 0.8], [0.1, 0.3], [7, 8]], times)
        assert labels == [-1, 1, 1, -1, -1, 0, 0, 0, -1, -1]
        assert (made.trials, made.frames_without_trial) == (2, 5)
        assert made.notes == (
            "1 trial without a frame",
            "5 frames belong to no trial (trial_inds -1); they are never scored",
        )

    def test_a_trial_goes_on_under_another_number_after_a_pause(self, tmp_path: Path) -> None:
        times = np.concatenate([np.arange(10), 20 + np.arange(10), 40 + np.arange(5)]) / 10
        made, labels = self.saved(tmp_path, [[0, 0.5], [0.5, 10]], times)
        assert labels == [0] * 5 + [1] * 5 + [2] * 10 + [3] * 5
        assert open_dset(made.path).metadata["trial_parts"] == {"2": 1, "3": 1}
        assert "2 pauses inside trials" in made.notes[0]
        assert inspect_dset(made.path, lambda *_: None).facts["time"]["dropped"]["gaps"] == 0

    def test_numbers_are_kept(self, tmp_path: Path) -> None:
        times = np.concatenate([np.arange(10), 20 + np.arange(10)]) / 10
        made, labels = self.saved(tmp_path, [3.0] * 15 + [9.0] * 3 + [-4.0] * 2, times)
        assert labels == [3] * 15 + [9] * 3 + [-1] * 2
        assert "1 pause of frame_times inside trials, first after frame 9" in made.notes[1]

    def test_blocks_end_at_pauses(self, tmp_path: Path) -> None:
        times = np.concatenate([np.arange(3000), 4000 + np.arange(1000), 9000 + np.arange(30)]) / 100
        made, labels = self.saved(tmp_path, None, times)
        runs = [(label, labels.count(label)) for label in sorted(set(labels))]
        assert [n for _, n in runs] == [n for _, n in runs[:-1]] + [30]
        assert all(300 <= n <= 600 for _, n in runs[:-1])
        assert labels == sorted(labels)
        assert len(set(labels[:3000]) & set(labels[3000:4000])) == 0
        assert "stand for trials" in made.notes[0]

    def test_no_pause_no_labels(self, tmp_path: Path) -> None:
        made, labels = self.saved(tmp_path, None, np.arange(3000) / 100)
        assert labels == []
        assert made.trials is None

    @settings(max_examples=100, deadline=None)
    @given(st.data())
    def test_any_intervals_as_by_hand(self, data: st.DataObject) -> None:
        n = data.draw(st.integers(2, 40))
        times = np.arange(n) * 1.0
        edges = sorted(data.draw(st.sets(st.integers(-3, 43), min_size=2, max_size=12)))
        pairs = np.array(edges[: len(edges) // 2 * 2], float).reshape(-1, 2)
        order = data.draw(st.permutations(range(len(pairs))))
        wanted = [next((i for i, k in enumerate(order) if pairs[k][0] <= t < pairs[k][1]), -1) for t in times]
        if max(wanted) < 0:
            with pytest.raises(ContractError, match="no frame lies in a trial"):
                labels_of(pairs[order], times, n, 1.0)
        else:
            labels = labels_of(pairs[order], times, n, 1.0)
            assert labels is not None
            assert labels.number.tolist() == wanted
            assert labels.parts == {}
