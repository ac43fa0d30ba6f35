"""How are recordings, sessions and what a config makes of them shown to people?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vctrain import console
from vctrain.commands.render import duration, share
from vctrain.data.inspection.findings import listed

Facts = Mapping[str, Any]


def show_dset(facts: Facts) -> None:
    """The covariates of one recording, and in words what they hold."""
    rows = [
        [
            covariate["name"],
            covariate["dtype"],
            _sides(covariate["shape"]) or "one number",
            _number(covariate["min"]),
            _number(covariate["max"]),
            str(covariate["not_finite"]),
        ]
        for covariate in facts["covariates"]
    ]
    columns = ["covariate", "type", "shape", "min", "max", "not finite"]
    console.table(f"{facts['session']} {facts['type']}", columns, rows)
    console.result("")
    metadata = [("metadata", f"{key}: {console.to_json(value)}") for key, value in facts["metadata"].items()]
    _lines([*_in_words(facts), *metadata])


def show_recordings(recordings: Iterable[Facts]) -> None:
    """One row for each recording."""
    shared = {"type": "{}", "size": "{} pixels", "Hz": "{} Hz"}
    show_rows("recording", [_row(facts) for facts in recordings], shared)


def show_rows(noun: str, rows: Sequence[Mapping[str, str]], shared: Mapping[str, str]) -> None:
    """A table of `rows` by column; what all say alike of the columns `shared` stands above, in these words."""
    alike = {name: rows[0][name] for name in shared if len({row[name] for row in rows}) == 1}
    columns = [name for name in rows[0] if name not in alike]
    said = [shared[name].format(value) for name, value in alike.items() if value != "-"]
    title = ", ".join([f"{len(rows)} {noun}{'s'[: len(rows) != 1]}", *said])
    console.table(title, columns, [[row[name] for name in columns] for row in rows])


def _row(facts: Facts) -> dict[str, str]:
    units, trials, eye = facts["units"], facts["trials"], facts["eye"]
    lasts = f"{facts['frames']:,} frames" if facts["seconds"] is None else duration(facts["seconds"])
    return {
        "session": facts["session"],
        "type": facts["type"],
        "lasts": lasts,
        "size": _sides(facts["size"]),
        "Hz": _number(facts["rate_hz"]),
        "units": "-" if units is None else str(units["n"]),
        "mean Hz": "-" if units is None else _number(units["mean_rate_hz"], ".2f"),
        "trials": "-" if trials is None else str(trials["n"]),
        "tracked": "-" if eye is None else share(eye["valid_fraction"]),
    }


def show_configured(facts: Facts) -> None:
    """What training would see of the sessions of a config, and by what settings."""
    sessions = facts["sessions"]
    opened = [session["opened"] for session in sessions if session["opened"] is not None]
    splits = _distinct(split for seen in opened for split in seen["scored"])
    reasons = _distinct(reason for seen in opened for reason, n in seen["dropped"].items() if n)
    filtered = any(seen["missing_pct"] is not None for seen in opened)
    columns = ["session", "units", "Hz", *splits, *reasons, *["missing"] * filtered, "behavior"]
    rows = [_configured_row(session, splits, reasons, filtered) for session in sessions]
    dropped = f"; dropped: {', '.join(reasons)}" if reasons else ""
    dropped += "; of units, by missing_pct: missing" * filtered
    console.table(f"frames scored with a context of {facts['context']}{dropped}", columns, rows)
    console.result("")
    _lines(_settings_of(sessions))


def _configured_row(session: Facts, splits: Sequence[str], reasons: Sequence[str], filtered: bool) -> list[str]:
    seen, cids = session["opened"], session["cids"]
    units = "all" if cids is None else str(len(cids))
    if seen is None:
        return [session["session"], units, *["-"] * (2 + len(splits) + len(reasons) + filtered)]
    counts = [seen["scored"].get(split) for split in splits] + [seen["dropped"].get(reason) for reason in reasons]
    lost = seen["missing_pct"] and share(seen["missing_pct"]["fraction_dropped"])
    return [
        session["session"],
        units,
        f"{seen['rate_hz']:g}",
        *("-" if n is None else f"{n:,}" for n in counts),
        *[lost or "-"] * filtered,
        str(seen["behavior_dim"]),
    ]


def _settings_of(sessions: Sequence[Facts]) -> list[tuple[str, str]]:
    """What is done to the covariates, and how trials are split; once for sessions that agree."""
    said: dict[tuple[str, str], list[str]] = {}
    for session in sessions:
        for name, text in _settings(session):
            said.setdefault((name, text), []).append(session["session"])
    everywhere = len(sessions)
    lines = [
        (name, text if len(names) == everywhere else f"{text}  ({listed(names, 3)})")
        for (name, text), names in said.items()
    ]
    order = _distinct(name for name, _ in lines)
    return sorted(lines, key=lambda line: order.index(line[0]))


def _settings(session: Facts) -> list[tuple[str, str]]:
    sampling, split, missing_pct = session["sampling"], session["split"], session["missing_pct"]
    movie = ", ".join(next(iter(op)) for op in session["transforms"]["stim"]) or "as stored"
    signals = []
    for signal in session["transforms"]["behavior"]:
        ops = ", ".join(next(iter(op)) for op in signal["ops"])
        signals.append(f"{signal['source']} ({ops})" if ops else signal["source"])
    rates = f"{sampling['source_rate']:g} to {sampling['target_rate']:g} Hz" if sampling["factor"] > 1 else "as stored"
    fractions = ", ".join(f"{fraction:g}" for fraction in split["train_val_split"])
    filters = [] if missing_pct is None else [("filters", f"missing_pct below {missing_pct['threshold']:g}")]
    return [
        ("movie", movie),
        ("behavior", " + ".join(signals) or "none"),
        ("sampling", rates),
        *filters,
        ("split", f"{fractions} of trials, seed {split['seed']}"),
    ]


def _in_words(facts: Facts) -> list[tuple[str, str]]:
    """What is said of a recording in words."""
    lines = [("frames", f"{facts['frames']:,}, {duration(facts['seconds'])} at {_number(facts['rate_hz'])} Hz")]
    units, trials, time, eye, movie = (facts[name] for name in ("units", "trials", "time", "eye", "movie"))
    if units is not None:
        rates = ""
        if units["rates_hz"]:
            lowest, highest = min(units["rates_hz"]), max(units["rates_hz"])
            rates = f", mean rate {units['mean_rate_hz']:.2f} Hz ({lowest:.2f} to {highest:.2f})"
        lines.append(("units", f"{units['n']}{rates}"))
    if trials is not None and trials["n"]:
        unit = "s" if trials["length_in"] == "seconds" else "frames"
        lengths = f"{trials['median']:.3g} {unit} (median; {trials['shortest']:.3g} to {trials['longest']:.3g})"
        lines.append(("trials", f"{trials['n']} of {lengths}"))
    if time is not None and time["between_trials"]["gaps"]:
        pauses = time["between_trials"]
        lines.append(("pauses", f"{pauses['gaps']} between trials, {duration(pauses['seconds'])} in all"))
    if eye is not None:
        unit = "s" if eye["loss_in"] == "seconds" else "frames"
        lost = f", lost {eye['losses']:,} times, for {eye['longest_loss']:.3g} {unit} at most" if eye["losses"] else ""
        lines.append(("tracked", f"{share(eye['valid_fraction'])}{lost}"))
    if movie is not None:
        lines.append(("movie", f"mean grey {movie['mean']:.1f}, contrast {movie['contrast']:.2f}"))
    return [*lines, ("fingerprint", facts["fingerprint"] or "-")]


def _lines(lines: Sequence[tuple[str, str]]) -> None:
    for name, text in lines:
        console.result(f"{name:<13}{text}")


def _distinct(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _number(value: float | None, form: str = "g") -> str:
    return "-" if value is None else format(value, form)


def _sides(shape: Sequence[int] | None) -> str:
    return "-" if shape is None else "x".join(map(str, shape))
