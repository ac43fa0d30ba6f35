"""Do the counts of every unit look like the spikes of one cell, recorded from start to end?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain.data.inspection.covariates import Values
from vctrain.data.inspection.findings import Findings, counted, listed

BLOCKS = 60
"""Parts of a recording for which spikes are counted separately."""
FASTEST_HZ = 500.0
"""No cell keeps up a mean rate like this: with a refractory time near 2 ms it would have to fire without pause."""
FEW_SPIKES = 100
_EXPECTED_OF_UNIT, _EXPECTED_OF_ALL = 20.0, 50.0
_SILENT_BLOCKS = BLOCKS // 5


class _Faults:
    """How often something was found in each unit, and where first."""

    def __init__(self, n_units: int) -> None:
        self.count = np.zeros(n_units, np.int64)
        self.first = np.full(n_units, -1, np.int64)

    def add(self, start: int, found: NDArray[np.bool_]) -> None:
        fresh = found.any(axis=0) & (self.first < 0)
        self.first[fresh] = start + found[:, fresh].argmax(axis=0)
        self.count += found.sum(axis=0)

    def said(self, cids: NDArray[np.int64]) -> str:
        """How often among `cids`, and where first; empty if never."""
        count, first = self.count[cids], self.first[cids]
        if not count.any():
            return ""
        unit = int(np.where(count > 0, first, np.iinfo(np.int64).max).argmin())
        return f"{counted(int(count.sum()), 'time')} (first at frame {first[unit]:,}, cid {cids[unit]})"


class CountSums:
    """Spikes of each unit in each of `BLOCKS` parts of a recording, and what is no count."""

    def __init__(self, n_frames: int, n_units: int) -> None:
        self.edges = np.linspace(0, n_frames, BLOCKS + 1).astype(np.int64)
        self.spikes = np.zeros((BLOCKS, n_units))
        """(BLOCKS, U), without the values that are no counts."""
        self.checksum = np.zeros(n_units)
        self.not_finite, self.negative, self.fractional = (_Faults(n_units) for _ in range(3))

    def add(self, start: int, values: Values) -> None:
        """Take in the counts (n, U) of the frames from `start`."""
        counts = values.astype(np.float64)
        if values.dtype.kind == "f":
            finite = np.isfinite(counts)
            if not finite.all():
                self.not_finite.add(start, ~finite)
                counts[~finite] = 0
            fractions = counts != np.rint(counts)
            if fractions.any():
                self.fractional.add(start, fractions)
        if (counts < 0).any():
            self.negative.add(start, counts < 0)
            counts[counts < 0] = 0
        frames = np.arange(start, start + len(counts))
        # Whole numbers below 2^53 add up exactly, so equal columns have equal sums in whatever order they are added.
        self.checksum += ((frames * 2654435761 >> 7) % 1021 + 1.0) @ counts
        first, last = np.searchsorted(self.edges, [start, start + len(counts) - 1], side="right").tolist()
        for block in range(first - 1, last):
            low, high = max(self.edges[block] - start, 0), self.edges[block + 1] - start
            self.spikes[block] += counts[low:high].sum(axis=0)


def judge_counts(sums: CountSums, cids: Sequence[int] | None, seconds: float | None, findings: Findings) -> None:
    """Says of the units `cids` (None: all) what does not look like the spikes of a cell; `seconds` is the duration."""
    chosen = np.arange(sums.spikes.shape[1]) if cids is None else np.asarray(cids, np.int64)
    if said := sums.not_finite.said(chosen):
        findings.problem(f"robs is not finite {said}", "bin the spikes again, or drop the units", blocks=True)
    if said := sums.negative.said(chosen):
        findings.problem(f"robs is negative {said}", "bin the spikes again, or drop the units", blocks=True)
    if said := sums.fractional.said(chosen):
        findings.problem(
            f"robs is no whole number {said}",
            "robs are spikes in a bin, neither rates nor smoothed; bin the spike times again",
        )
    spikes = sums.spikes[:, chosen]
    total = spikes.sum(axis=0)
    silent_for_all = _judge_pauses(sums, seconds, findings)
    _judge_lost(spikes[~silent_for_all & (np.diff(sums.edges) > 0)], chosen, findings)
    _judge_copies(sums.checksum[chosen], total, chosen, findings)
    if seconds:
        fast = chosen[total / seconds > FASTEST_HZ]
        if len(fast):
            findings.problem(
                f"{len(fast)} of {counted(len(chosen), 'unit')} faster than {FASTEST_HZ:g} Hz on average "
                f"(cid {listed(fast)})",
                "robs are spikes in a bin, not spikes a second; is the frame rate right?",
            )
    few = int(((total > 0) & (total < FEW_SPIKES)).sum())
    if few:
        findings.note(f"{counted(few, 'unit')} with fewer than {FEW_SPIKES} spikes; bits per spike will be noisy there")


def judge_dead(total: NDArray[np.float64], cids: Sequence[int], findings: Findings, what: str) -> list[int]:
    """The units that never fire, which is a problem; `total` are the spikes of `cids` in `what`."""
    dead = [cid for cid, spikes in zip(cids, total.tolist(), strict=True) if spikes == 0]
    if dead:
        never = f"{len(dead)} of {counted(len(cids), 'unit')} never fire in {what} (cid {listed(dead)})"
        findings.problem(never, "leave them out of cids: there is nothing to predict, and their score is undefined")
    return dead


def _judge_pauses(sums: CountSums, seconds: float | None, findings: Findings) -> NDArray[np.bool_]:
    """The blocks in which no unit at all fires although many spikes are expected, (BLOCKS,)."""
    everyone = sums.spikes.sum(axis=1)
    length = np.diff(sums.edges)
    expected = everyone.sum() / max(int(sums.edges[-1]), 1) * length
    silent: NDArray[np.bool_] = (everyone == 0) & (expected >= _EXPECTED_OF_ALL)
    if silent.any():
        first = int(silent.argmax())
        frames = int(length[silent].sum())
        lasting = f"{frames / sums.edges[-1] * (seconds or 0):.1f} s" if seconds else counted(frames, "frame")
        findings.problem(
            f"no unit fires for {lasting} in all, first from frame {sums.edges[first]:,} to {sums.edges[first + 1]:,}",
            "was the amplifier off, or spike sorting limited to a part? cut these frames, or give them trial_inds -1",
        )
    return silent


def _judge_lost(rows: NDArray[np.float64], cids: NDArray[np.int64], findings: Findings) -> None:
    """`rows` are the spikes (n, U) in the blocks in which the recording went on."""
    if len(rows) <= _SILENT_BLOCKS:
        return
    enough = rows.sum(axis=0) >= _EXPECTED_OF_UNIT * len(rows)
    fires = rows > 0
    late = np.where(fires.any(axis=0), fires.argmax(axis=0), 0)
    early = np.where(fires.any(axis=0), fires[::-1].argmax(axis=0), 0)
    said = []
    for unit in np.flatnonzero(enough & (np.maximum(late, early) >= _SILENT_BLOCKS)).tolist():
        share, which = (late[unit], "first") if late[unit] >= early[unit] else (early[unit], "last")
        said.append(f"{cids[unit]} in the {which} {share / len(rows):.0%}".replace("%", " %"))
    if said:
        findings.problem(
            f"{len(said)} of {counted(len(cids), 'unit')} silent for a large part of the recording "
            f"(cid {listed(said, 6)})",
            "lost or late cells: drop the cids, or say when they count with the filter missing_pct",
        )


def _judge_copies(
    checksum: NDArray[np.float64], total: NDArray[np.float64], cids: NDArray[np.int64], findings: Findings
) -> None:
    alike: dict[Any, list[int]] = defaultdict(list)
    for cid, key, spikes in zip(cids.tolist(), checksum.tolist(), total.tolist(), strict=True):
        if spikes >= FEW_SPIKES:
            alike[key, spikes].append(cid)
    copies = ["=".join(map(str, group)) for group in alike.values() if len(group) > 1]
    if copies:
        findings.problem(
            f"cids with the same counts in every frame: {listed(copies, 6)}",
            "keep one of each in cids; it counts twice",
        )
