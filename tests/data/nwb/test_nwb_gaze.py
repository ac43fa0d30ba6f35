"""Is the gaze of each frame where the eye was, and is what is lost or unclear told?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pynwb")

import made_nwb as made
from pynwb import NWBFile
from pynwb.behavior import Position, SpatialSeries

from vctrain.config.nwb import NwbImport
from vctrain.data.dset import open_dset
from vctrain.data.nwb import NwbReport, import_nwb
from vctrain.data.nwb.gaze import Gaze
from vctrain.errors import ContractError, UsageError

TIMES = np.arange(900) / 60


def imported(folder: Path, change: Callable[[NWBFile], Any], **options: Any) -> NwbReport:
    """A file without eye tracking but for what `change` adds."""
    nwb = made.nwb_file()
    made.add_movie(nwb)
    made.add_units(nwb)
    made.add_trials(nwb)
    change(nwb)
    return import_nwb(made.written(nwb, folder / "a.nwb"), folder / "out", NwbImport(**options))


def eyepos(report: NwbReport) -> np.ndarray[Any, Any]:
    return open_dset(report.saved[0].path).covariates["eyepos"].numpy()


def expected(degrees: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.stack([np.interp(TIMES, made.gaze()[0], column) for column in degrees.T], 1)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_between_two_samples_or_lost(data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.sampled_from([0.01, 0.01, 0.01, 0.014, 0.04, 0.2]), min_size=2, max_size=15))
    clock = np.concatenate([[0.0], np.cumsum(steps)])
    good = np.array(data.draw(st.lists(st.booleans(), min_size=len(clock), max_size=len(clock))))
    degrees = np.stack([3 * clock - 1, 5 - clock], 1)
    degrees[~good] = np.nan
    gaze = Gaze("eye", "", clock, degrees, ())
    times = np.array(data.draw(st.lists(st.floats(-0.1, clock[-1] + 0.1) | st.sampled_from(list(clock)), min_size=1)))
    found = gaze.at(times)
    longest = max(1.5 * float(np.median(np.diff(clock))), 0.05)
    for time, here in zip(times, found, strict=True):
        # a time nearer to a sample than a millionth of the gap that it lies in is the sample's own
        gap = np.diff(clock)[min(max(int(np.searchsorted(clock, time, side="right")), 1), len(clock) - 1) - 1]
        exact = np.flatnonzero(np.abs(clock - time) < 1e-6 * gap)
        if len(exact):
            seen = bool(good[exact[0]])
        else:
            after = int(np.searchsorted(clock, time))
            inside = 0 < after < len(clock)
            seen = inside and bool(good[after - 1] and good[after]) and clock[after] - clock[after - 1] <= longest
        if seen:
            np.testing.assert_allclose(here, [3 * time - 1, 5 - time], atol=1e-6)
        else:
            assert np.isnan(here).all()


def test_a_lost_eye_is_invalid(tmp_path: Path) -> None:
    clock, degrees = made.gaze()
    degrees[(clock >= 2) & (clock < 3)] = np.nan
    report = imported(tmp_path, lambda nwb: made.add_eye(nwb, data=degrees, times=clock))
    content = open_dset(report.saved[0].path).covariates
    # the frame at 3 s is between a lost sample and the sample at 3 s itself
    lost = (TIMES >= 2 - 1e-9) & (TIMES < 3 - 1e-9)
    np.testing.assert_array_equal(content["dpi_valid"].numpy() == 0, lost)
    assert report.saved[0].frames_invalid == 60
    assert np.isfinite(content["eyepos"][~lost].numpy()).all()


def test_the_tracker_stops_early(tmp_path: Path) -> None:
    clock, degrees = made.gaze()
    report = imported(tmp_path, lambda nwb: made.add_eye(nwb, data=degrees[clock < 10], times=clock[clock < 10]))
    valid = open_dset(report.saved[0].path).covariates["dpi_valid"].numpy()
    np.testing.assert_array_equal(valid, clock[clock < 10][-1] >= TIMES)


def test_blinks_are_invalid(tmp_path: Path) -> None:
    def change(nwb: NWBFile) -> None:
        made.add_eye(nwb)
        made.add_intervals(nwb, "eye_blinks", [[1.0, 1.2], [4.99, 5.01], [70, 80]])

    report = imported(tmp_path, change)
    assert report.found["blinks"] == "3 intervals in eye_blinks"
    valid = open_dset(report.saved[0].path).covariates["dpi_valid"].numpy()
    np.testing.assert_array_equal(valid == 0, ((TIMES >= 1) & (TIMES < 1.2)) | (np.abs(TIMES - 5) < 0.01))
    assert not any("blinks" in text for text in report.missing)


@pytest.mark.parametrize(
    ("unit", "factor"), [("degrees", 1), ("Degrees", 1), ("°", 1), ("radians", np.pi / 180), ("arcmin", 60)]
)
def test_units_of_angle_become_degrees(tmp_path: Path, unit: str, factor: float) -> None:
    clock, degrees = made.gaze()
    report = imported(tmp_path, lambda nwb: made.add_eye(nwb, data=degrees * factor, times=clock, unit=unit))
    np.testing.assert_allclose(eyepos(report), expected(degrees), atol=1e-4)


def test_conversion_and_offset_are_applied(tmp_path: Path) -> None:
    clock, degrees = made.gaze()
    stored = np.rint((degrees + 1) / 0.01).astype(np.int16)
    report = imported(tmp_path, lambda nwb: made.add_eye(nwb, data=stored, times=clock, conversion=0.01, offset=-1.0))
    np.testing.assert_allclose(eyepos(report), expected(stored * 0.01 - 1.0), atol=1e-4)


def test_pixels_need_their_size(tmp_path: Path) -> None:
    clock, degrees = made.gaze()

    def change(nwb: NWBFile) -> None:
        made.add_eye(nwb, data=degrees * 50 + 400, times=clock, unit="pixels")

    with pytest.raises(ContractError, match="left_eye is in pixels, not in degrees") as error:
        imported(tmp_path, change)
    assert "--degrees-per-unit" in error.value.hint
    report = imported(tmp_path, change, degrees_per_unit=0.02)
    np.testing.assert_allclose(eyepos(report), expected(degrees + 8), atol=1e-4)
    assert any("one of pixels taken for 0.02 degrees" in note for note in report.notes)


def test_pixels_called_degrees_are_found_out(tmp_path: Path) -> None:
    clock, degrees = made.gaze()
    with pytest.raises(ContractError, match="eyepos goes from"):
        imported(tmp_path, lambda nwb: made.add_eye(nwb, data=degrees * 50 + 400, times=clock))


def two_eyes(nwb: NWBFile) -> None:
    clock, degrees = made.gaze()
    made.add_eye(nwb, "left_eye", degrees, clock)
    made.add_eye(nwb, "right_eye", degrees * 2, clock)


def test_two_eyes_are_a_choice(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 gazes: behavior/EyeTracking/left_eye, behavior/EyeTracking/right_eye"):
        imported(tmp_path, two_eyes)
    right = imported(tmp_path, two_eyes, eye="right_eye")
    np.testing.assert_allclose(eyepos(right), expected(made.gaze()[1] * 2), atol=1e-4)
    with pytest.raises(UsageError, match="2 gazes"):
        import_nwb(tmp_path / "a.nwb", tmp_path / "more", NwbImport(eye="EyeTracking"))
    with pytest.raises(UsageError, match="no eye tracking third"):
        import_nwb(tmp_path / "a.nwb", tmp_path / "more", NwbImport(eye="third"))
    none = import_nwb(tmp_path / "a.nwb", tmp_path / "none", NwbImport(no_eye=True))
    assert none.saved[0].frames_invalid is None
    assert not any("eye" in text for text in none.missing)


def test_where_gaze_is_looked_for(tmp_path: Path) -> None:
    clock, degrees = made.gaze()

    def series(name: str) -> SpatialSeries:
        return SpatialSeries(name=name, data=degrees, timestamps=clock, unit="degrees", reference_frame="screen")

    def change(nwb: NWBFile) -> None:
        nwb.add_acquisition(series("gaze_position"))
        nwb.create_processing_module("behavior", "made").add(Position(spatial_series=series("running")))

    report = imported(tmp_path, change)
    assert report.found["eye"] == "gaze_position, degrees at 200 Hz"
    asked = import_nwb(tmp_path / "a.nwb", tmp_path / "asked", NwbImport(eye="running"))
    assert asked.found["eye"] == "behavior/Position/running, degrees at 200 Hz"


@pytest.mark.parametrize(
    ("data", "times", "message"),
    [
        (np.zeros(50), np.arange(50), "not x and y"),
        (np.zeros((50, 1)), np.arange(50), "not x and y"),
        (np.zeros((1, 2)), np.arange(1), "not x and y"),
        (np.ones((50, 2)), np.zeros(50), "timestamps go from 0 to 0 at sample 1"),
        (np.ones((50, 2)), np.arange(50) + 1000.0, "no gaze at any time of movie"),
        (np.full((50, 2), np.nan), np.arange(50) / 2, "no gaze at any time of movie"),
        (np.ones((100, 2)), np.arange(100) / 25, "eyepos column 0 never changes"),
    ],
)
def test_what_is_no_gaze(tmp_path: Path, data: Any, times: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message) as error:
        imported(tmp_path, lambda nwb: made.add_eye(nwb, data=data, times=times))
    assert error.value.hint
    assert not (tmp_path / "out").exists()


def test_more_columns_are_told(tmp_path: Path) -> None:
    clock, degrees = made.gaze()
    wide = np.concatenate([degrees, degrees[:, :1]], axis=1)
    report = imported(tmp_path, lambda nwb: made.add_eye(nwb, data=wide, times=clock))
    assert any("has 3 columns; the first two" in note for note in report.notes)
    np.testing.assert_allclose(eyepos(report), expected(degrees), atol=1e-4)
