"""A recording or dataset config that cannot be used is one line that names it, exit 3 or 2, and nothing is written.

Each case goes through ``vctrain train --dry-run`` as a user would meet it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_labs import NAME, Lab, content, dry_run, lab_in, refused

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.opening import open_sessions

NAN, INF = float("nan"), float("inf")
Spoil = Callable[[Lab], Any]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    yield from lab_in(tmp_path, monkeypatch)


def test_the_lab_is_used_when_nothing_is_spoilt(lab, capfd):
    """Else every case below might fail for a reason of its own."""
    lab.write()
    code, shown, _ = dry_run(lab, capfd)
    assert (code, shown["ok"]) == (0, True)


def _is(name: str, change: Callable[[torch.Tensor], Any]) -> Spoil:
    return lambda lab: lab.covariates.update({name: change(lab.covariates[name])})


def _put(name: str, number: float, where: Any = 7) -> Spoil:
    def change(values: torch.Tensor) -> torch.Tensor:
        values = values.double() if name != "robs" or abs(number) > 1e38 else values.clone()
        values[where] = number
        return values

    return _is(name, change)


TABLE = sorted(content())
WRONG: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "complex": lambda x: x.to(torch.complex64),
    "another axis": lambda x: x[..., None],
    "short": lambda x: x[:-1],
    "long": lambda x: torch.cat([x, x[:1]]),
    "empty": lambda x: x[:0],
    "one number": lambda x: x.double().mean(),
    "sparse": lambda x: x.to_sparse(),
}


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("name", TABLE)
def test_a_covariate_of_the_wrong_type_shape_or_length(name, how, lab, capfd):
    _is(name, WRONG[how])(lab)
    lab.write()
    # all others are of another length than a stim whose length is wrong
    refused(lab, capfd, 3, [str(lab.dset()), "stim" if name == "stim" else name])


TYPES: dict[str, list[torch.dtype]] = {
    "stim": [torch.float32, torch.int64, torch.bool, torch.int8],
    "eyepos": [torch.int64, torch.bool, torch.uint8],
    "rate_true": [torch.int64],
    **{
        name: [torch.bool]
        for name in ("trial_inds", "t_bins", "psth_inds", "roi", "stim_phase", "ori", "sf", "missing_pct")
    },
}


@pytest.mark.parametrize(("name", "dtype"), [(name, dtype) for name, dtypes in TYPES.items() for dtype in dtypes])
def test_a_covariate_of_another_number_type(name, dtype, lab, capfd):
    _is(name, lambda x: x.to(dtype))(lab)
    lab.write()
    refused(lab, capfd, 3, [NAME, str(lab.dset()), f"{name} is {str(dtype).removeprefix('torch.')}", "not "])


VALUES: dict[str, tuple[Spoil, list[str]]] = {
    "NaN count": (_put("robs", NAN), ["robs is nan at frame 7, cid 0"]),
    "infinite count": (_put("robs", INF), ["robs is inf at frame 7, cid 0"]),
    "negative count": (_put("robs", -0.5), ["robs is -0.5 at frame 7, cid 0"]),
    "count beyond float32": (_put("robs", 1e300), ["robs is 1e+300 at frame 7, cid 0"]),
    "NaN true rate": (_put("rate_true", NAN), ["rate_true is nan at frame 7, cid 0"]),
    "NaN trial": (_put("trial_inds", NAN, 8), ["trial_inds", "not finite"]),
    "infinite trial": (_put("trial_inds", INF, 8), ["trial_inds", "not finite"]),
    "no trial": (_put("trial_inds", -1.0, slice(None)), ["has no trial", "trial_inds"]),
    "one trial": (_put("trial_inds", 3.0, slice(None)), ["no train frame", "trials"]),
    "each frame a trial": (lambda lab: lab.covariates.update(trial_inds=torch.arange(300)), ["no valid frame"]),
    "gaze NaN everywhere": (_put("eyepos", NAN, slice(None)), ["no valid frame"]),
    "gaze infinite everywhere": (_put("eyepos", 1e300, slice(None)), ["no valid frame"]),
    "gaze stands still": (_put("eyepos", 2.0, slice(None)), ["eyepos never changes"]),
    "gaze never valid": (_put("dpi_valid", 0.0, slice(None)), ["no valid frame"]),
    "validity NaN everywhere": (_put("dpi_valid", NAN, slice(None)), ["no valid frame"]),
    "no unit ever counts": (_put("missing_pct", NAN, slice(None)), ["missing_pct", "no unit"]),
    "no frame": (
        lambda lab: lab.recordings.update(gaborium={name: value[:0] for name, value in lab.covariates.items()}),
        ["has 0 frames"],
    ),
    "one frame": (
        lambda lab: lab.recordings.update(gaborium={name: value[:1] for name, value in lab.covariates.items()}),
        ["has 1 frames, fewer than one bin of 2"],
    ),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_that_cannot_be_used(case, lab, capfd):
    spoil, says = VALUES[case]
    spoil(lab)
    lab.write()
    refused(lab, capfd, 3, [NAME, *says])


@pytest.mark.parametrize("number", [NAN, INF, 1e300, 0.0, -1.0])
def test_a_frame_rate_that_is_none(number, lab, capfd):
    del lab.config["sampling"]
    lab.metadata["rate_hz"] = number
    lab.covariates["t_bins"] = lab.covariates["t_bins"].double() * number
    lab.write()
    refused(lab, capfd, 3, [NAME, "no frame rate", "t_bins", str(lab.dset())])


def test_frames_without_gaze_are_left_out_and_others_stay(lab):
    """NaN where it is allowed: not an error, and no clip shows it."""
    lab.covariates["eyepos"][30:34] = NAN
    lab.covariates["dpi_valid"][100] = NAN
    lab.covariates["missing_pct"][200:210, 0] = NAN
    (session,) = open_sessions(load_dataset_configs(lab.write()), 0)
    frames = np.flatnonzero(~session.scored("all").contains(np.arange(150)))
    assert frames.tolist() == [15, 16, 20, 21, 50]
    clips = session.gather([13, 100], context=0, frames=12)
    assert torch.isfinite(clips.behavior).all()
    assert clips.dfs[1, :, 0].tolist() == [0.0] * 5 + [1.0] * 7


def _two_types(change: Callable[[dict[str, torch.Tensor]], dict[str, Any]]) -> Spoil:
    def spoil(lab: Lab) -> None:
        lab.recordings["backimage"] = change(content())
        lab.config["types"] = ["gaborium", "backimage"]

    return spoil


def _half(made: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The later half of the same frames, and new ones after them."""
    more = content(1)
    more["t_bins"] = more["t_bins"] + float(made["t_bins"][-1]) + 0.01
    return {name: torch.cat([value[151:], more[name]]) for name, value in made.items()}


