"""How do the events of a run reach a sink: those that are there, and those still to come?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vctrain.config.resolve import read_settings
from vctrain.evaluation.mirror.sinks import Sink, TensorBoardSink, WandbSink
from vctrain.runs.directory import read_run
from vctrain.runs.events import figures_of, read_events, subjects_of, that_hold
from vctrain.runs.files import write_atomically
from vctrain.runs.reports import newest_report
from vctrain.runs.spans import BESIDE

SENT = "mirror.json"
"""In the run directory: up to which byte events.jsonl was handed over, and which report, by sink."""
WANDB, OFFLINE, TENSORBOARD = "wandb", "wandb-offline", "tensorboard"
ENDS = ("finished", "preempted", "interrupted", "failed")
_FACTS = ("val_bps_overall", "oracle_bps_overall", "fraction_of_oracle", "steps", "seconds", "error")
_REPORTS = "reports"


@dataclass
class HandedOver:
    """What a sink was given."""

    events: dict[str, int] = field(default_factory=dict)
    """How many of which kind."""
    report: Path | None = None
    gone: list[str] = field(default_factory=list)
    """Pictures that events name and the run directory does not hold any more."""


def open_sink(run_dir: Path, to: str) -> Sink:
    """The sink called ``to``; FaultError if it cannot be reached."""
    if to == TENSORBOARD:
        return TensorBoardSink(run_dir)
    settings = read_settings(run_dir / "config.yaml")
    mode = "offline" if to == OFFLINE else "online"
    return WandbSink(run_dir, read_run(run_dir), settings.model_dump(mode="json"), settings.logging, mode)


def replay(run_dir: Path, to: str, *, again: bool = False, wait: Callable[[], bool] | None = None) -> HandedOver:
    """Hand over the events of a run that ``to`` does not have yet (``again``: all), and the run's newest report.

    ``wait`` waits for more events and says whether to look again. Steps that a resumed run took again are left out as
    far as that is known. What was handed over is remembered once the sink has taken everything. Raises FaultError if
    the sink cannot be reached.
    """
    done, sent = HandedOver(), {} if again else _sent(run_dir)
    position = int(sent.get(to, 0))
    known = sent.get(_REPORTS, {}).get(to)
    page, digest = _report_for(run_dir, to, known)
    if wait is None and page is None and not read_events(run_dir, position)[0]:
        return done
    sink, subjects = open_sink(run_dir, to), subjects_of(run_dir)
    last: str | None = None
    going_on = True
    while going_on:
        going_on = wait is not None and wait()
        events, position = read_events(run_dir, position)
        for event in that_hold(events):
            kind = str(event["event"])
            last = last if kind in BESIDE else kind
            done.events[kind] = done.events.get(kind, 0) + 1
            _hand_over(sink, event, subjects, run_dir, done)
    page, digest = _report_for(run_dir, to, known)
    if page is not None and sink.report(int(read_run(run_dir).get("step") or 0), page):
        done.report = page
    sink.close(failed=last == "failed")
    sent = _sent(run_dir)
    reports = {**sent.get(_REPORTS, {}), **({to: digest} if done.report else {})}
    write_atomically(run_dir / SENT, json.dumps({**sent, to: position, _REPORTS: reports}) + "\n")
    return done


def _hand_over(
    sink: Sink, event: Mapping[str, Any], subjects: Mapping[str, str], run_dir: Path, done: HandedOver
) -> None:
    if event["event"] == "validated":
        sink.log(int(event["step"]), figures_of(event, subjects))
    elif event["event"] == "pictures":
        for name, file in event["files"].items():
            if (run_dir / file).is_file():
                sink.picture(int(event["step"]), f"pictures/{name}", run_dir / file)
            else:
                done.gone.append(str(file))
    elif event["event"] in ENDS:
        facts = {name: event[name] for name in _FACTS if event.get(name) is not None}
        sink.summary({"state": "done" if event["event"] == "finished" else event["event"], **facts})


def _report_for(run_dir: Path, to: str, known: str | None) -> tuple[Path | None, str | None]:
    """The newest report of a run and its digest; None where ``to`` shows none, or has it: that of digest ``known``."""
    page = None if to == TENSORBOARD else newest_report(run_dir)
    digest = None if page is None else hashlib.sha256(page.read_bytes()).hexdigest()
    return (None, None) if digest == known else (page, digest)


def _sent(run_dir: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((run_dir / SENT).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}
