"""Where are the core and the model config of a checkpoint that trained new readouts on a frozen core?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vctrain.errors import ContractError
from vctrain.runs.migration.old import OldCheckpoint, read_old

CORE = ("frontend", "convnet", "modulator", "recurrent")
YAML = (".yaml", ".yml")


def pretrained_of(old: OldCheckpoint, given: Path | None) -> Path | None:
    """The checkpoint whose core ``old`` took: ``given`` (--model-config) if it is one, else where ``old`` says it was,
    else a file of that name beside ``old``; None if it is in none of these places, or ``old`` has no such core."""
    if old.generation != "FrozenCoreModel":
        return None
    candidates = [given] if given is not None and given.suffix not in YAML else []
    recorded = old.text("pretrained_checkpoint")
    if recorded:
        candidates += [Path(recorded), old.path.parent / Path(recorded).name]
    return next((path for path in candidates if path.is_file()), None)


def with_core(old: OldCheckpoint, given: Path | None) -> tuple[OldCheckpoint, list[str]]:
    """``old`` with the shared parts of the pretrained checkpoint if it does not hold them itself, and a note that says
    so. ContractError if they are nowhere."""
    if old.generation != "FrozenCoreModel" or any(name.startswith(CORE) for name in old.tensors):
        return old, []
    found = pretrained_of(old, given)
    if found is None:
        raise ContractError(
            f"{old.path} holds heads only; its core is in the checkpoint it was trained on "
            f"({old.text('pretrained_checkpoint')})",
            hint="give that one as --model-config PRETRAINED.ckpt",
        )
    parts = CORE if any(name.startswith("adapter") for name in old.tensors) else (*CORE, "adapter")
    core = {name: tensor for name, tensor in read_old(found).tensors.items() if name.startswith(parts)}
    return replace(old, tensors={**core, **old.tensors}), [f"{len(core)} tensors of the core are those of {found}"]
