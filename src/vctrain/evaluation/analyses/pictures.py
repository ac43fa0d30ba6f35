"""What do the findings of an analysis look like, a page for every few units of a session?

Imported only where pictures are asked for: matplotlib takes its time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vctrain.evaluation.analyses.findings import Arrays, Findings

BLUE, ORANGE, GREY = "#3b6fb6", "#e08a1e", "#9aa5b1"
DATA, MODEL = "#333333", ORANGE
UNITS = 12
"""On a page."""
_FRAMES = 8
Floats = NDArray[np.float64]
Page = Callable[[Findings, str, Sequence[int]], Figure]


def draw(session: str, findings: Findings) -> Mapping[str, Figure]:
    """The pages of a session by what their file's name ends in: nothing for a single page, else -1, -2 and so on."""
    page = _PAGES["in-silico" if findings.settings.get("in_silico") else findings.name]
    units, most = len(findings.units[session]), 48 if findings.name == "ablate-behavior" else UNITS
    pages = [range(first, min(first + most, units)) for first in range(0, units, most)]
    many = len(pages) > 1
    return {f"-{number + 1}" if many else "": page(findings, session, own) for number, own in enumerate(pages)}


def _sheet(title: str, rows: int, columns: int, width: float, height: float) -> tuple[Figure, NDArray[Any]]:
    """A figure of panels of some inches each, below a title."""
    whole = rows * height + 0.85
    figure = Figure(figsize=(columns * width + 0.9, whole))
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=0.62 / (columns * width + 0.9),
        right=0.985,
        top=1 - 0.68 / whole,
        bottom=0.32 / whole,
        wspace=0.28,
        hspace=0.42,
    )
    figure.text(
        0.15 / (columns * width + 0.9), 1 - 0.12 / whole, title, ha="left", va="top", fontsize=11, weight="bold"
    )
    return figure, axes


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color(GREY)
        side.set_linewidth(0.6)


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=6.5, length=2, width=0.6, pad=1.5)
    axes.locator_params(axis="y", nbins=4)
    for name, side in axes.spines.items():
        side.set_visible(name in ("left", "bottom"))
        side.set_linewidth(0.6)


def _map(axes: Axes, image: Floats, limit: float | None = None) -> None:
    limit = limit or float(np.abs(image).max()) or 1.0
    axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    _bare(axes)


def _cid(axes: Axes, cid: int, more: str = "") -> None:
    axes.set_ylabel(f"cid {cid}{more}", fontsize=7.5, labelpad=3)


def _sta(findings: Findings, session: str, units: Sequence[int]) -> Figure:
    arrays = findings.arrays[session]
    title = f"{session}: spike-triggered maps in standard errors, at the model's peak lag"
    figure, axes = _sheet(title, len(units), 6, 1.28, 1.3)
    heads = ("average, data", "average, model", "spread by lag", "energy, data", "energy, model", "spread by lag")
    for axis, head in zip(axes[0], heads, strict=True):
        axis.set_title(head, fontsize=8, pad=4)
    for row, place in zip(axes, units, strict=True):
        _cid(row[0], int(arrays["cids"][place]))
        for first, kind in ((0, "sta"), (3, "ste")):
            data, model = (arrays[f"{kind}_{whose}_z"][place] for whose in ("data", "model"))
            spreads = [maps.reshape(len(maps), -1).std(1) for maps in (data, model)]
            lag = int(spreads[1].argmax())
            _map(row[first], data[lag])
            _map(row[first + 1], model[lag])
            milliseconds = 1000 * arrays["lags"] / float(arrays["rate_hz"])
            for spread, colour in zip(spreads, (DATA, MODEL), strict=True):
                row[first + 2].plot(milliseconds, spread, color=colour, linewidth=1.1)
            row[first + 2].axvline(milliseconds[lag], color=GREY, linewidth=0.7, linestyle=":")
            row[first + 2].set_ylim(bottom=0)
            _plain(row[first + 2])
    for axis in (axes[-1][2], axes[-1][5]):
        axis.set_xlabel("lag, ms", fontsize=7, labelpad=1)
    _legend(figure)
    return figure


def _legend(figure: Figure) -> None:
    width, height = figure.get_size_inches()
    for text, colour, place in (("data", DATA, 0.95), ("model", MODEL, 0.5)):
        figure.text(1 - place / width, 1 - 0.12 / height, text, color=colour, ha="left", va="top", fontsize=9)


