"""Does an NWB file become a session with the frames that were shown, the spikes that were fired, and the gaze?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("pynwb")

import made_nwb as made
from made_arrays import brute_force, files_in

from vctrain.config.datasets import load_dataset_configs
from vctrain.config.nwb import NwbImport
from vctrain.data.dset import open_dset
from vctrain.data.inspection.recording import inspect_dset
from vctrain.data.nwb import import_nwb
from vctrain.data.opening import open_sessions
from vctrain.data.session import Session

NAME = "M1_2024-05-06"


def opened(folder: Path, context: int = 10) -> Session:
    (session,) = open_sessions(load_dataset_configs(folder), context)
    return session


def frames_and_counts(session: Session, start: int, frames: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """What a twin would be given of some frames of one trial, without context."""
    clips = session.gather([start], frames=frames, context=0)
    return clips.stim[0].squeeze().numpy(), clips.robs[0].numpy()


def counted(spikes: list[NDArray[np.float64]], times: NDArray[np.float64], frames: range) -> list[list[int]]:
    return [[brute_force(unit, times, frame) for unit in spikes] for frame in frames]


def test_a_movie_with_everything(tmp_path: Path) -> None:
    report = import_nwb(made.whole_file(tmp_path / "a.nwb"), tmp_path / "out")
    assert report.session == NAME
    assert report.written
    assert report.found["units"] == "3 units"
    assert report.found["trials"] == "10 trials in trials"
    assert report.found["type movie"] == "ImageSeries of 900 frames, 6x8, at 60 Hz"
    (saved,) = report.saved
    assert (saved.frames, saved.rate_hz, saved.units, saved.trials) == (900, 60.0, 3, 10)
    inspected = inspect_dset(saved.path, lambda *_: None)
    assert inspected.findings.problems == []
    session = opened(tmp_path / "out")
    assert (session.name, session.subject, session.types, session.behavior_dim) == (NAME, "M1", ("movie",), 42)
    assert session.n_scored("train") == 8 * 80
    stim, counts = frames_and_counts(session, 180, 30)
    times = np.arange(900) / 60
    np.testing.assert_array_equal(stim, made.movie()[180:210])
    np.testing.assert_array_equal(counts, counted(made.spike_times(), times, range(180, 210)))
    dset = open_dset(saved.path)
    assert dset.metadata["unit_ids"] == [10, 11, 12]
    assert dset.metadata["nwb"] == {"file": "a.nwb", "identifier": "made", "stimulus": "movie"}
    clock, degrees = made.gaze()
    wanted = np.stack([np.interp(times, clock, column) for column in degrees.T], 1)
    np.testing.assert_allclose(dset.covariates["eyepos"].numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["Images", "ImageSeries"])
@pytest.mark.parametrize("timing", ["timestamps", "rate"])
def test_an_index_into_images(tmp_path: Path, kind: str, timing: str) -> None:
    stack = made.movie(12, (5, 7))
    order = np.random.default_rng(3).permutation(12)
    index = np.random.default_rng(4).integers(0, 12, 600).astype(np.uint32)
    nwb = made.nwb_file()
    if kind == "Images":
        target, shown = made.images("scenes", stack, order), stack[order]
    else:
        target, shown = made.ImageSeries(name="scenes", data=stack, unit="n.a.", rate=1.0), stack
    times = 2.0 + np.arange(600) / 50
    when = {"timestamps": times} if timing == "timestamps" else {"rate": 50.0, "starting_time": 2.0}
    made.add_index(nwb, "flashed", index, target, **when)
    made.add_units(nwb)
    made.add_trials(nwb, made.trial_times(2.0, 14.0, 1.0))
    report = import_nwb(made.written(nwb, tmp_path / "a.nwb"), tmp_path / "out")
    assert report.found["type flashed"] == "IndexSeries of 600 frames, 12 images in scenes, 5x7, at 50 Hz"
    assert any("no eye tracking" in text for text in report.missing)
    stim, counts = frames_and_counts(opened(tmp_path / "out"), 100, 50)
    np.testing.assert_array_equal(stim, shown[index[100:150]])
    np.testing.assert_array_equal(counts, counted(made.spike_times(), times, range(100, 150)))


def test_images_are_held_between_pauses(tmp_path: Path) -> None:
    stack = made.movie(30, (5, 7))
    onsets = np.concatenate([np.arange(40) * 0.25, 15 + np.arange(40) * 0.25])
    index = np.random.default_rng(4).integers(0, 30, 80)
    nwb = made.nwb_file()
    made.add_index(nwb, "scenes", index, made.images("stack", stack), timestamps=onsets)
    spikes = made.spike_times(stop=26.0)
    made.add_units(nwb, spikes)
    made.add_trials(nwb, [[0, 5], [5, 10], [15, 20], [20, 25]])
    (saved,) = import_nwb(made.written(nwb, tmp_path / "a.nwb"), tmp_path / "out", NwbImport(rate=60)).saved
    content = open_dset(saved.path).covariates
    grid = np.arange(600) / 60
    times = np.concatenate([grid, 15 + grid])
    np.testing.assert_allclose(content["t_bins"].numpy(), times, atol=1e-9)
    on_screen = [int(np.flatnonzero(onsets <= t + 1e-6)[-1]) for t in times]
    np.testing.assert_array_equal(content["stim"].numpy(), stack[index[on_screen]])
    np.testing.assert_array_equal(content["robs"].numpy(), counted(spikes, times, range(1200)))
    assert saved.spikes_in_pauses == sum(((u >= 10) & (u < 15)).sum() for u in spikes)
    assert saved.rate_hz == 60.0


def test_several_stimuli_become_types_of_one_session(tmp_path: Path) -> None:
    nwb = made.nwb_file(subject=None)
    made.add_movie(nwb, "first movie", made.movie(seed=1))
    made.add_movie(nwb, "second", made.movie(seed=2), rate=60.0, starting_time=20.0)
    made.add_units(nwb, made.spike_times(stop=40.0))
    options = NwbImport(stimulus=("second", "first movie"), session="Ada_2020-01-02")
    report = import_nwb(made.written(nwb, tmp_path / "a.nwb"), tmp_path / "out", options)
    assert files_in(tmp_path / "out") == [
        "Ada_2020-01-02",
        "Ada_2020-01-02/first_movie.dset",
        "Ada_2020-01-02/second.dset",
    ]
    assert [saved.type for saved in report.saved] == ["second", "first_movie"]
    session = opened(tmp_path / "out")
    assert session.types == ("first_movie", "second")
    assert session.n_frames == 1800


def test_only_some_units(tmp_path: Path) -> None:
    nwb = made.nwb_file()
    made.add_movie(nwb)
    spikes = made.spike_times(5)
    made.add_units(nwb, spikes, quality=["good", "mua", "good", "noise", "good"])
    path = made.written(nwb, tmp_path / "a.nwb")
    report = import_nwb(path, tmp_path / "out", NwbImport(where={"quality": ("good",)}))
    assert report.found["units"] == "3 of 5 units"
    dset = open_dset(report.saved[0].path)
    assert dset.metadata["unit_ids"] == [10, 12, 14]
    times = np.arange(900) / 60
    wanted = counted([spikes[0], spikes[2], spikes[4]], times, range(900))
    np.testing.assert_array_equal(dset.covariates["robs"].numpy(), wanted)
    both = import_nwb(path, tmp_path / "both", NwbImport(where={"quality": ("noise", "mua")}))
    assert open_dset(both.saved[0].path).metadata["unit_ids"] == [11, 13]


def test_frames_outside_trials_belong_to_none(tmp_path: Path) -> None:
    nwb = made.nwb_file()
    made.add_movie(nwb)
    made.add_units(nwb)
    made.add_trials(nwb, [[1.0, 4.0], [5.0, 9.0], [11.0, np.nan], [100.0, 101.0]])
    made.add_intervals(nwb, "presentations", [[0.0, 7.5], [7.5, 15.0]])
    path = made.written(nwb, tmp_path / "a.nwb")
    report = import_nwb(path, tmp_path / "out")
    labels = open_dset(report.saved[0].path).covariates["trial_inds"].numpy()
    wanted = np.full(900, -1)
    wanted[60:240], wanted[300:540] = 0, 1
    np.testing.assert_array_equal(labels, wanted)
    assert "trials: 1 row without start or stop left out" in report.notes
    assert "1 trial without a frame" in report.saved[0].notes
    named = import_nwb(path, tmp_path / "named", NwbImport(trials="presentations"))
    assert named.found["trials"] == "2 trials in presentations"
    assert named.saved[0].frames_without_trial == 0
    without = import_nwb(path, tmp_path / "without", NwbImport(no_trials=True))
    assert without.saved[0].trials is None


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    nwb = made.nwb_file()
    made.add_movie(nwb)
    made.add_units(nwb)
    made.add_intervals(nwb, "presentations", [[0.0, 7.5]])
    nwb.units.add_column("obs_intervals", "made", index=[1, 2, 3], data=[[0.0, 9.0]] * 3)
    nwb.add_stimulus(made.TimeSeries(name="contrast", data=[0.0, 1.0], unit="n.a.", rate=1.0))
    report = import_nwb(made.written(nwb, tmp_path / "a.nwb"), tmp_path / "out")
    assert list(report.missing) == [
        "no trials: blocks of 10 s stand for them; --trials NAME takes one of presentations",
        "no eye tracking (a SpatialSeries in an EyeTracking): the session is used without behaviour",
    ]
    assert "not made of images, left out: contrast (TimeSeries)" in report.notes
    assert any("obs_intervals are not read" in note for note in report.notes)


def test_a_dry_run_writes_nothing_and_says_the_same(tmp_path: Path) -> None:
    path = made.whole_file(tmp_path / "a.nwb")
    planned = import_nwb(path, tmp_path / "out", dry_run=True)
    assert files_in(tmp_path) == ["a.nwb"]
    assert not planned.written
    done = import_nwb(path, tmp_path / "out")
    assert planned.saved == done.saved
    assert (planned.found, planned.missing, planned.notes) == (done.found, done.missing, done.notes)


def test_large_movies_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vctrain.data.making import saving
    from vctrain.data.nwb import images

    monkeypatch.setattr(images, "READ_BYTES", 6 * 8 * 4 * 37)
    monkeypatch.setattr(saving, "PIECE_BYTES", 6 * 8 * 101)
    read: list[tuple[int, int]] = []
    plain = images.SeriesStack.read

    def watched(self: images.SeriesStack, start: int, stop: int, rows: slice, columns: slice) -> NDArray[Any]:
        read.append((start, stop))
        return plain(self, start, stop, rows, columns)

    monkeypatch.setattr(images.SeriesStack, "read", watched)
    told: list[tuple[int, int]] = []
    path = made.whole_file(tmp_path / "a.nwb")
    (saved,) = import_nwb(path, tmp_path / "out", tell=lambda done, total: told.append((done, total))).saved
    np.testing.assert_array_equal(open_dset(saved.path).covariates["stim"].numpy(), made.movie())
    blocks = [piece for piece in read if piece[1] - piece[0] > 1]
    assert max(stop - start for start, stop in blocks) == 37
    assert len(blocks) == len(set(blocks))  # each piece once
    assert told[0] == (0, 900)
    assert told[-1] == (900, 900)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