OVERLAPPING: dict[str, tuple[Spoil, list[str]]] = {
    "the same file": (_two_types(lambda made: made), ["holds the same recording as gaborium"]),
    "another time axis for the same frames": (
        _two_types(lambda made: made | {"t_bins": made["t_bins"] + 50}),
        ["holds the same recording as gaborium"],
    ),
    "half of the frames": (_two_types(_half), ["holds frames of gaborium too, from 1.51 s to 2.99 s"]),
    "another size": (_two_types(lambda made: made | {"stim": made["stim"][:, :3]}), ["frames are 3x5"]),
    "another number of units": (
        _two_types(lambda made: {name: v[:, :2] if v.shape[1:] == (3,) else v for name, v in content(1).items()}),
        ["robs has 2 units", "3"],
    ),
    "no gaze": (
        _two_types(lambda made: {name: v for name, v in content(1).items() if name != "eyepos"}),
        ["covariate eyepos is missing"],
    ),
}


@pytest.mark.parametrize("case", OVERLAPPING)
def test_types_that_do_not_go_together(case, lab, capfd):
    spoil, says = OVERLAPPING[case]
    spoil(lab)
    lab.write()
    refused(lab, capfd, 3, [NAME, str(lab.dset("backimage")), *says])


def test_types_on_clocks_of_their_own_are_used(lab):
    _two_types(lambda _: content(1))(lab)
    (session,) = open_sessions(load_dataset_configs(lab.write()), 0)
    assert session.types == ("gaborium", "backimage")


class Runs:
    """Pickles as a call of a function."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("place", ["metadata", "covariate", "file"])
def test_a_recording_that_carries_code(place, lab, capfd, tmp_path):
    mark = tmp_path / "ran"
    if place == "metadata":
        lab.metadata["hook"] = Runs(mark)
    elif place == "covariate":
        lab.covariates["pupil"] = Runs(mark)
    lab.write()
    if place == "file":
        torch.save(Runs(mark), lab.dset())
    refused(lab, capfd, 3, [str(lab.dset()), "asks to run", "mkdir"])
    assert not mark.exists()


def _npz(**arrays: Any) -> Spoil:
    """The filter's percentages in a file beside the recording."""

    def spoil(lab: Lab) -> None:
        del lab.covariates["missing_pct"]
        lab.session.mkdir()
        usual = {"t": np.arange(5.0), "missing_pct": np.ones((5, 3)), "cids": np.arange(3)}
        np.savez(lab.session / "missing_pct.npz", **{**usual, **arrays})

    return spoil


def _broken_npz(lab: Lab) -> None:
    _npz()(lab)
    path = lab.session / "missing_pct.npz"
    path.write_bytes(path.read_bytes()[:-40])


def _gone(lab: Lab) -> None:
    del lab.covariates["missing_pct"]


NPZ: dict[str, tuple[Spoil, list[str]]] = {
    "not there": (_gone, ["missing_pct has no source", "missing_pct.npz"]),
    "half-written": (_broken_npz, ["missing_pct.npz", "cannot be read"]),
    "text for times": (_npz(t=np.array(list("abcde"))), ["missing_pct.npz", "t is <U1, not numbers"]),
    "objects": (_npz(t=np.array([Runs(Path("ran"))] * 5)), ["missing_pct.npz", "cannot be read"]),
    "times that go back": (_npz(t=np.arange(5.0)[::-1]), ["missing_pct.npz"]),
    "no sample": (_npz(t=np.zeros(0), missing_pct=np.zeros((0, 3))), ["missing_pct.npz"]),
    "a number for cids": (_npz(cids=np.array(3)), ["missing_pct.npz"]),
    "another shape": (_npz(missing_pct=np.ones((3, 5))), ["missing_pct.npz", "(3, 5)"]),
    "a unit that is not there": (_npz(cids=np.array([0, 1, 7])), ["missing_pct.npz", "cid 2"]),
}


@pytest.mark.parametrize("case", NPZ)
def test_percentages_that_cannot_be_used(case, lab, capfd):
    spoil, says = NPZ[case]
    spoil(lab)
    lab.write()
    refused(lab, capfd, 3, [str(lab.folder), *says])
