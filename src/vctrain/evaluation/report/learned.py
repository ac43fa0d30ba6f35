"""How do the learned parts of a twin look: temporal and spatial kernels, adapters, places of readouts?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vctrain.evaluation.report.parts import Array, Filters, Kernels, Part
from vctrain.evaluation.style import INK, MUTED, PALETTE, SMALL, colours, title

MOST_KERNELS = 24
MOST_FIELDS = 12
_WIDTH = 10.0
_EXCITED, _INHIBITED = PALETTE[0], PALETTE[1]


def kernels(found: Kernels, rate_hz: float) -> Figure:
    """Each kernel against time before the frame, all on one scale; the first 24 where there are more."""
    count = min(len(found.values), MOST_KERNELS)
    columns = min(count, 6)
    rows = -(-count // columns)
    figure = Figure(figsize=(_WIDTH, 0.9 + 1.35 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    time = -np.arange(found.values.shape[1]) * 1000 / rate_hz
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    for number, axes in enumerate(grid.flat[:count]):
        title(axes, f"kernel {number}")
        axes.axhline(0, color=MUTED, lw=0.6)
        axes.plot(time, found.values[number], color=PALETTE[0], lw=1.2, marker=".", ms=3)
        if number + columns >= count:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("ms from the frame", fontsize=SMALL)
    for axes in grid[:, 0]:
        axes.set_ylabel("weight", fontsize=8)
    return figure


def filters(found: Filters) -> Figure:
    """Spatial kernels as images, each filter on a scale of its own (red: positive): a column of its inputs, or, with
    one input, all side by side. The first 16 filters and 12 inputs, or 48 of one input, where there are more."""
    alone = found.values.shape[1] == 1
    shown = found.values[:48] if alone else found.values[:16, :12]
    shown = shown / np.maximum(np.abs(shown).max((1, 2, 3), keepdims=True), 1e-12)
    columns = min(len(shown), 16)
    tiles = (shown if alone else shown.swapaxes(0, 1)).reshape(-1, *shown.shape[2:])
    rows = -(-len(tiles) // columns)
    mosaic, middles = _side_by_side(tiles, rows, columns)
    inch = min(0.75, 8.8 / columns)
    figure = Figure(figsize=(max(6.0, inch * columns + 1.2), inch * rows + 0.9), layout="constrained")
    axes = figure.subplots()
    axes.set_anchor("W")
    of, inputs = found.values.shape[:2]
    said = f"{len(shown)} of {of} filters" + ("" if alone else f", {shown.shape[1]} of {inputs} input channels")
    title(axes, f"First spatial kernels: {said}" + (", strongest tap in time" if found.taps > 1 else ""))
    axes.imshow(mosaic, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_yticks(middles[0], [str(row * columns if alone else row) for row in range(rows)])
    axes.set_xticks(middles[1], [str(column) for column in range(columns)])
    axes.set_xlabel("filter", fontsize=SMALL)
    axes.set_ylabel("first filter" if alone else "input channel", fontsize=SMALL)
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    return figure


def _side_by_side(tiles: Array, rows: int, columns: int) -> tuple[Array, tuple[Array, Array]]:
    """Images ``(n, h, w)`` row by row with a pixel between them, and the middles of rows and columns."""
    height, width = (side + 1 for side in tiles.shape[1:])
    mosaic = np.full((rows * height + 1, columns * width + 1), np.nan)
    for number, tile in enumerate(tiles):
        top, left = number // columns * height + 1, number % columns * width + 1
        mosaic[top : top + height - 1, left : left + width - 1] = tile
    return mosaic, (np.arange(rows) * height + height / 2, np.arange(columns) * width + width / 2)


def fields(parts: Sequence[Part], most: int = MOST_FIELDS) -> Figure:
    """Where the masks of each session's units lie in its patch, outlined at one standard deviation; the first ``most``
    sessions."""
    shown = parts[:most]
    columns = min(max(len(shown), 3), 4 if most <= MOST_FIELDS else 6)
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(_WIDTH, 0.4 + 11.0 / columns * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for part, axes in zip(shown, grid.flat, strict=False):
        _field(axes, part)
    return figure


def _field(axes: Axes, part: Part) -> None:
    title(axes, part.session, size=8.5)
    axes.add_patch(Rectangle((-1, -1), 2, 2, fill=False, color=INK, lw=0.9))
    if part.alignment is not None:
        axes.plot(*part.alignment.outline().T[::-1], color=MUTED, lw=0.8, ls="--")
    for masks in part.masks:
        hue = _INHIBITED if masks.kind == "inhibitory" else _EXCITED
        axes.add_collection(LineCollection(list(masks.outlines[..., ::-1]), colors=hue, lw=0.7, alpha=0.5))
        axes.plot(masks.centres[:, 1], masks.centres[:, 0], ".", color=hue, ms=4, label=masks.kind or None)
    if len(part.masks) > 1:
        axes.legend(fontsize=6.5, frameon=False, loc="lower left")
    reach = 1.0 if part.alignment is None else max(1.0, float(np.abs(part.alignment.outline()).max()))
    _as_patch(axes, reach + 0.15)


def _as_patch(axes: Axes, reach: float) -> None:
    """Axes over a patch, row 0 above."""
    axes.set_xlim(-reach, reach)
    axes.set_ylim(reach, -reach)
    axes.set_aspect("equal")
    axes.set_xticks([-1, 0, 1])
    axes.set_yticks([-1, 0, 1])


def adapters(parts: Sequence[Part]) -> Figure:
    """What part of its patch each session's grid covers, and scale, shift and blur of each."""
    known = [part for part in parts if part.alignment is not None]
    labelled = len(known) <= 40
    figure = Figure(figsize=(_WIDTH, max(3.3, min(1.3 + 0.24 * len(known), 12.0))), layout="constrained")
    grid = figure.add_gridspec(1, 4, width_ratios=[1.5, 1, 1, 1])
    shown = colours([part.session for part in known])
    patch = figure.add_subplot(grid[0])
    title(patch, "Part of the patch on the grid")
    patch.set_anchor("N")
    patch.add_patch(Rectangle((-1, -1), 2, 2, fill=False, color=INK, lw=0.9))
    outlines = [part.alignment.outline() for part in known if part.alignment is not None]
    for part, outline in zip(known, outlines, strict=True):
        patch.plot(outline[:, 1], outline[:, 0], color=shown[part.session], lw=1.1, alpha=0.8)
    _as_patch(patch, max(1.0, *(float(np.abs(outline).max()) for outline in outlines)) + 0.15)
    rows = np.arange(len(known))
    panels = [figure.add_subplot(grid[column]) for column in (1, 2, 3)]
    for axes, name in zip(panels, ("scale", "shift", "blur, stimulus pixels"), strict=True):
        title(axes, name[0].upper() + name[1:], grid=True)
        axes.set_ylim(len(known) - 0.5, -0.5)
        axes.set_yticks(rows, [part.session if labelled and axes is panels[0] else "" for part in known], fontsize=6.5)
    for row, part in zip(rows, known, strict=True):
        assert part.alignment is not None
        hue = shown[part.session]
        scale = np.linalg.norm(part.alignment.matrix, axis=0)
        for axes, pair in ((panels[0], scale), (panels[1], part.alignment.shift)):
            axes.plot(pair[0], row, "^", color=hue, ms=5, label="down" if row == 0 else None)
            axes.plot(pair[1], row, ">", color=hue, ms=5, mfc="white", label="across" if row == 0 else None)
        if part.alignment.sigma is not None:
            panels[2].plot(part.alignment.sigma, row, "o", color=hue, ms=5)
    panels[0].legend(fontsize=6.5, frameon=False, loc="best")
    panels[1].axvline(0, color=MUTED, lw=0.6)
    return figure
