"""How does a run go on: from which checkpoint, with which settings, and what is the same as before?"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vctrain import console
from vctrain.config.layers import leaves
from vctrain.config.resolve import read_provenance, read_settings, render
from vctrain.config.schema import LoggingConfig, Settings
from vctrain.data.torchfile.reading import read_torch_file
from vctrain.errors import ContractError, UsageError
from vctrain.runs import directory
from vctrain.runs.checkpoint_files import LAST, Found, is_validated, newest_good, remove_parts
from vctrain.runs.checkpoints import Checkpoint, read_checkpoint
from vctrain.runs.events import read_events
from vctrain.runs.files import write_atomically
from vctrain.training.engine import world
from vctrain.training.fit import carry_out, with_absolute_paths
from vctrain.training.prepare import prepare
from vctrain.training.recording import keeps_records, owned

MAY_CHANGE = (
    "trainer.max_epochs",
    "trainer.devices",
    "trainer.nodes",
    "trainer.accelerator",
    "trainer.compile",
    "trainer.silence_minutes",
    "checkpoint.every_n_steps",
    "checkpoint.every_n_minutes",
    "data.path",
    "data.root",
    "data.residency",
    *(f"logging.{name}" for name in LoggingConfig.model_fields),
)
"""What a resumed run may change: how long, on what, how often it saves, where the same recordings lie now, and where
its records are shown."""
_FITTED = ("trainer.max_epochs", "trainer.steps_per_epoch", "trainer.measured_step_seconds")
_ONLY_HOW_TO_BEGIN = ("preset", "simulation", "start")


@dataclass(frozen=True)
class Change:
    """A setting that differs from that of the run."""

    path: str
    old: Any
    new: Any
    source: str


def changes(stored: Settings, wanted: Settings, sources: Mapping[str, str]) -> list[Change]:
    """What of ``wanted`` is not as in ``stored``, where it matters to a run that has begun."""
    old, new = (dict(leaves(settings.model_dump(mode="json"))) for settings in (stored, wanted))
    measured = stored.trainer.measured_step_seconds is not None and wanted.trainer.measured_step_seconds is None
    if measured and stored.trainer.max_minutes == wanted.trainer.max_minutes:
        # the same command again: what it measured the first time holds
        new |= {path: old[path] for path in _FITTED}
    differing = [path for path in (*old, *(path for path in new if path not in old)) if old.get(path) != new.get(path)]
    return [
        Change(path, old.get(path), new.get(path), sources.get(path, "default"))
        for path in differing
        if path.partition(".")[0] not in _ONLY_HOW_TO_BEGIN
    ]


def check_changes(run_dir: Path, found: Sequence[Change]) -> None:
    """UsageError for a change that would make it another run."""
    for change in found:
        if change.path not in MAY_CHANGE:
            raise UsageError(
                f"{change.source}: {change.path} is {console.to_json(change.old)} in {run_dir}, not "
                f"{console.to_json(change.new)}; a resumed run may change only {', '.join(MAY_CHANGE)}",
                hint=f"start another run from its weights: vctrain finetune {run_dir} --set {change.path}=...",
            )


def resume(
    run_dir: Path,
    wanted: Settings | None = None,
    sources: Mapping[str, str] | None = None,
    *,
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Go on with the run in ``run_dir`` from its newest good checkpoint; returns what `train` does.

    ``wanted`` are its settings with changes (`MAY_CHANGE`), ``sources`` where each comes from. ``checkpoint``, if
    named, has to be the newest. A run that is done gives its figures again. Raises UsageError for other changes or
    while another command writes there, ContractError when checkpoint or recordings do not fit.
    """
    config = run_dir / "config.yaml"
    stored = read_settings(config)
    wanted = stored if wanted is None else with_absolute_paths(wanted)
    changed = changes(stored, wanted, sources or {})
    check_changes(run_dir, changed)
    settings = _with(stored, changed)
    if directory.read_run(run_dir)["state"] == "done" and not _is_longer(stored, settings):
        if checkpoint is not None:
            _check_is_newest(checkpoint, newest_good(run_dir))
        console.note(f"{run_dir} is done; nothing to do (more epochs: --set trainer.max_epochs=N)")
        return finished_figures(run_dir)
    with owned(run_dir) as afterwards:
        if keeps_records():
            remove_parts(run_dir)
        found = newest_good(run_dir)
        _check_same_settings(run_dir, settings, found)
        _check_is_newest(checkpoint, found)
        if found is not None and settings.trainer.max_epochs * settings.trainer.steps_per_epoch < found.step:
            raise UsageError(
                f"trainer.max_epochs {settings.trainer.max_epochs} is over: {found.checkpoint.path} is at step "
                f"{found.step} of {settings.trainer.steps_per_epoch} an epoch",
                hint="ask for more epochs",
            )
        processes = settings.trainer.devices * settings.trainer.nodes
        prepared = prepare(settings, processes, None if found is None else found.checkpoint)
        if world()[0] == 0:
            console.log_to(run_dir / "run.log")
            _say(run_dir, found, changed, processes)
        if keeps_records() and changed:
            write_atomically(config, render(settings, read_provenance(config) | {c.path: c.source for c in changed}))
        return carry_out(settings, prepared, run_dir, afterwards)


