"""Which numbers stand in a report: of checkpoints, sessions, types of stimulus, units?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vctrain.evaluation.report.material import Responses
from vctrain.evaluation.report.page import Table
from vctrain.evaluation.report.parts import Part
from vctrain.evaluation.report.repeated import FIGURES, Psth

Result = Mapping[str, Any]


def figure(value: float | None) -> str:
    """A number with four decimals; a dash where there is none.

    >>> figure(0.51234), figure(None), figure(float("nan"))
    ('0.5123', '-', '-')
    """
    return "-" if value is None or not np.isfinite(value) else f"{value:.4f}"


def ends(interval: Sequence[float] | None) -> str:
    """An interval; empty where there is none."""
    return "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def checkpoints(results: Sequence[Result], labels: Sequence[str]) -> Table:
    """The overall figures of each checkpoint."""
    oracle = any(result["oracle_bps_overall"] is not None for result in results)
    rows = []
    for label, result in zip(labels, results, strict=True):
        counted = [f"{result[name]:,}" for name in ("n_units", "n_frames", "n_spikes")]
        row = [label, figure(result["bps_overall"]), ends(result["bps_overall_interval"])]
        row += [figure(result["bps_over_units"]), figure(result["bps_overall_clamped"]), *counted]
        if oracle:
            share = result["fraction_of_oracle"]
            row += [figure(result["oracle_bps_overall"]), "-" if share is None else f"{100 * share:.1f} %"]
        rows.append(row)
    columns = ["", "overall", "95 %", "over units", "negative as 0", "units", "frames", "spikes"]
    said = (
        "Bits per spike over the mean-rate null model: mean over sessions of means over units, with its interval; mean "
        "over all units; mean over sessions with negative values as 0, as earlier systems reported it"
    )
    if oracle:
        columns += ["oracle", "of oracle"]
        said += "; the same for the true rates of simulated units"
    return Table(columns, rows, f"{said}.")


def sessions(result: Result, label: str) -> Table:
    """The figures of each session of a checkpoint."""
    rows = []
    for name, session in result["sessions"].items():
        scored = session["n_units"] - session["n_units_without_spikes"]
        units = f"{session['n_units']}" if scored == session["n_units"] else f"{scored} of {session['n_units']}"
        counted = [units, f"{session['n_frames']:,}", f"{session['n_spikes']:,}", f"{session['n_trials']:,}"]
        rows.append([name, session["subject"], *counted, figure(session["bps"]), ends(session.get("interval"))])
    columns = ["session", "subject", "units", "frames", "spikes", "trials", "bits per spike", "95 %"]
    return Table(columns, rows, f"Sessions of {label}: mean bits per spike of the units that have a spike.", labels=2)


def types(result: Result, label: str) -> Table:
    """The figures of each type of stimulus."""
    rows = [
        [
            *(name, str(len(found["sessions"])), f"{found['n_frames']:,}", f"{found['n_spikes']:,}"),
            *(figure(found["bps_overall"]), figure(found["oracle_bps_overall"])),
        ]
        for name, found in result["types"].items()
    ]
    columns = ["type", "sessions", "frames", "spikes", "bits per spike", "oracle"]
    return Table(columns, rows, f"Types of stimulus of {label}, each with the null model of its own frames.")


def paired(results: Sequence[Result], labels: Sequence[str]) -> Table | None:
    """What --paired found; None without it."""
    rows = [
        [f"{label} minus {labels[0]}", figure(found["difference"]), ends(found["interval"])]
        + [f"{found['n_units_better']} of {found['n_units']}"]
        + ["-" if found[name] is None else f"{found[name]:.2g}" for name in ("p_bootstrap", "p_wilcoxon")]
        for label, result in zip(labels, results, strict=True)
        if (found := result.get("paired")) is not None
    ]
    columns = ["", "difference", "95 %", "units better", "p over trials", "p over units"]
    said = "Paired differences in bits per spike on the units and frames of both (bootstrap over trials; Wilcoxon)."
    return Table(columns, rows, said) if rows else None


def ceilings(result: Result, label: str) -> Table | None:
    """What --ceilings found; None without it."""
    if result.get("ceilings") is None:
        return None
    rows = [
        [
            *(name, kind, str(found["n_repeats"]), f"{found['n_units_with_value']} of {len(found['units'])}"),
            *(figure(found["mean"][of]) for of in FIGURES),
        ]
        for name, kinds in result["ceilings"]["sessions"].items()
        for kind, found in kinds.items()
    ]
    said = f"Ceilings of {label} from repeats, means over units. Twin and leave-one-out oracle: bits per spike."
    return Table(["session", "type", "repeats", "units", *FIGURES.values()], rows, said, labels=2)


def units(results: Sequence[Result], labels: Sequence[str]) -> Table:
    """Every unit of every checkpoint."""
    rows = [
        [
            *(label, name, cid, f"{session['unit_frames'][cid]:,}", f"{session['unit_spikes'][cid]:,}"),
            *(figure(bps), ends((session.get("unit_intervals") or {}).get(cid))),
        ]
        for label, result in zip(labels, results, strict=True)
        for name, session in result["sessions"].items()
        for cid, bps in session["units"].items()
    ]
    columns = ["", "session", "cid", "frames", "spikes", "bits per spike", "95 %"]
    return Table(columns, rows, f"Numbers of all {len(rows)} units", labels=3, folded=True)


def repeats(found: Responses, psth: Psth) -> Table:
    """The figures from repeats of the units shown."""
    rows = [
        [str(cid), str(int(psth.repeats[:, unit].max(initial=0)))]
        + [figure(float(psth.figures[name][unit])) for name in FIGURES]
        for unit, cid in enumerate(found.cids)
    ]
    said = (
        f"{found.session}, {psth.kind}: {psth.n_repeats} repeats, a dash where they do not suffice. Twin and "
        "leave-one-out oracle: bits per spike."
    )
    return Table(["cid", "repeats", *FIGURES.values()], rows, said)


def alignments(parts: Sequence[Part]) -> Table:
    """Adapters in numbers."""
    rows = []
    for part in parts:
        if part.alignment is None:
            continue
        (down, skew_y), (skew_x, across) = part.alignment.matrix.tolist()
        shift = [f"{value:+.3f}" for value in part.alignment.shift.tolist()]
        sigma = "-" if part.alignment.sigma is None else f"{part.alignment.sigma:.3f}"
        shear = "-" if skew_y == skew_x == 0 else f"{skew_y:.3f}, {skew_x:.3f}"
        rows.append([part.session, f"{down:.3f}", f"{across:.3f}", *shift, shear, sigma])
    columns = ["session", "scale down", "scale across", "shift down", "shift across", "shear", "blur, pixels"]
    return Table(columns, rows, "Adapters; scale and shift in halves of the patch.")
