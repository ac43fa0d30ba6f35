"""How is a report of evaluated checkpoints put together, and written?"""

from __future__ import annotations

import datetime
import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

import vctrain
from vctrain.errors import UsageError
from vctrain.evaluation.evaluate import Question
from vctrain.evaluation.report import scores, tables
from vctrain.evaluation.report.checkpoint import checkpoint_sections
from vctrain.evaluation.report.page import Picture, Section, pictures, render
from vctrain.evaluation.report.page import picture as drawn
from vctrain.runs.directory import versions
from vctrain.runs.files import write_new
from vctrain.runs.reports import PAGE
from vctrain.training.engine import world

FIGURES = "figures"


def check_report(folder: Path) -> None:
    """UsageError, before anything is computed, if a report would replace another or has no place."""
    for path in (folder / PAGE, folder / FIGURES):
        if path.exists():
            raise UsageError(f"{path} exists; nothing was changed", hint="choose another --report")
    for place in (folder, *folder.parents):
        if place.exists():
            if not place.is_dir():
                raise UsageError(f"{place} is no folder", hint="choose another --report")
            return


def write_report(
    folder: Path,
    results: Sequence[Mapping[str, Any]],
    targets: Sequence[str],
    question: Question,
    argv: Sequence[str],
) -> list[Path]:
    """Write ``report.html``, which needs nothing beside it, and its pictures in ``figures/``; returns the files.

    ``results`` are those of `evaluate_all` for ``targets`` and ``question``; what a picture needs beyond them is
    predicted again for the units shown. Only the first of several processes writes. Raises UsageError if there is a
    report in ``folder``.
    """
    if world()[0] != 0:
        return []
    check_report(folder)
    labels = [label(number) for number in range(len(results))]
    sections = [
        _overview(results, labels),
        *_scores(results, labels),
        *(
            section
            for name, result, target in zip(labels, results, targets, strict=True)
            for section in checkpoint_sections(name, result, target, question)
        ),
        Section("Units", [tables.units(results, labels)]),
    ]
    text = render(_title(results), _about(results, labels, argv), sections)
    (folder / FIGURES).mkdir(parents=True)
    written = []
    for picture in pictures(sections):
        written.append(folder / FIGURES / f"{picture.name}.png")
        write_new(written[-1], lambda part, content=picture.png: _write(part, content))  # type: ignore[misc]
    write_new(folder / PAGE, lambda part: _write(part, text.encode("utf-8")))
    return [folder / PAGE, *written]


def label(number: int) -> str:
    """A, B, ... Z, AA, AB and so on.

    >>> label(0), label(25), label(26)
    ('A', 'Z', 'AA')
    """
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _title(results: Sequence[Mapping[str, Any]]) -> str:
    split = results[0]["split"]
    frames = "all trials" if split == "all" else f"{split} trials"
    what = "a checkpoint" if len(results) == 1 else f"{len(results)} checkpoints"
    return f"Evaluation of {what} on {frames}"


def _about(results: Sequence[Mapping[str, Any]], labels: Sequence[str], argv: Sequence[str]) -> list[tuple[str, str]]:
    written_by = {**{"vctrain": vctrain.__version__, "python": platform.python_version()}, **versions()}
    said = ", ".join(f"{name} {version}" for name, version in written_by.items() if version)
    null = {"evaluated": "the frames evaluated", "training": "the training frames"}[results[0]["null"]]
    rescaled = int(any(result.get("rescaled") is not None for result in results))
    facts = [
        *((name, f"{result['checkpoint']}") for name, result in zip(labels, results, strict=True)),
        ("null model", f"mean rate of each unit on {null}"),
        *(("rates", "rescaled: gain and offset of each unit that fit its training frames"),) * rescaled,
        ("command", shlex.join([Path(argv[0]).name, *argv[1:]])),
        ("written", f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"),
        ("versions", f"{said}, matplotlib {matplotlib.__version__}, metric {results[0]['metric_version']}"),
    ]
    hashes = [(f"SHA-256 of {name}", r["checkpoint_sha256"]) for name, r in zip(labels, results, strict=True)]
    return [*facts, *hashes]


def _overview(results: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> Section:
    section = Section("Figures in numbers", [tables.checkpoints(results, labels)])
    difference = tables.paired(results, labels)
    if difference is not None:
        section.items.append(difference)
    for name, result in zip(labels, results, strict=True):
        found = tables.sessions(result, name), tables.types(result, name), tables.ceilings(result, name)
        section.items.extend(table for table in found if table is not None)
        section.items.extend(f"{name}, note: {note}" for note in result["notes"])
    return section


def _scores(results: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> list[Section]:
    known = any(interval for result in results for *_, interval in scores.known_units(result))
    intervals = "bars: 95 % intervals from resampled trials" if known else "no intervals: none asked for, or few trials"
    compared = drawn(
        "sessions",
        "Sessions compared",
        f"Mean bits per spike of each session (diamonds; {intervals}), its units (dots) and the mean over sessions "
        "(dashed).",
        scores.sessions(results, labels),
    )
    units = Section("Units, best first", level=3)
    for name, result in zip(labels, results, strict=True):
        n = len(scores.known_units(result))
        said = f"Bits per spike of the {n} units of {name} that have a spike, by rank ({intervals}"
        said += ", cut where they leave the picture)." if known else ")."
        units.items.append(drawn(f"{name.lower()}-units", f"Units of {name}", said, scores.units(result)))
    return [Section("Bits per spike"), Section("Sessions compared", [compared], 3), units, _scatters(results, labels)]


def _scatters(results: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> Section:
    section = Section("Units of one checkpoint against those of another", level=3)
    if len(results) == 1:
        section.items.append("One checkpoint was evaluated: there is no other to compare it with.")
    for name, result in zip(labels[1:], results[1:], strict=True):
        section.items.append(_scatter(results[0], result, labels[0], name))
    return section


def _scatter(first: Mapping[str, Any], second: Mapping[str, Any], a: str, b: str) -> Picture | str:
    pairs = scores.joined(first, second)
    if not pairs:
        return f"{a} and {b} share no unit (session and cid) that has a value in both."
    said = f"Bits per spike of the {len(pairs)} units, by session and cid, that have a value in both; dashed: equal."
    same = all(
        first["sessions"][session][of][str(cid)] == second["sessions"][session][of][str(cid)]
        for session, cid, *_ in pairs
        for of in ("unit_frames", "unit_spikes")
    )
    if not same:
        said += " The two were not scored on the same frames; --paired does so."
    return drawn(f"{a.lower()}-{b.lower()}-units", f"{b} against {a}", said, scores.scatter(pairs, a, b))