def _tuning(findings: Findings, session: str, units: Sequence[int]) -> Figure:
    arrays, rows = findings.arrays[session], findings.units[session]
    rate = float(arrays["rate_hz"])
    phased = "phase_data" in arrays
    figure, axes = _sheet(f"{session}: tuning to gratings, spikes a second", len(units), 2 + phased, 2.1, 1.25)
    heads = ["orientation, degrees", "spatial frequency, as recorded", "phase, degrees"]
    for axis, head in zip(axes[0], heads, strict=False):
        axis.set_title(head, fontsize=8, pad=4)
    for row, place in zip(axes, units, strict=True):
        cid = int(arrays["cids"][place])
        _cid(row[0], cid)
        for whose, colour, suffix in (("data", DATA, ""), ("model", MODEL, "_model")):
            style = {"color": colour, "linewidth": 1.1, "marker": ".", "markersize": 3.5}
            row[0].plot(arrays["orientations"], arrays[f"orientation_{whose}"][place] * rate, **style)
            row[1].plot(arrays["frequencies"], arrays[f"frequency_{whose}"][place] * rate, **style)
            preferred = rows[cid][f"orientation{suffix}"]
            if preferred is not None:
                row[0].axvline(preferred, color=colour, linewidth=0.7, linestyle=":")
            if phased:
                _phase(row[2], arrays[f"phase_{whose}"][place] * rate, rows[cid], suffix, rate, colour)
        for axis in row:
            axis.set_ylim(bottom=0)
            _plain(axis)
    _legend(figure)
    return figure


def _phase(axes: Axes, means: Floats, row: Mapping[str, Any], suffix: str, rate: float, colour: str) -> None:
    """Mean responses in bins of phase, and the sine through them."""
    centres = (np.arange(len(means)) + 0.5) * 360 / len(means)
    axes.plot(centres, means, color=colour, linestyle="none", marker=".", markersize=4)
    amplitude, shift, modulation = (row[f"{key}{suffix}"] for key in ("amplitude", "shift", "modulation"))
    if None not in (amplitude, shift, modulation):
        offset = amplitude * (2.0 / modulation - 1.0)
        phase = np.linspace(0, 360, 90)
        axes.plot(phase, (amplitude * np.sin(np.radians(phase) + shift) + offset) * rate, color=colour, linewidth=1.0)
    axes.set_xticks([0, 180, 360])


def _in_silico(findings: Findings, session: str, units: Sequence[int]) -> Figure:
    arrays, rows = findings.arrays[session], findings.units[session]
    rate = float(arrays["rate_hz"])
    title = f"{session}: the twin's answers to {findings.settings['motion']} gratings, spikes a second"
    figure, axes = _sheet(title, len(units), 3, 2.1, 1.25)
    heads = ("direction (down) by frequency", "direction, degrees", "cycles a pixel")
    if findings.settings["motion"] == "flashed":
        heads = ("orientation (down) by frequency", "orientation, degrees", "cycles a pixel")
    for axis, head in zip(axes[0], heads, strict=True):
        axis.set_title(head, fontsize=8, pad=4)
    for row, place in zip(axes, units, strict=True):
        cid = int(arrays["cids"][place])
        responses, grey = arrays["responses"][place] * rate, float(arrays["grey"][place] * rate)
        _cid(row[0], cid)
        row[0].imshow(responses, cmap="viridis", vmin=0, aspect="auto", interpolation="nearest")
        _bare(row[0])
        direction, frequency = np.unravel_index(int(responses.argmax()), responses.shape)
        style = {"color": MODEL, "linewidth": 1.1, "marker": ".", "markersize": 3.5}
        row[1].plot(arrays["directions"], responses[:, frequency], **style)
        row[2].semilogx(arrays["frequencies"], responses[direction], base=2, **style)
        row[2].set_xticks(arrays["frequencies"][::2], [f"{value:.2g}" for value in arrays["frequencies"][::2]])
        row[2].minorticks_off()
        if rows[cid]["orientation"] is not None:
            row[1].axvline(rows[cid]["orientation"], color=GREY, linewidth=0.7, linestyle=":")
        for axis in row[1:]:
            axis.axhline(grey, color=GREY, linewidth=0.7)
            axis.set_ylim(bottom=0)
            axis.tick_params(labelsize=6.5, length=2, width=0.6, pad=1.5)
            for name, side in axis.spines.items():
                side.set_visible(name in ("left", "bottom"))
    return figure


def _mei(findings: Findings, session: str, units: Sequence[int]) -> Figure:
    arrays = findings.arrays[session]
    movie = arrays["mei"].shape[1] > 1
    return _clips(arrays, session, units) if movie else _images(arrays, session, units)


