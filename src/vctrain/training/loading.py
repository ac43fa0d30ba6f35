"""Which tensors of a checkpoint does a new twin start from?

Shared parts are matched by name, what sessions own by the session's name, and units by cid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vctrain.errors import ContractError
from vctrain.models.build import AnyTwin
from vctrain.runs.checkpoints import Checkpoint

VISION = ("adapters", "frontend", "convnet")
"""Parts of a twin that make up its vision."""
OWNED = ("adapters", "readouts", "baselines", "spike_history")
"""Parts that sessions own; the last two in legacy twins."""


@dataclass(frozen=True)
class Loaded:
    """What was taken from a checkpoint, by names of the new twin."""

    loaded: tuple[str, ...]
    changed: tuple[str, ...]
    """Those of them whose values differ from what they were at the start."""
    fresh: tuple[str, ...]
    """Tensors that keep their start."""
    partly: tuple[str, ...]
    """Those loaded that keep their start for units that the checkpoint does not know."""

    def to_initialise(self, n_sessions: int) -> set[int]:
        """The sessions whose training frames have to be looked at for what was not loaded: all of them for a modulator,
        else those that own some of it."""
        missing = (*self.fresh, *self.partly)
        if any(part_of(name) == "modulator" for name in missing):
            return set(range(n_sessions))
        return {int(name.split(".")[1]) for name in missing if part_of(name) in OWNED}

    def vision(self) -> dict[str, int]:
        """Tensors of vision: loaded, changed, and all of them."""
        mine = {name for name in (*self.loaded, *self.fresh) if part_of(name) in VISION}
        return {
            "loaded": len(mine & set(self.loaded)),
            "changed": len(mine & set(self.changed)),
            "of": len(mine),
        }


def part_of(name: str) -> str:
    """The part of a twin that a tensor belongs to: ``adapters``, ``frontend``, ..."""
    return name.partition(".")[0]


@torch.no_grad()
def load_from(
    twin: AnyTwin, cids: Sequence[Sequence[int]], checkpoint: Checkpoint, what: str, refit: Sequence[str]
) -> Loaded:
    """Start ``twin`` from ``checkpoint``; ``cids`` are the units of each of its sessions.

    ``what`` is ``all`` or ``vision``. A tensor is taken if name and shape are the same; of a session in ``refit``, rows
    of units that the checkpoint knows. Raises ContractError if nothing matches, if a tensor of vision has another shape
    in the checkpoint or is not in it (but for adapters of sessions it does not know), or if units of a known session
    differ and it is not to be refitted.
    """
    places = {str(session["name"]): index for index, session in enumerate(checkpoint.sessions)}
    loaded, changed, fresh, partly = [], [], [], []
    for name, value in twin.state_dict().items():
        found, whole = None, True
        if what == "all" or part_of(name) in VISION:
            found, whole = _source(twin, name, value, cids, checkpoint, places, refit)
        if found is None:
            fresh.append(name)
            continue
        loaded.append(name)
        if not whole:
            partly.append(name)
        if not torch.equal(found, value):
            changed.append(name)
        value.copy_(found)
    if not loaded:
        raise ContractError(
            f"{checkpoint.path}: none of its {len(checkpoint.weights)} tensors fits this twin",
            hint="give a checkpoint of the same model and sessions, or leave out --set model=...",
        )
    return Loaded(tuple(loaded), tuple(changed), tuple(fresh), tuple(partly))


def _source(
    twin: AnyTwin,
    name: str,
    value: Tensor,
    cids: Sequence[Sequence[int]],
    checkpoint: Checkpoint,
    places: dict[str, int],
    refit: Sequence[str],
) -> tuple[Tensor | None, bool]:
    """What ``name`` starts from, None for nothing; and False if units of its session have none."""
    part = part_of(name)
    if part in OWNED:
        index = int(name.split(".")[1])
        session = twin.names[index]
        if session not in places:
            return None, True
        old = name.split(".")
        old[1] = str(places[session])
        theirs = checkpoint.weights.get(".".join(old))
        if part != "adapters":
            known = [int(cid) for cid in checkpoint.sessions[places[session]]["cids"]]
            if known != list(cids[index]):
                return _by_unit(session, value, theirs, cids[index], known, refit)
    else:
        theirs = checkpoint.weights.get(name)
    if theirs is not None and theirs.shape == value.shape:
        return theirs.to(value), True
    if part in VISION:
        how = "is not in it" if theirs is None else f"is {tuple(theirs.shape)} there, {tuple(value.shape)} here"
        raise ContractError(
            f"{checkpoint.path}: {name} {how}, so vision cannot be taken from it",
            hint="leave out --set model=..., or choose a model with the same adapter, frontend and convnet",
        )
    return None, True


def _by_unit(
    session: str, value: Tensor, theirs: Tensor | None, cids: Sequence[int], known: Sequence[int], refit: Sequence[str]
) -> tuple[Tensor | None, bool]:
    """The tensor of a readout whose units are others than the checkpoint's: rows by cid, the rest as it is."""
    if session not in refit:
        missing = sorted(set(known) - set(cids))
        raise ContractError(
            f"session {session}: checkpoint has {len(known)} units, data has {len(cids)} "
            f"(missing cids {', '.join(map(str, missing[:12])) or 'none'})",
            hint=f"restore the file or run vctrain finetune --refit-readout {session}",
        )
    if theirs is None or len(theirs) != len(known) or theirs.shape[1:] != value.shape[1:] or len(value) != len(cids):
        return None, False
    found = value.clone()
    place = {cid: row for row, cid in enumerate(known)}
    for row, cid in enumerate(cids):
        if cid in place:
            found[row] = theirs[place[cid]]
    return found, all(cid in place for cid in cids)
