"""Which sessions and units of a checkpoint does an analysis look at?"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from vctrain.data.contract import Matched
from vctrain.data.session import Session
from vctrain.errors import ContractError, UsageError
from vctrain.evaluation.evaluate import Question, open_specs, specs_for
from vctrain.models.build import AnyTwin
from vctrain.runs.checkpoints import Checkpoint, read_checkpoint
from vctrain.training.engine import device_of, resolve_accelerator


@dataclass(frozen=True)
class Asked:
    """What the analyses of a checkpoint have in common."""

    question: Question
    sessions: tuple[str, ...] | None = None
    """Names; None: all."""
    cids: tuple[int, ...] | None = None
    """In whichever session has them; None: all."""


@dataclass(frozen=True)
class Part:
    """A session and the units that were asked for: ``places`` among its units, and their ``cids``."""

    session: Session
    places: tuple[int, ...]
    cids: tuple[int, ...]


@dataclass(frozen=True)
class Chosen:
    """A twin, ready to predict, and what is to be looked at."""

    checkpoint: Checkpoint
    twin: AnyTwin
    parts: tuple[Part, ...]
    question: Question
    device: torch.device
    notes: tuple[str, ...]


def choose(target: str, asked: Asked) -> Chosen:
    """The twin of ``target`` and the sessions and units asked for.

    Raises UsageError for a session or cid that none has, ContractError if the recordings do not fit the checkpoint.
    """
    question = replace(asked.question, accelerator=resolve_accelerator(asked.question.accelerator))
    checkpoint = read_checkpoint(target)
    matched = _opened(checkpoint, question, asked.sessions)
    sessions = matched.sessions
    parts = [_part(session, asked.cids) for session in sessions]
    missing = [] if asked.cids is None else sorted(set(asked.cids) - {cid for part in parts for cid in part.cids})
    if missing:
        raise UsageError(
            f"--cids {', '.join(map(str, missing))}: no such unit in {', '.join(s.name for s in sessions)}",
            hint=f"units of {sessions[0].name}: {_some(sessions[0].cids)}",
        )
    device = device_of(question.accelerator)
    twin = checkpoint.build().to(device)
    twin.requires_grad_(False)
    kept = tuple(part for part in parts if part.cids)
    return Chosen(checkpoint, twin, kept, question, device, matched.notes)


def needs_stimulus(chosen: Chosen, what: str) -> None:
    """ContractError for a twin that does not look at the stimulus."""
    if not chosen.twin.reads_stimulus:
        raise ContractError(
            f"{chosen.checkpoint.path}: this twin reads no stimulus, so it has no {what}",
            hint="analyse a twin with vision; vctrain analyze ablate-behavior works for this one",
        )


def _opened(checkpoint: Checkpoint, question: Question, names: tuple[str, ...] | None) -> Matched:
    """The sessions that were named, or all, as far as they have recordings of the types asked for: sessions of one
    checkpoint need not all have gratings."""
    of_types = question.types is not None
    specs = specs_for(checkpoint, question, some=of_types)
    if not specs:
        raise ContractError(
            f"no session has a recording of {', '.join(question.types or ())}",
            hint="name types that were recorded with --types, or give --data",
        )
    required = question.data is None and not of_types
    if names is None:
        return open_specs(checkpoint, question, specs, all_required=required)
    offered = {spec.name: spec for spec in specs if spec.name in {entry["name"] for entry in checkpoint.sessions}}
    for name in names:
        if name not in offered:
            close = difflib.get_close_matches(name, offered, n=1)
            of = "" if question.types is None else f" with {', '.join(question.types)}"
            hint = f"did you mean {close[0]}?" if close else f"sessions: {_some(list(offered))}"
            raise UsageError(f"--session {name}: no such session{of} in checkpoint and data", hint=hint)
    chosen = [offered[name] for name in dict.fromkeys(names)]
    return open_specs(checkpoint, question, chosen, all_required=True, only=names)


def _part(session: Session, cids: tuple[int, ...] | None) -> Part:
    places = [place for place, cid in enumerate(session.cids) if cids is None or cid in cids]
    return Part(session, tuple(places), tuple(session.cids[place] for place in places))


def _some(names: Sequence[object]) -> str:
    return ", ".join(map(str, names[:12])) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
