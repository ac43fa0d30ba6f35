"""What is a run called: ``<preset>-<what differs>-<4 hex>``."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from vctrain.config.layers import leaves
from vctrain.config.resolve import DEFAULT, SIMULATED
from vctrain.config.schema import Settings
from vctrain.errors import UsageError

LONGEST = 40
"""Characters for what differs."""
_NOT_WHAT_BUT_WHERE = (
    "preset",
    "trainer.devices",
    "trainer.nodes",
    "trainer.accelerator",
    "data.root",
    "start.checkpoint",
    "start.model",
    "start.load",
)


def run_name(settings: Settings, provenance: Mapping[str, str], token: str) -> str:
    """The name of a run with these settings; ``token`` ends it."""
    files = _files(provenance)
    plain = "run" if settings.start.checkpoint is None else "finetune"
    first = settings.preset or (Path(files[-1]).stem if files else plain)
    return "-".join(filter(None, [_safe(first), what_differs(settings, provenance), token]))


def what_differs(settings: Settings, provenance: Mapping[str, str]) -> str:
    """What file, --set and flags changed, in at most `LONGEST` characters: ``lr1e-3-seed3``; files by their name."""
    parts = []
    if settings.preset:
        parts += [_safe(Path(file).stem) for file in _files(provenance)]
    values = dict(leaves(settings.model_dump(mode="json")))
    for path, source in provenance.items():
        if source.startswith("--") and ", model " in source:
            # A model replaced by name is told by its name, not by each of its settings.
            parts.append(_safe(source.rpartition(", model ")[2]))
        elif source.startswith("--") and path not in _NOT_WHAT_BUT_WHERE and not path.startswith("logging."):
            parts.append(_part(path, values.get(path)))
    kept = ""
    for part in filter(None, dict.fromkeys(parts)):
        longer = f"{kept}-{part}" if kept else part[:LONGEST]
        if len(longer) <= LONGEST:
            kept = longer
    return kept.strip("-.")


def shared_token() -> str | None:
    """Four hexadecimal digits on which all processes started together by srun or torchrun agree; None for one process.

    UsageError if they have nothing in common to take them from.
    """
    if int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_NTASKS", "1"))) == 1:
        return None
    step = [os.environ.get(name, "") for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")]
    launch = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    if launch == "none" and not step[0]:
        raise UsageError(
            "several processes were started from outside and each would choose a run directory of its own",
            hint="name it with --run-dir",
        )
    return hashlib.sha256("/".join([launch, *step]).encode()).hexdigest()[:4]


def _files(provenance: Mapping[str, str]) -> list[str]:
    sources = dict.fromkeys(source.partition(",")[0] for source in provenance.values())
    return [s for s in sources if not s.startswith(("preset ", "checkpoint ", "--")) and s not in (DEFAULT, SIMULATED)]


def _part(path: str, value: object) -> str:
    key = path.rpartition(".")[2]
    if path == "data.path":
        return _safe(Path(str(value)).stem)
    if key == "type":
        return _safe(f"{path.split('.')[-2]}-{value}")
    if isinstance(value, bool):
        return _safe(key if value else f"no-{key}")
    if isinstance(value, float):
        return _safe(key + min(f"{value:g}", _exponent(value), key=len))
    if isinstance(value, list):
        return _safe(
            "+".join(str(item) for item in value) if all(isinstance(item, str | int | float) for item in value) else key
        )
    if isinstance(value, str):
        return _safe(value)
    return _safe(f"{key}{value}")


def _exponent(value: float) -> str:
    mantissa, _, power = f"{value:e}".partition("e")
    return f"{float(mantissa):g}e{int(power)}"


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", text).strip("_-.")