def _images(arrays: Arrays, session: str, units: Sequence[int]) -> Figure:
    across = 3
    title = f"{session}: most exciting image (left) and best reference (right), with rates"
    figure, axes = _sheet(title, -(-len(units) // across), 2 * across, 1.35, 1.55)
    for axis in axes.flat:
        axis.set_visible(False)
    for number, place in enumerate(units):
        pair = axes[number // across, 2 * (number % across) : 2 * (number % across) + 2]
        for axis, image, rate in zip(pair, ("mei", "reference_stimulus"), ("response", "reference"), strict=True):
            axis.set_visible(True)
            shown = arrays[image][place, 0]
            limit = float(np.abs(arrays["mei"][place]).max())
            axis.imshow(shown, cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest")
            axis.set_title(f"{arrays[rate][place] * float(arrays['rate_hz']):.1f}/s", fontsize=7.5, pad=3)
            _bare(axis)
        _cid(pair[0], int(arrays["cids"][place]))
    return figure


def _clips(arrays: Arrays, session: str, units: Sequence[int]) -> Figure:
    clips = arrays["mei"]
    frames = np.unique(np.linspace(0, clips.shape[1] - 1, _FRAMES).round().astype(int))
    # the frames that hold most of the contrast, oldest first
    strongest = np.sort(np.argsort((clips[list(units)] ** 2).mean((0, 2, 3)))[-_FRAMES:])
    frames = strongest if len(strongest) == _FRAMES else frames
    figure, axes = _sheet(f"{session}: most exciting clips, oldest frame first", len(units), len(frames), 1.1, 1.15)
    for axis, frame in zip(axes[0], frames, strict=True):
        back = (clips.shape[1] - 1 - frame) / float(arrays["rate_hz"]) * 1000
        axis.set_title(f"{-back:.0f} ms", fontsize=8, pad=4)
    for row, place in zip(axes, units, strict=True):
        limit = float(np.abs(clips[place]).max())
        for axis, frame in zip(row, frames, strict=True):
            axis.imshow(clips[place, frame], cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest")
            _bare(axis)
        _cid(row[0], int(arrays["cids"][place]))
    return figure


def _ablated(findings: Findings, session: str, units: Sequence[int]) -> Figure:
    rows = [(cid, row) for cid, row in findings.units[session].items() if row["bps"] is not None]
    rows = sorted(rows, key=lambda pair: -pair[1]["bps"])[units[0] : units[-1] + 1]
    height = max(2.2, 0.19 * len(rows) + 1.1)
    figure = Figure(figsize=(8.6, height))
    axes = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.09, right=0.98, top=1 - 0.62 / height, bottom=0.45 / height, wspace=0.06)
    figure.text(0.02, 1 - 0.1 / height, f"{session}: what behaviour adds", va="top", fontsize=11, weight="bold")
    place = np.arange(len(rows))
    for key, name, colour in (
        ("bps", "recorded", DATA), ("bps_mean", "its mean", BLUE), ("bps_shuffled", "of other trials", ORANGE)
    ):  # fmt: skip
        axes[0].plot([row[key] for _, row in rows], place, ".", color=colour, label=name, markersize=6)
    for kind, colour, offset in (("mean", BLUE, -0.12), ("shuffled", ORANGE, 0.12)):
        key = f"gain_over_{kind}"
        axes[1].plot([row[key] for _, row in rows], place + offset, ".", color=colour, markersize=6)
        for at, (_, row) in zip(place, rows, strict=True):
            if row[f"{key}_low"] is not None:
                axes[1].plot([row[f"{key}_low"], row[f"{key}_high"]], [at + offset] * 2, color=colour, linewidth=0.9)
    axes[1].axvline(0, color=GREY, linewidth=0.7)
    axes[0].set_yticks(place, [f"cid {cid}" for cid, _ in rows])
    axes[0].invert_yaxis()
    axes[0].set_xlabel("bits per spike", fontsize=8)
    axes[1].set_xlabel("gain of recorded behaviour, bits per spike, 95 %", fontsize=8)
    axes[0].legend(fontsize=7, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.2)
    for axis in axes:
        axis.tick_params(labelsize=7, length=2)
        for name, side in axis.spines.items():
            side.set_visible(name in ("left", "bottom"))
    return figure


_PAGES: dict[str, Page] = {
    "sta": _sta, "tuning": _tuning, "in-silico": _in_silico, "mei": _mei, "ablate-behavior": _ablated
}  # fmt: skip
