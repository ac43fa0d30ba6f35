"""Which sessions and units of a checkpoint does an analysis look at?"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from vctrain.data.session import Session
from vctrain.errors import ContractError, UsageError
from vctrain.evaluation.evaluate import Question, open_for
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
    matched = open_for(checkpoint, question)
    sessions = _named(matched.sessions, asked.sessions)
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


def _named(sessions: Sequence[Session], names: tuple[str, ...] | None) -> list[Session]:
    if names is None:
        return list(sessions)
    known = {session.name: session for session in sessions}
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"sessions: {', '.join(list(known)[:6])}"
            raise UsageError(f"--session {name}: no such session in checkpoint and data", hint=hint)
    return [known[name] for name in dict.fromkeys(names)]


def _part(session: Session, cids: tuple[int, ...] | None) -> Part:
    places = [place for place, cid in enumerate(session.cids) if cids is None or cid in cids]
    return Part(session, tuple(places), tuple(session.cids[place] for place in places))


def _some(cids: Sequence[int]) -> str:
    return ", ".join(map(str, cids[:12])) + (f" and {len(cids) - 12} more" if len(cids) > 12 else "")