def branch(checkpoint: Path, settings: Settings, sources: Mapping[str, str], new: Path, argv: Sequence[str]) -> None:
    """Create run directory ``new`` as a run that has come as far as ``checkpoint``, one of another run."""
    old = checkpoint.absolute().parent.parent
    stored = read_settings(old / "config.yaml")
    changed = changes(stored, with_absolute_paths(settings), sources)
    check_changes(old, changed)
    origin = read_provenance(old / "config.yaml") | {change.path: change.source for change in changed}
    read = _resumable(checkpoint)
    directory.create_run_dir(new, _with(stored, changed), origin, argv)
    for name in ("metrics.csv", "contract.json"):
        if (old / name).exists():
            shutil.copyfile(old / name, new / name)
    shutil.copyfile(checkpoint, new / "checkpoints" / LAST)
    for name in _best_names(checkpoint):
        if (checkpoint.parent / name).exists():
            shutil.copyfile(checkpoint.parent / name, new / "checkpoints" / name)
    directory.append_event(new, "branched", checkpoint=str(checkpoint), step=read.step)


def finished_figures(run_dir: Path) -> dict[str, Any]:
    """The figures of a run that is done, as it gave them when it ended. Raises ContractError where none are told."""
    events = [event for event in read_events(run_dir)[0] if event["event"] == "finished"]
    if not events:
        raise ContractError(f"{run_dir}/events.jsonl tells of no end", hint="vctrain eval-bps gives its figures")
    return {key: value for key, value in events[-1].items() if key not in ("v", "time", "event")} | {
        "run": str(run_dir),
        "checkpoint": str(run_dir / "checkpoints" / "best.ckpt"),
    }


def _with(stored: Settings, changed: Sequence[Change]) -> Settings:
    values = stored.model_dump(mode="json")
    for change in changed:
        section, _, key = change.path.rpartition(".")
        values[section][key] = change.new
    return Settings.model_validate(values)


def _is_longer(stored: Settings, settings: Settings) -> bool:
    return settings.trainer.max_epochs > stored.trainer.max_epochs


def _resumable(path: Path) -> Checkpoint:
    checkpoint = read_checkpoint(path)
    if not checkpoint.resumable or "progress" not in checkpoint.content:
        raise ContractError(
            f"{path} holds no state to go on from", hint=f"start anew from its weights: vctrain finetune {path}"
        )
    return checkpoint


def _best_names(path: Path) -> list[str]:
    callbacks = read_torch_file(path, "a checkpoint").content.get("callbacks", {})
    return [str(name) for _, name in callbacks.get("Checkpoints", {}).get("best", [])]


def _check_is_newest(named: Path | None, found: Found | None) -> None:
    if named is None:
        return
    checkpoint = _resumable(named)
    step, validated = checkpoint.step or 0, is_validated(checkpoint)
    if found is not None and (found.step, found.validated) > (step, validated):
        raise UsageError(
            f"{named} is at step {step}, but {found.checkpoint.path.name} of the same run at step {found.step}",
            hint=f"vctrain resume {named.absolute().parent.parent} goes on from there; --run-dir NEW goes on from "
            "this one in a new directory",
        )


def _check_same_settings(run_dir: Path, settings: Settings, found: Found | None) -> None:
    """config.yaml is for people to read, and may have been edited; the checkpoint tells what was trained."""
    if found is None:
        return
    differing = changes(found.checkpoint.settings, settings, {})
    if "model" not in found.checkpoint.content["settings"]:
        # that of the checkpoint it began from, or a legacy one; it cannot be edited here
        differing = [change for change in differing if not change.path.startswith("model.")]
    edited = [Change(c.path, c.old, c.new, f"{run_dir}/config.yaml") for c in differing]
    check_changes(run_dir, edited)


def _say(run_dir: Path, found: Found | None, changed: Sequence[Change], processes: int) -> None:
    for change in changed:
        console.note(f"{change.path} {console.to_json(change.old)} -> {console.to_json(change.new)} ({change.source})")
        if change.path == "trainer.max_epochs":
            console.note("the learning rate now follows its schedule over the new number of epochs")
    if found is None:
        console.note(f"{run_dir}: nothing was saved before it ended; it begins at step 0")
        return
    for note in found.notes:
        console.warn(note)
    console.note(f"resuming {run_dir} at step {found.step} from {found.checkpoint.path.name}")
    before = len(found.checkpoint.content["progress"]["collected"])
    if before != processes:
        console.note(
            f"{processes} processes instead of {before}: batches and schedules go on exactly; sums of gradients, "
            "dropout and with them the last digits are no longer those of an uninterrupted run"
        )
    written = found.checkpoint.content["versions"]
    now = directory.versions()
    for library in ("vctrain", "torch"):
        if written.get(library) != now.get(library):
            console.note(
                f"{library} {now.get(library)} instead of {written.get(library)}: not bit for bit the same run"
            )
