"""Does `import-nwb` take its options, say what it found and wrote, and end as it should?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynwb")

import made_nwb as made

from vctrain import cli, console
from vctrain.data.dset import open_dset


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.chdir(tmp_path)
    yield
    console.configure()


def end_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(["import-nwb", *arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_a_person_reads_what_was_found_and_written(capsys: pytest.CaptureFixture[str]) -> None:
    made.whole_file(Path("a.nwb"))
    assert end_of("a.nwb", "sessions") == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "a.nwb, session M1_2024-05-06"
    assert lines[1:5] == [
        "found    units       3 units",
        "found    trials      10 trials in trials",
        "found    eye         behavior/EyeTracking/left_eye, degrees at 200 Hz",
        "found    type movie  ImageSeries of 900 frames, 6x8, at 60 Hz",
    ]
    assert lines[5] == "missing  no intervals of blinks: frames are invalid only where the gaze is lost"
    assert lines[7].split() == [
        "type",
        "frames",
        "lasts",
        "Hz",
        "size",
        "units",
        "spikes",
        "outside",
        "trials",
        "valid",
    ]
    assert lines[8].split()[:6] == ["movie", "900", "15.0", "s", "60", "6x8"]
    assert "wrote       sessions/M1_2024-05-06/movie.dset" in lines
    assert lines[-1] == "train with  vctrain train --preset gaborium --types movie --data sessions"
    assert end_of("a.nwb", "sessions") == 2
    assert "exists; nothing was changed" in capsys.readouterr().err
    assert end_of("a.nwb", "sessions", "--overwrite", "--quiet") == 0


def test_what_it_says_next_works(capsys: pytest.CaptureFixture[str]) -> None:
    made.whole_file(Path("a.nwb"))
    assert end_of("a.nwb", "sessions") == 0
    said = [line.split("  ")[-1].split()[1:] for line in capsys.readouterr().out.splitlines()[-2:]]
    for command, more in zip(said, ([], ["--dry-run", "--set", "model=twin_small"]), strict=True):
        with pytest.raises(SystemExit) as caught:
            cli.main([*command, *more])
        assert caught.value.code == 0, command
    assert "no problems found" in capsys.readouterr().out


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    made.whole_file(Path("a.nwb"))
    assert end_of("a.nwb", "sessions", "--json", "--dry-run") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    said = json.loads(out)
    assert (said["ok"], said["command"], said["written"], said["session"]) == (
        True,
        "import-nwb",
        False,
        "M1_2024-05-06",
    )
    (recording,) = said["recordings"]
    assert recording["path"] == "sessions/M1_2024-05-06/movie.dset"
    assert (recording["frames"], recording["units"], recording["rate_hz"], recording["size"]) == (900, 3, 60.0, [6, 8])
    assert said["missing"]
    assert not Path("sessions").exists()
    assert end_of("none.nwb", "sessions", "--json") == 2
    failed = json.loads(capsys.readouterr().out)
    assert (failed["ok"], failed["command"], failed["error"]["code"]) == (False, "import-nwb", 2)


def test_every_option_has_its_effect(capsys: pytest.CaptureFixture[str]) -> None:
    nwb = made.nwb_file()
    stack = np.random.default_rng(0).integers(0, 4001, (6, 12, 10), dtype=np.uint16)
    made.add_index(nwb, "scenes", np.arange(300) % 6, made.images("all", stack), rate=20.0, starting_time=0.0)
    made.add_movie(nwb, "other")
    made.add_units(nwb, quality=["good", "mua", "noise"])
    made.add_intervals(nwb, "blocks", [[0, 5], [5, 10], [10, 15]])
    clock, degrees = made.gaze()
    made.add_eye(nwb, "left_eye", degrees * 40, clock, unit="pixels")
    made.add_eye(nwb, "right_eye")
    made.written(nwb, Path("a.nwb"))
    options = ["--session", "Ada_2020-01-02", "--stimulus", "scenes", "--type", "images", "--trials", "blocks"]
    options += ["--eye", "left_eye", "--degrees-per-unit", "0.025", "--where", "quality=good, mua", "--rate", "60"]
    options += ["--crop", "2,1,4,8", "--shrink", "2", "--transpose", "--grey", "0,4000"]
    assert end_of("a.nwb", "sessions", *options) == 0
    err = capsys.readouterr().err
    assert "0 taken for black, 4000 for white" in err
    assert "each image held at 60 Hz" in err
    dset = open_dset("sessions/Ada_2020-01-02/images.dset")
    assert dset.metadata["unit_ids"] == [10, 11]
    content = dset.covariates
    part = stack.swapaxes(1, 2)[:, 2:6, 1:9].astype(float) / 4000 * 255
    means = part.reshape(6, 2, 2, 4, 2).mean(axis=(2, 4))
    wanted = means[(np.arange(900) // 3) % 6]
    assert np.abs(content["stim"].numpy() - wanted).max() <= 0.51
    assert content["trial_inds"].unique().tolist() == [0, 1, 2]
    np.testing.assert_allclose(content["eyepos"][300], degrees[np.searchsorted(clock, 5.0)], atol=1e-4)
    assert end_of("a.nwb", "bare", *options[:6], "--grey", "0,4000", "--no-eye", "--no-trials") == 0
    bare = open_dset("bare/Ada_2020-01-02/images.dset").covariates
    assert sorted(bare) == ["robs", "stim", "t_bins"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--where", "quality"], "expected COLUMN=VALUE"),
        (["--where", "quality="], "expected COLUMN=VALUE"),
        (["--where", "q=a", "--where", "q=b"], "names q twice"),
        (["--crop", "1,2,3"], "expected 4 numbers"),
        (["--crop", "1,2,x,4"], "--crop"),
        (["--crop", "1,2,0,4"], "--crop"),
        (["--grey", "5,1"], "--grey should be the value of black"),
        (["--grey", "dark,bright"], "--grey"),
        (["--shrink", "0"], "--shrink"),
        (["--rate", "-3"], "--rate"),
        (["--degrees-per-unit", "nan"], "--degrees-per-unit"),
        (["--rate", "inf"], "--rate"),
        (["--session", "a/b"], "--session"),
        (["--type", ".."], "--type"),
        (["--no-eye", "--eye", "left"], "--no-eye leaves out"),
        (["--no-trials", "--trials", "blocks"], "--no-trials leaves out"),
        (["--type", "a", "--stimulus", "b", "--stimulus", "c"], "--type cannot be the type of several stimuli"),
    ],
)
def test_options_that_make_no_sense(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    # they are refused before the file is looked at
    assert end_of("none.nwb", "sessions", *options) == 2
    err = capsys.readouterr().err
    assert message in err.splitlines()[0]
    assert err.splitlines()[1].startswith("hint: ")
    assert len(err.splitlines()) == 2


def test_without_pynwb_it_ends_with_5(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made.whole_file(Path("a.nwb"))
    monkeypatch.setitem(sys.modules, "pynwb", None)
    assert end_of("a.nwb", "sessions") == 5
    err = capsys.readouterr().err
    assert err.splitlines() == [
        "error: import-nwb needs pynwb, and pynwb is not installed",
        "hint: pip install 'vctrain[nwb]'",
    ]
    assert not Path("sessions").exists()
