"""How do the events of a run reach a sink: those that are there, and those still to come?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vctrain.config.resolve import read_settings
from vctrain.config.schema import LoggingConfig
from vctrain.evaluation.inspection import rows_of
from vctrain.evaluation.mirror.sinks import Sink, TensorBoardSink, WandbSink
from vctrain.evaluation.run_sheet import draw
from vctrain.runs.directory import read_run
from vctrain.runs.events import figures_of, read_events, subjects_of, that_hold
from vctrain.runs.files import write_atomically

SENT = "mirror.json"
"""In the run directory: up to which byte events.jsonl was handed over, by sink."""
WANDB, OFFLINE, TENSORBOARD = "wandb", "wandb-offline", "tensorboard"
ENDS = ("finished", "preempted", "interrupted", "failed")
_FACTS = ("val_bps_overall", "oracle_bps_overall", "fraction_of_oracle", "steps", "seconds", "error")


def open_sink(run_dir: Path, to: str) -> Sink:
    """The sink called ``to``; FaultError if it cannot be reached."""
    if to == TENSORBOARD:
        return TensorBoardSink(run_dir)
    settings = read_settings(run_dir / "config.yaml")
    mode = "offline" if to == OFFLINE else "online"
    return WandbSink(run_dir, read_run(run_dir), settings.model_dump(mode="json"), settings.logging, mode)


def replay(run_dir: Path, to: str, *, again: bool = False, wait: Callable[[], bool] | None = None) -> dict[str, int]:
    """Hand over the events of a run that ``to`` does not have yet (``again``: all); returns how many of which kind.

    ``wait`` waits for more events and says whether to look again. Steps that a resumed run took again are left out as
    far as that is known. What was handed over is remembered once the sink has taken everything. Raises FaultError if
    the sink cannot be reached.
    """
    settings = read_settings(run_dir / "config.yaml")
    planned = settings.trainer.max_epochs * settings.trainer.steps_per_epoch
    position = 0 if again else _sent(run_dir).get(to, 0)
    if wait is None and not read_events(run_dir, position)[0]:
        return {}
    sink, subjects = open_sink(run_dir, to), subjects_of(run_dir)
    counts: dict[str, int] = {}
    last: str | None = None
    going_on = True
    while going_on:
        going_on = wait is not None and wait()
        events, position = read_events(run_dir, position)
        for event in that_hold(events):
            kind = last = str(event["event"])
            counts[kind] = counts.get(kind, 0) + 1
            _hand_over(sink, event, subjects)
            if kind == "validated" and _has_picture(counts[kind], settings.logging):
                _picture(sink, run_dir, int(event["step"]), planned)
    sink.close(failed=last == "failed")
    write_atomically(run_dir / SENT, json.dumps(_sent(run_dir) | {to: position}) + "\n")
    return counts


def _hand_over(sink: Sink, event: Mapping[str, Any], subjects: Mapping[str, str]) -> None:
    if event["event"] == "validated":
        sink.log(int(event["step"]), figures_of(event, subjects))
    elif event["event"] in ENDS:
        facts = {name: event[name] for name in _FACTS if event.get(name) is not None}
        sink.summary({"state": "done" if event["event"] == "finished" else event["event"], **facts})


def _has_picture(validations: int, asked: LoggingConfig) -> bool:
    return bool(asked.plots_every) and (validations == 1 or validations % asked.plots_every == 0)


def _picture(sink: Sink, run_dir: Path, step: int, planned: int) -> None:
    run, rows = read_run(run_dir), rows_of(run_dir)
    if rows:
        sink.picture(step, "run", draw({**run, "run": str(run_dir), "steps_planned": planned}, rows))


def _sent(run_dir: Path) -> dict[str, int]:
    try:
        return dict(json.loads((run_dir / SENT).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}
