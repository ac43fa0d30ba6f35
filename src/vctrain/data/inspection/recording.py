"""What is in one `.dset` file, and what is odd about it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vctrain.config.locate import session_folder
from vctrain.data.dset import Dset, open_dset
from vctrain.data.inspection.covariates import Range, bytes_to_read, n_frames, read
from vctrain.data.inspection.findings import Findings, Reading, Tell, counted
from vctrain.data.inspection.gaze import judge_gaze, judge_validity
from vctrain.data.inspection.movie import MovieSums, judge_movie
from vctrain.data.inspection.timeline import Trials, judge_times, judge_trials, median_step, trials_of
from vctrain.data.inspection.units import CountSums, judge_counts, judge_dead
from vctrain.data.recordings import Recording, stated_hz
from vctrain.errors import ContractError

_LONGEST_VALUE = 120
_NOT_FINITE = {
    "trial_inds": "number every frame's trial, with -1 for none",
    "rate_true": "store the expected count of every frame and unit, or leave it out",
    "t_bins": "store the time of every frame; the order of the others is checked",
    "dpi_valid": "these frames are left out as if tracking were lost",
    "missing_pct": "the unit does not count on these frames",
}


@dataclass(frozen=True)
class Inspected:
    """A recording that was looked at."""

    dset: Dset
    recording: Recording | None
    """None if it is refused."""
    session: str
    kind: str
    facts: dict[str, Any]
    """What is said of it, in plain types."""
    findings: Findings
    counts: CountSums | None
    trials: Trials | None

    @property
    def usable(self) -> bool:
        """Whether nothing was found for which vctrain refuses it."""
        return not any(problem.blocks for problem in self.findings.problems)

    @property
    def rate_hz(self) -> float | None:
        """Frames a second of the file, if it says."""
        rate: float | None = self.facts["rate_hz"]
        return rate


def inspect_dset(path: Path, tell: Tell) -> Inspected:
    """The recording at `path`, looked at alone. Raises ContractError if it cannot be read."""
    dset = open_dset(path)
    return inspect_recording(dset, *names_of(path), None, Reading(size_of(dset), tell), alone=True)


def names_of(path: Path) -> tuple[str, str]:
    """The session and the stimulus type of a file, from where it lies.

    >>> names_of(Path("/data/Allen_2022-02-16/datasets/gaborium.dset"))
    ('Allen_2022-02-16', 'gaborium')
    """
    path = path.absolute()
    kind = path.stem.removesuffix("_shifted") if path.parent.name == "shifter" else path.stem
    return session_folder(path).name, kind


def size_of(dset: Dset) -> int:
    """Bytes that `inspect_recording` reads."""
    return sum(bytes_to_read(covariate) for covariate in dset.covariates.values())


def inspect_recording(
    dset: Dset, session: str, kind: str, cids: Sequence[int] | None, reading: Reading, *, alone: bool = False
) -> Inspected:
    """Reads `dset` once, piece by piece, and judges it; of its units only `cids` (None: all).

    Units that never fire are a problem, and too few trials or no valid frame the end of it, only if it stands `alone`:
    another type of the session may have them.
    """
    findings = Findings(f"{session} {kind}")
    covariates = dset.covariates
    recording = _as_recording(dset, session, kind, findings)
    shown = n_frames(covariates["stim"]) if "stim" in covariates else 0
    frames = shown or max(map(n_frames, covariates.values()), default=0)
    ranges, counts, movie = _scanned(covariates, findings.where, reading)
    rate = _rate_hz(dset, recording)
    trials = trials_of(covariates["trial_inds"]) if _is(covariates, "trial_inds", 1) else None
    facts: dict[str, Any] = {
        "path": str(dset.path),
        "session": session,
        "type": kind,
        "bytes": dset.path.stat().st_size,
        "frames": frames,
        "rate_hz": rate,
        "seconds": frames / rate if rate else None,
        "size": list(covariates["stim"].shape[1:]) if _is(covariates, "stim", 3) else None,
        "covariates": [_described(name, covariates[name]) | ranges[name].facts() for name in covariates],
    }
    _judge_finite(ranges, findings)
    facts["trials"] = None if trials is None else judge_trials(trials, rate, findings, alone)
    facts["time"] = facts["eye"] = facts["gaze"] = facts["units"] = facts["movie"] = None
    if _is(covariates, "t_bins", 1):
        matching = trials if trials is not None and _alike(covariates, "t_bins", "trial_inds") else None
        facts["time"] = judge_times(covariates["t_bins"], matching, stated_hz(dset.metadata), findings)
    if _is(covariates, "dpi_valid", 1):
        facts["eye"] = judge_validity(covariates["dpi_valid"], rate, findings, alone)
    if _is(covariates, "eyepos", 2) and covariates["eyepos"].numel():
        matching_eye = facts["eye"] is not None and _alike(covariates, "eyepos", "dpi_valid")
        valid = covariates["dpi_valid"] if matching_eye else None
        facts["gaze"] = judge_gaze(covariates["eyepos"], valid, rate, findings)
    if counts is not None:
        facts["units"] = _judge_units(counts, cids, facts["seconds"], findings, alone)
    if movie is not None:
        facts["movie"] = judge_movie(movie, frames, rate, findings)
    _note_what_is_missing(covariates, findings)
    findings.notes += dset.notes
    facts["metadata"] = {key: plain(value) for key, value in dset.metadata.items()}
    facts["fingerprint"] = None if recording is None else recording.fingerprint()
    findings.problems.sort(key=lambda problem: not problem.blocks)
    return Inspected(dset, recording, session, kind, facts, findings, counts, trials)


def _as_recording(dset: Dset, session: str, kind: str, findings: Findings) -> Recording | None:
    try:
        return Recording(session, kind, dset, 1)
    except ContractError as error:
        findings.problem(error.message.split(f"{dset.path}: ", 1)[-1], error.hint, blocks=True)
        return None


def _is(covariates: Mapping[str, torch.Tensor], name: str, ndim: int) -> bool:
    return name in covariates and covariates[name].ndim == ndim


def _alike(covariates: Mapping[str, torch.Tensor], one: str, other: str) -> bool:
    return len(covariates[one]) == len(covariates[other])


def _scanned(
    covariates: Mapping[str, torch.Tensor], where: str, reading: Reading
) -> tuple[dict[str, Range], CountSums | None, MovieSums | None]:
    ranges: dict[str, Range] = {}
    counts = movie = None
    for name, covariate in covariates.items():
        ranges[name] = Range()
        visitors: list[Range | CountSums | MovieSums] = [ranges[name]]
        if name == "robs" and covariate.ndim == 2 and covariate.shape[1]:
            counts = CountSums(*covariate.shape)
            visitors.append(counts)
        if name == "stim" and covariate.ndim == 3 and covariate.dtype == torch.uint8:
            movie = MovieSums()
            visitors.append(movie)
        for start, values in read(covariate):
            for visitor in visitors:
                visitor.add(start, values)
            reading.advance(values.nbytes, where)
    return ranges, counts, movie


def _described(name: str, covariate: torch.Tensor) -> dict[str, Any]:
    dtype = str(covariate.dtype).removeprefix("torch.")
    return {"name": name, "dtype": dtype, "shape": list(covariate.shape)}


def _rate_hz(dset: Dset, recording: Recording | None) -> float | None:
    if recording is not None:
        return recording.rate_hz()
    step = median_step(dset.covariates["t_bins"]) if _is(dset.covariates, "t_bins", 1) else None
    return stated_hz(dset.metadata) or (1 / step if step else None)


def _judge_finite(ranges: Mapping[str, Range], findings: Findings) -> None:
    """Gaze and counts are judged where more is known of them."""
    for name, found in ranges.items():
        if found.n_bad and name not in ("robs", "eyepos"):
            findings.problem(
                f"{name} is not finite {counted(found.n_bad, 'time')} in {counted(found.n_bad_frames, 'frame')}, "
                f"first at frame {found.first_bad:,}",
                _NOT_FINITE.get(name, "frames on which a source of behaviour is not finite are left out"),
                blocks=name in ("trial_inds", "rate_true"),
            )


def _judge_units(
    counts: CountSums, cids: Sequence[int] | None, seconds: float | None, findings: Findings, alone: bool
) -> dict[str, Any]:
    n_units = counts.spikes.shape[1]
    chosen = list(range(n_units)) if cids is None else [cid for cid in cids if cid < n_units]
    judge_counts(counts, chosen, seconds, findings)
    spikes = counts.spikes.sum(axis=0)
    if alone:
        judge_dead(spikes[chosen], chosen, findings, "it")
    rates = (spikes / seconds).tolist() if seconds else None
    return {
        "n": n_units,
        "spikes": [int(n) if n == int(n) else float(n) for n in spikes.tolist()],
        "rates_hz": rates,
        "mean_rate_hz": float(np.mean(rates)) if rates else None,
        "median_rate_hz": float(np.median(rates)) if rates else None,
        "silent": [cid for cid in chosen if spikes[cid] == 0],
    }


def _note_what_is_missing(covariates: Mapping[str, torch.Tensor], findings: Findings) -> None:
    for name, then in (
        ("trial_inds", "blocks of 10 s stand for trials"),
        ("t_bins", "dropped frames cannot be seen"),
        ("dpi_valid", "every frame counts as valid"),
        ("eyepos", "used without behaviour"),
    ):
        if name not in covariates:
            findings.note(f"no {name}: {then}")
    if "dfs" in covariates:
        findings.note("dfs is not read: which frames count is worked out from trials, validity and filters")


def plain(value: object) -> Any:
    """A value of the metadata for JSON: short text, numbers, and short lists as they are, others named.

    >>> plain({"ppd": 37.5, "screen": (1920, 1080)}), plain(list(range(99))), plain(torch.zeros(3, 2))
    ({'ppd': 37.5, 'screen': [1920, 1080]}, 'list of 99', 'float32 (3, 2)')
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping | list | tuple):
        if len(value) > 24:
            return f"{type(value).__name__} of {len(value)}"
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        return [plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
