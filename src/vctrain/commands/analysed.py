"""How are the findings of an analysis shown as a table: which figures of a unit, and what sums them up?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vctrain import console

Columns = Sequence[tuple[str, str, str]]
"""Head, key of a unit's figure, format."""

_STA: Columns = (
    ("spikes", "n_spikes", ",d"),
    ("STA lag", "sta_peak_lag", "d"),
    ("SNR", "sta_snr", ".2f"),
    ("model", "sta_snr_model", ".2f"),
    ("similar", "sta_similarity", ".2f"),
    ("STE lag", "ste_peak_lag", "d"),
    ("SNR", "ste_snr", ".2f"),
    ("model", "ste_snr_model", ".2f"),
    ("similar", "ste_similarity", ".2f"),
    ("y", "rf_y_data", ".1f"),
    ("x", "rf_x_data", ".1f"),
)
_TUNING: Columns = (
    ("spikes", "n_spikes", ",d"),
    ("lag", "peak_lag", ".2f"),
    ("orientation", "orientation", ".1f"),
    ("model", "orientation_model", ".1f"),
    ("OSI", "osi", ".2f"),
    ("model", "osi_model", ".2f"),
    ("SF", "frequency", ".3g"),
    ("model", "frequency_model", ".3g"),
    ("modulation", "modulation", ".2f"),
    ("model", "modulation_model", ".2f"),
)
_IN_SILICO: Columns = (
    ("orientation", "orientation", ".1f"),
    ("OSI", "osi", ".2f"),
    ("direction", "direction", ".1f"),
    ("DSI", "dsi", ".2f"),
    ("cycles/pixel", "frequency", ".3f"),
    ("F1/F0", "f1_f0", ".2f"),
    ("largest/s", "largest_hz", ".1f"),
    ("grey/s", "grey_hz", ".1f"),
)
_MEI: Columns = (
    ("rate/s", "response_hz", ".1f"),
    ("grey/s", "grey_hz", ".1f"),
    ("best reference/s", "reference_hz", ".1f"),
    ("of", "n_references", "d"),
    ("ratio", "over_reference", ".2f"),
    ("exceeds", "exceeds", ""),
)
_ABLATED: Columns = (
    ("spikes", "n_spikes", ",d"),
    ("bps", "bps", ".4f"),
    ("mean", "bps_mean", ".4f"),
    ("gain", "gain_over_mean", ".4f"),
    ("low", "gain_over_mean_low", ".4f"),
    ("high", "gain_over_mean_high", ".4f"),
    ("shuffled", "bps_shuffled", ".4f"),
    ("gain", "gain_over_shuffled", ".4f"),
    ("low", "gain_over_shuffled_low", ".4f"),
    ("high", "gain_over_shuffled_high", ".4f"),
)
_COLUMNS = {"sta": _STA, "tuning": _TUNING, "in-silico": _IN_SILICO, "mei": _MEI, "ablate-behavior": _ABLATED}


def show(name: str, result: Mapping[str, Any]) -> None:
    """A table with a row a unit, and a line about all of them."""
    columns = _COLUMNS["in-silico" if result["settings"].get("in_silico") else name]
    rows = [
        [session, cid, *(_cell(row[key], form) for _, key, form in columns)]
        for session, own in result["sessions"].items()
        for cid, row in own["units"].items()
    ]
    console.table(
        f"{result['checkpoint']}, split {result['split']}", ["session", "cid", *(c[0] for c in columns)], rows
    )
    console.result(_LINES[name](result["overall"]))


def _cell(value: Any, form: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format(value, form)


def _sta_line(overall: Mapping[str, Any]) -> str:
    average, energy = (_cell(overall[f"median_{kind}_similarity"], ".2f") for kind in ("sta", "ste"))
    return f"{overall['n_units']} units; median similarity of data and model: average {average}, energy {energy}"


def _tuning_line(overall: Mapping[str, Any]) -> str:
    osi = f"{overall['n_units']} units; median OSI {_cell(overall['median_osi'], '.2f')}"
    if "median_f1_f0" in overall:
        return f"{osi}, F1/F0 {_cell(overall['median_f1_f0'], '.2f')}"
    apart = _cell(overall["median_orientation_difference"], ".1f")
    return f"{osi}, of the model {_cell(overall['median_osi_model'], '.2f')}; orientations {apart} degrees apart"


def _mei_line(overall: Mapping[str, Any]) -> str:
    ratio = _cell(overall["median_over_reference"], ".2f")
    return f"{overall['n_exceeding']} of {overall['n_units']} units exceed their best reference; median ratio {ratio}"


def _ablated_line(overall: Mapping[str, Any]) -> str:
    words = [f"bps_overall {overall['bps_overall']:.4f}" if overall["bps_overall"] is not None else "bps_overall -"]
    for kind, what in (("mean", "mean behaviour"), ("shuffled", "that of other trials")):
        gain = overall[f"gain_over_{kind}"]
        ends = "" if gain["interval"] is None else f" [{gain['interval'][0]:.4f}, {gain['interval'][1]:.4f}]"
        words.append(f"gain over {what} {_cell(gain['difference'], '.4f')}{ends}")
    return "; ".join(words)


_LINES = {"sta": _sta_line, "tuning": _tuning_line, "mei": _mei_line, "ablate-behavior": _ablated_line}
