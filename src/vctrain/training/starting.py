"""How does a run begin from a checkpoint: which sessions take part, whose model, what is loaded and what stays?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vctrain.config.components.adapters import AffineAdapter
from vctrain.config.datasets import SessionSpec
from vctrain.config.legacy import LegacyModelConfig
from vctrain.config.model import ModelConfig
from vctrain.config.schema import Settings, StartConfig
from vctrain.data.contract import open_for_checkpoint
from vctrain.data.opening import open_sessions
from vctrain.data.session import Session
from vctrain.errors import ContractError, UsageError
from vctrain.models.build import AnyTwin, build_twin, context_of
from vctrain.runs.checkpoints import Checkpoint, read_checkpoint
from vctrain.training.freezing import asked_for, digest, digest_of, freeze
from vctrain.training.loading import VISION, Loaded, load_from, part_of


@dataclass(frozen=True)
class Started:
    """A twin that begins from a checkpoint, its sessions, and what was taken and frozen."""

    sessions: tuple[Session, ...]
    twin: AnyTwin
    model: ModelConfig | LegacyModelConfig
    loaded: Loaded
    frozen: tuple[str, ...]
    digest: str
    """Of the frozen tensors."""
    notes: tuple[str, ...]
    checkpoint: Checkpoint
    start: StartConfig

    @property
    def weights(self) -> str:
        """A digest of all weights of the checkpoint."""
        return digest_of(self.checkpoint.weights)

    def reload(self) -> None:
        """Put what was loaded in its place again, after the rest was initialised."""
        cids = [session.cids for session in self.sessions]
        load_from(self.twin, cids, self.checkpoint, self.start.load, self.start.refit_readout)

    def report(self) -> dict[str, Any]:
        """What was loaded and frozen, by number of tensors; ``unchanged_at_end`` is not known yet."""
        vision = self.loaded.vision()
        vision["frozen"] = sum(part_of(name) in VISION for name in self.frozen)
        return {
            "loaded": len(self.loaded.loaded),
            "of": len(self.loaded.loaded) + len(self.loaded.fresh),
            "changed": len(self.loaded.changed),
            "frozen": len(self.frozen),
            "fresh": list(self.loaded.fresh),
            "vision": vision,
        }

    def record(self) -> dict[str, Any]:
        """What a run remembers of this for its end, in plain values: a resumed run cannot find it out again."""
        report = self.report()
        return {
            "from": str(self.checkpoint.path),
            "frozen": list(self.frozen),
            "digest": self.digest,
            "tensors": {key: report[key] for key in ("loaded", "of", "changed", "frozen")},
            "vision": {key: report["vision"][key] for key in ("loaded", "changed", "frozen")},
        }


def reopened(specs: Sequence[SessionSpec], checkpoint: Checkpoint) -> tuple[Session, ...]:
    """The sessions of a run that goes on from its ``checkpoint``: the same recordings, units and trials.

    Raises ContractError if a session or unit is missing, or a recording is another one than when the run began.
    """
    matched = open_for_checkpoint(
        specs,
        checkpoint.sessions,
        checkpoint.content["context"],
        all_required=True,
        stim=checkpoint.model.reads_stimulus,
    )
    for session in matched.sessions:
        stored = checkpoint.sessions[session.index]
        found, known = session.describe()["fingerprint"], stored["fingerprint"]
        if found != known:
            raise ContractError(
                f"session {session.name}: the recording is not the one this run began with (fingerprint {known})",
                hint=f"restore it, or start anew from the weights with vctrain finetune {checkpoint.path}",
            )
    return matched.sessions


def settings_of(target: str) -> tuple[str, dict[str, Any]]:
    """The name of a checkpoint as a source of settings, and the settings it was trained with."""
    checkpoint = read_checkpoint(target)
    settings = checkpoint.settings.model_dump(mode="json", exclude={"start", "preset", "simulation"})
    if isinstance(checkpoint.model, LegacyModelConfig):
        settings.pop("model", None)
    return f"checkpoint {checkpoint.path}", settings


def model_of(settings: Settings, checkpoint: Checkpoint) -> ModelConfig | LegacyModelConfig:
    """The model of the run; a grid that the checkpoint took from its sessions stays what it was there."""
    model = checkpoint.model if settings.start.model == "checkpoint" else settings.model
    if isinstance(model, ModelConfig) and isinstance(model.adapter, AffineAdapter) and model.adapter.grid_size is None:
        sides = [side for session in checkpoint.sessions for side in session["size"] or ()]
        if sides:
            return model.model_copy(update={"adapter": model.adapter.model_copy(update={"grid_size": max(sides)})})
    return model


def start_from(settings: Settings, specs: Sequence[SessionSpec]) -> Started:
    """Open the sessions and start the twin as ``settings.start`` says.

    Raises ContractError if data and checkpoint disagree, UsageError for names and patterns that match nothing.
    """
    start = settings.start
    assert start.checkpoint is not None
    checkpoint = read_checkpoint(start.checkpoint)
    model = model_of(settings, checkpoint)
    sessions, notes = _open(settings, specs, checkpoint, model)
    twin = build_twin(model, sessions)
    loaded = load_from(twin, [session.cids for session in sessions], checkpoint, start.load, start.refit_readout)
    frozen = freeze(twin, start, loaded)
    held = [f"{how}: {len(names)} parameters stay" for how, names in asked_for(twin, start, loaded).items()]
    return Started(sessions, twin, model, loaded, frozen, digest(twin, frozen), (*notes, *held), checkpoint, start)


def _open(
    settings: Settings, specs: Sequence[SessionSpec], checkpoint: Checkpoint, model: ModelConfig | LegacyModelConfig
) -> tuple[tuple[Session, ...], tuple[str, ...]]:
    """The sessions of the run in the order of the data: those the checkpoint knows as it knows them, and new ones."""
    context, stim = context_of(model), model.reads_stimulus
    stored = {str(session["name"]): session for session in checkpoint.sessions}
    chosen = _chosen(settings.start, specs, set(stored), str(checkpoint.path))
    refit = set(settings.start.refit_readout)
    strange = sorted(refit - {spec.name for spec in chosen if spec.name in stored})
    if strange:
        raise UsageError(
            f"--refit-readout {strange[0]}: not a session of both the checkpoint and the data",
            hint=f"the checkpoint has {', '.join(sorted(stored)[:6])}",
        )
    known = [spec for spec in chosen if spec.name in stored]
    others = [spec for spec in chosen if spec.name not in stored]
    opened: list[Session] = []
    notes: list[str] = []
    if known:
        # A session to be refitted is what it was but for its units: trials stay in their split.
        entries = [
            {**stored[spec.name], "cids": open_sessions([spec], context, stim=stim)[0].cids if spec.name in refit
             else stored[spec.name]["cids"]}
            for spec in known
        ]  # fmt: skip
        matched = open_for_checkpoint(known, entries, context, all_required=True, stim=stim)
        opened += matched.sessions
        notes += [note for note in matched.notes if not any(note in session.notes for session in matched.sessions)]
    if others:
        opened += open_sessions(others, context, settings.data.settle_seconds, stim)
    place = {spec.name: index for index, spec in enumerate(chosen)}
    for session in opened:
        session.index = place[session.name]
    opened.sort(key=lambda session: session.index)
    for session in opened[1:]:
        if abs(session.rate_hz - opened[0].rate_hz) > 0.01 * opened[0].rate_hz:
            raise ContractError(
                f"session {session.name} runs at {session.rate_hz:g} Hz, {opened[0].name} at {opened[0].rate_hz:g} Hz",
                hint="bring them to one rate with sampling: {source_rate: ..., target_rate: ...}",
            )
    return tuple(opened), tuple(notes)


def _chosen(start: StartConfig, specs: Sequence[SessionSpec], known: set[str], where: str) -> list[SessionSpec]:
    """The sessions that take part."""
    offered = {spec.name for spec in specs}
    if start.add_sessions is None:
        return list(specs)
    for name in start.add_sessions:
        if name not in offered:
            raise UsageError(f"--add-session {name}: the data have {', '.join(sorted(offered))}", hint="check the name")
        if name in known:
            raise UsageError(f"--add-session {name}: {where} has it already", hint="leave it out")
    wanted = known | set(start.add_sessions)
    return [spec for spec in specs if spec.name in wanted]
