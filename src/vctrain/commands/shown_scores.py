"""How are the figures of an evaluation shown: a table, and lines for overall figures, ceilings and comparisons?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vctrain import console
from vctrain.commands.render import figure, share


def show_result(result: Mapping[str, Any], by: str, baseline: str) -> None:
    """Notes on one checkpoint, and, unless JSON is asked for, its figures: a row for each unit, session, subject or
    type, ceilings where they were asked for, and the comparison with ``baseline`` where there is one."""
    for text in result["notes"]:
        console.note(text)
    if result["reused"]:
        console.note(f"reused {', '.join(result['reused'])}; --fresh computes anew")
    if console.json_mode():
        return
    _show_scores(result, by)
    if "ceilings" in result:
        _show_ceilings(result["ceilings"])
    if "paired" in result:
        _show_paired(baseline, result["paired"])


def _show_scores(result: Mapping[str, Any], by: str) -> None:
    """The figures of one checkpoint as a table with a row for each unit, session, subject or type."""
    columns, rows = _ROWS[by](result)
    console.table(f"{result['checkpoint']}, split {result['split']}", columns, rows)
    overall = f"bps_overall {figure(result['bps_overall'])}{_ends(result['bps_overall_interval'])}"
    if result["fraction_of_oracle"] is not None:
        overall += f", {share(result['fraction_of_oracle'])} of the oracle's {figure(result['oracle_bps_overall'])}"
    console.result(overall)
    counted = f"{result['n_units']} units, {result['n_frames']:,} frames, {result['n_spikes']:,} spikes"
    over_units, clamped = figure(result["bps_over_units"]), figure(result["bps_overall_clamped"])
    console.result(f"{counted}; over units {over_units}, negative values as 0 {clamped}")


def _by_session(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for name, session in result["sessions"].items():
        scored = session["n_units"] - session["n_units_without_spikes"]
        units = str(session["n_units"]) if scored == session["n_units"] else f"{scored} of {session['n_units']}"
        ends = _ends(session.get("interval")).strip()
        rows.append([name, units, str(session["n_frames"]), str(session["n_spikes"]), figure(session["bps"]), ends])
    return ["session", "units", "frames", "spikes", "bps", "95 %"], rows


def _by_unit(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for name, session in result["sessions"].items():
        for cid, bps in session["units"].items():
            ends = _ends((session.get("unit_intervals") or {}).get(cid)).strip()
            frames, spikes = str(session["unit_frames"][cid]), str(session["unit_spikes"][cid])
            rows.append([name, cid, frames, spikes, figure(bps), ends])
    return ["session", "cid", "frames", "spikes", "bps", "95 %"], rows


def _by_subject(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [name, str(len(found["sessions"])), str(found["n_units"]), figure(found["bps"])]
        for name, found in result["subjects"].items()
    ]
    return ["subject", "sessions", "units", "bps"], rows


def _by_type(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for name, found in result["types"].items():
        oracle = "" if found["fraction_of_oracle"] is None else share(found["fraction_of_oracle"])
        counted = [str(len(found["sessions"])), str(found["n_frames"]), str(found["n_spikes"])]
        rows.append([name, *counted, figure(found["bps_overall"]), oracle])
    return ["type", "sessions", "frames", "spikes", "bps", "of oracle"], rows


_ROWS = {"session": _by_session, "unit": _by_unit, "subject": _by_subject, "type": _by_type}


def _show_paired(baseline: str, found: Mapping[str, Any]) -> None:
    better = f"{found['n_units_better']} of {found['n_units']} units better"
    console.result(
        f"minus {baseline}: {figure(found['difference'])}{_ends(found['interval'])}, {better}; "
        f"p {found['p_bootstrap']:.2g} over trials, {found['p_wilcoxon']:.2g} over units (Wilcoxon)"
    )


def _show_ceilings(found: Mapping[str, Any]) -> None:
    names = ("cc_norm", "cc_max", "cc_abs", "feve", "single_trial", "bps", "psth_oracle_bps")
    rows = []
    for session, types in found["sessions"].items():
        for kind, of_type in types.items():
            units = f"{of_type['n_units_with_value']} of {len(of_type['units'])}"
            counted = [str(of_type["n_repeats"]), str(of_type["n_bins"]), units]
            rows.append([session, kind, *counted, *(figure(of_type["mean"][name]) for name in names)])
    columns = ["session", "type", "repeats", "bins", "units", *(name.replace("_", " ") for name in names)]
    console.table("ceilings from repeats, means over units", columns, rows)
    overall = found["overall"]
    console.result(f"cc_norm {figure(overall['cc_norm'])}, feve {figure(overall['feve'])}")


def _ends(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.4f}, {interval[1]:.4f}]"
