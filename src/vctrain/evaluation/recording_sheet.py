"""What does a recording look like on one page: frames, spikes, gaze, rates, trials and splits?

Imported only where a sheet is asked for: matplotlib takes its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from vctrain.data.inspection.covariates import rows_of
from vctrain.data.inspection.recording import Inspected
from vctrain.data.inspection.units import BLOCKS
from vctrain.data.intervals import runs_of_equal
from vctrain.data.splits import SPLITS, split_trials
from vctrain.evaluation.style import SMALL, nothing, title

COLOURS = {"train": "#3b6fb6", "val": "#e08a1e", "test": "#3a9a5b", "outside": "#b9b9b9"}
LOST = "#f2b8b0"
SHOWN_SECONDS = 20.0
_FRAMES_SHOWN = 10
_PAGE = (11.7, 8.3)


def write_sheets(path: Path, recordings: Sequence[tuple[Inspected, Sequence[float], int]]) -> int:
    """One sheet for each recording with the fractions and the seed of its split; returns how many were written.

    A PDF holds all of them, another file the first.
    """
    if path.suffix.lower() != ".pdf":
        draw(*recordings[0]).savefig(path, dpi=150)
        return 1
    with PdfPages(path) as pages:
        for recording in recordings:
            pages.savefig(draw(*recording), dpi=150)
    return len(recordings)


def draw(recording: Inspected, fractions: Sequence[float], seed: int) -> Figure:
    """The sheet of one recording."""
    figure = Figure(figsize=_PAGE)
    figure.suptitle(f"{recording.session}   {recording.kind}", x=0.055, y=0.975, ha="left", fontsize=14, weight="bold")
    figure.text(0.055, 0.932, _summary(recording), fontsize=9, color="#444444")
    if recording.facts["frames"] == 0:
        figure.text(0.5, 0.5, "no frames", ha="center", color="#777777")
        return figure
    tracked = recording.facts["gaze"] is not None
    heights = [1.25, 2.5, 1.3, 0.22, 2.0] if tracked else [1.25, 3.8, 0.22, 2.0]
    grid = figure.add_gridspec(
        len(heights), 1, height_ratios=heights, left=0.055, right=0.975, top=0.905, bottom=0.075, hspace=0.5
    )
    _movie(figure, grid[0], recording)
    window = _window(recording)
    splits = _splits(recording, fractions, seed)
    last = raster = figure.add_subplot(grid[1])
    _raster(raster, recording, window, splits)
    if tracked:
        last = figure.add_subplot(grid[2], sharex=raster)
        _gaze(last, recording, window)
    last.set_xlabel(_time_label(recording), fontsize=8, labelpad=2)
    _split_bar(figure.add_subplot(grid[-2]), recording, splits, fractions, seed)
    bottom = grid[-1].subgridspec(1, 3, wspace=0.24)
    _rates(figure.add_subplot(bottom[0]), recording)
    _drift(figure.add_subplot(bottom[1]), recording)
    _trial_lengths(figure.add_subplot(bottom[2]), recording, splits)
    return figure


def _summary(recording: Inspected) -> str:
    facts = recording.facts
    parts = [f"{facts['frames']:,} frames"]
    if recording.rate_hz:
        seconds = facts["seconds"]
        lasting = f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:.1f} s"
        parts.append(f"{lasting} at {recording.rate_hz:g} Hz")
    if facts["size"]:
        parts.append("x".join(map(str, facts["size"])) + " pixels")
    if facts["units"]:
        parts.append(f"{facts['units']['n']} units")
    if facts["eye"]:
        parts.append(f"eye tracking valid {100 * facts['eye']['valid_fraction']:.1f} %")
    n = len(recording.findings.problems)
    return ",  ".join(parts) + (f",  {n} problem{'s' if n > 1 else ''} found" if n else "")


def _rate(recording: Inspected) -> float:
    """Frames in a unit of the time axes: a second where the rate is known, else a frame."""
    return recording.rate_hz or 1.0


def _time_label(recording: Inspected) -> str:
    return "recorded time (s)" if recording.rate_hz else "frames"


def _splits(recording: Inspected, fractions: Sequence[float], seed: int) -> list[tuple[int, int, str]]:
    """(start, stop, split) of every run of a trial, "outside" for those that are in none."""
    if recording.trials is None:
        return []
    # negative numbers take part in the permutation, as they do when sessions are opened
    number = recording.trials.number
    distinct, index = np.unique(number, return_inverse=True)
    split = np.where(number < 0, len(SPLITS), split_trials(distinct, fractions, seed)[index])
    names = (*SPLITS, "outside")
    return [(*run, names[of]) for run, of in zip(recording.trials.runs.tolist(), split.tolist(), strict=True)]


def _window(recording: Inspected) -> tuple[int, int]:
    """The frames of the raster: 20 s from the start of a trial a third into the recording."""
    frames: int = recording.facts["frames"]
    length = min(frames, max(1, round(SHOWN_SECONDS * _rate(recording))) if recording.rate_hz else 2000)
    start = min(frames // 3, frames - length)
    if recording.trials is not None and len(recording.trials.inside):
        starts = recording.trials.inside[:, 0]
        start = int(starts[np.abs(starts - start).argmin()])
    start = max(0, min(start, frames - length))
    return start, start + length


def _movie(figure: Figure, place: Any, recording: Inspected) -> None:
    if recording.facts["movie"] is None or not recording.facts["movie"]["frames_checked"]:
        nothing(figure.add_subplot(place), "no movie that can be shown")
        return
    stim = recording.dset.covariates["stim"]
    chosen = np.unique(np.linspace(0, len(stim) - 1, _FRAMES_SHOWN + 2).astype(np.int64)[1:-1])
    row = place.subgridspec(1, len(chosen), wspace=0.08)
    for column, frame in enumerate(chosen.tolist()):
        axes = figure.add_subplot(row[column])
        axes.imshow(rows_of(stim, frame, frame + 1)[0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        at = f"{frame / _rate(recording):.1f} s" if recording.rate_hz else f"frame {frame}"
        axes.set_xlabel(at, fontsize=SMALL, labelpad=2)


def _raster(axes: Axes, recording: Inspected, window: tuple[int, int], splits: list[tuple[int, int, str]]) -> None:
    start, stop = window
    rate = _rate(recording)
    if recording.counts is None:
        nothing(axes, "no counts (frames, units) to show")
        return
    counts = np.nan_to_num(rows_of(recording.dset.covariates["robs"], start, stop).astype(np.float32))
    for first, last, split in splits:
        if first < stop and last > start:
            axes.axvspan(max(first, start) / rate, min(last, stop) / rate, color=COLOURS[split], alpha=0.08, lw=0)
            if start < first:
                axes.axvline(first / rate, color="#999999", lw=0.5)
    frame, unit = np.nonzero(counts > 0)
    # the marks of one unit fill most of its row
    height = 0.85 * axes.get_position().height * 72 * _PAGE[1] / counts.shape[1]
    darkness = np.clip(counts[frame, unit], 1, 4) / 4
    colours = np.zeros((len(frame), 4))
    colours[:, 3] = 0.35 + 0.65 * darkness
    axes.scatter(
        (frame + start + 0.5) / rate, unit, marker="|", s=max(height, 0.7) ** 2, c=colours, lw=0.6, rasterized=True
    )
    axes.set_ylim(counts.shape[1] - 0.5, -0.5)
    axes.set_xlim(start / rate, stop / rate)
    axes.set_ylabel("unit (column)", fontsize=8)
    title(axes, "Spikes; shading: the split of the trial, lines: trials begin")


def _gaze(axes: Axes, recording: Inspected, window: tuple[int, int]) -> None:
    start, stop = window
    rate = _rate(recording)
    covariates = recording.dset.covariates
    valid = covariates.get("dpi_valid")
    if recording.facts["eye"] is not None and valid is not None and len(valid) >= stop:
        runs, tracked = runs_of_equal(lambda a, b: rows_of(valid, start + a, start + b) > 0, stop - start)
        for first, last in runs[~tracked.astype(bool)].tolist():
            axes.axvspan((start + first) / rate, (start + last) / rate, color=LOST, lw=0)
    gaze = rows_of(covariates["eyepos"], start, stop).astype(np.float64)
    at = (np.arange(start, start + len(gaze)) + 0.5) / rate
    for column, (name, colour) in enumerate(zip("xy", ("#222222", "#c2571a"), strict=True)):
        if column < gaze.shape[1]:
            axes.plot(at, gaze[:, column], color=colour, lw=0.7, label=name)
    axes.set_ylabel("degrees", fontsize=8)
    title(axes, "Gaze; red: tracking lost")
    axes.legend(loc="upper right", fontsize=SMALL, ncols=2, frameon=False, bbox_to_anchor=(1.0, 1.3), handlelength=1)


def _split_bar(
    axes: Axes, recording: Inspected, splits: list[tuple[int, int, str]], fractions: Sequence[float], seed: int
) -> None:
    frames = max(recording.facts["frames"], 1)
    axes.set_xlim(0, frames / _rate(recording))
    axes.set_yticks([])
    axes.tick_params(labelsize=SMALL, pad=1)
    if not splits:
        nothing(axes, "no trial_inds; blocks of 10 s would be split")
        return
    handles = []
    for split, colour in COLOURS.items():
        bars = [
            (first / _rate(recording), (last - first) / _rate(recording)) for first, last, of in splits if of == split
        ]
        if bars:
            axes.broken_barh(bars, (0, 1), color=colour, lw=0.3 if len(splits) < 100 else 0, edgecolor="white")
            share = sum(last - first for first, last, of in splits if of == split) / frames
            handles.append(Patch(color=colour, label=f"{split} {100 * share:.0f} %"))
    axes.set_ylim(0, 1)
    shares = ", ".join(f"{fraction:g}" for fraction in fractions)
    axes.set_title(f"Trials over the whole recording, split {shares} with seed {seed}", fontsize=9, loc="left", pad=4)
    axes.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, fontsize=SMALL, frameon=False,
        handlelength=1, borderaxespad=0.1,
    )  # fmt: skip


def _rates(axes: Axes, recording: Inspected) -> None:
    units = recording.facts["units"]
    title(axes, "Mean rate of each unit")
    if units is None or units["rates_hz"] is None:
        nothing(axes, "not known")
        return
    rates = np.array(units["rates_hz"])
    axes.bar(np.arange(len(rates)), rates, width=0.85 if len(rates) < 80 else 1.0, color="#5a6f86")
    silent = np.flatnonzero(rates == 0)
    if len(silent):
        axes.plot(silent, np.zeros(len(silent)), "x", color="#c0392b", ms=5, clip_on=False)
        axes.set_title("Mean rate of each unit; x: never fires", fontsize=9, loc="left", pad=4)
    axes.axhline(units["median_rate_hz"], color="#c2571a", lw=0.8, ls="--")
    axes.set_xlim(-0.7, len(rates) - 0.3)
    axes.set_xlabel("unit (column)", fontsize=8, labelpad=2)
    axes.set_ylabel("Hz (dashed: median)", fontsize=8)


def _drift(axes: Axes, recording: Inspected) -> None:
    title(axes, "Rate over the recording, relative to its mean")
    if recording.counts is None or not recording.counts.spikes.any():
        nothing(axes, "no spikes")
        return
    length = np.maximum(np.diff(recording.counts.edges), 1)[:, None]
    rate = recording.counts.spikes / length
    mean = recording.counts.spikes.sum(axis=0) / max(int(recording.counts.edges[-1]), 1)
    relative = np.where(mean > 0, rate / np.where(mean > 0, mean, 1), np.nan)
    image = axes.imshow(
        relative.T, aspect="auto", cmap="viridis", vmin=0, vmax=2, interpolation="nearest",
        extent=(0, recording.facts["frames"] / _rate(recording), rate.shape[1] - 0.5, -0.5),
    )  # fmt: skip
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, fraction=0.05)
    bar.ax.tick_params(labelsize=SMALL)
    axes.set_xlabel(f"{_time_label(recording)}, {BLOCKS} parts", fontsize=8, labelpad=2)
    axes.set_ylabel("unit (column)", fontsize=8)


def _trial_lengths(axes: Axes, recording: Inspected, splits: list[tuple[int, int, str]]) -> None:
    title(axes, "Length of trials")
    if not any(split != "outside" for *_, split in splits):
        nothing(axes, "no trials")
        return
    of = {s: [(b - a) / _rate(recording) for a, b, split in splits if split == s] for s in SPLITS}
    of = {split: lengths for split, lengths in of.items() if lengths}
    everything = np.concatenate(list(of.values()))
    edges = np.linspace(0, 1.05 * float(everything.max()), 30)
    axes.hist(list(of.values()), bins=edges.tolist(), stacked=True, color=[COLOURS[s] for s in of], label=list(of))
    axes.set_xlim(0, None)
    axes.set_xlabel("s" if recording.rate_hz else "frames", fontsize=8, labelpad=2)
    axes.set_ylabel("trials", fontsize=8)
    axes.legend(fontsize=SMALL, frameon=False)
