"""What does a run take from training frames and from a checkpoint before its first step, and what does it say of it?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vctrain import console
from vctrain.config.schema import Settings
from vctrain.models.twin import Twin
from vctrain.runs import directory
from vctrain.training.initialise import initialise
from vctrain.training.loading import part_of
from vctrain.training.prepare import Prepared


def before_first_step(settings: Settings, prepared: Prepared, run_dir: Path) -> None:
    """What a twin takes from training frames, as far as it was not loaded."""
    twin, begun = prepared.twin, prepared.started
    which: set[int] | None = None
    if begun is not None:
        report = begun.report()
        for line in (*begun.notes, loaded_line(report)):
            console.note(line)
        directory.append_event(
            run_dir, "loaded", checkpoint=str(begun.checkpoint.path), **report, weights=begun.weights
        )
        whole = "frontend" in {part_of(name) for name in begun.loaded.fresh}
        which = None if whole else begun.loaded.to_initialise(len(prepared.sessions))
    if isinstance(twin, Twin):
        for found in initialise(twin, prepared.sessions, settings.init, which) if which is None or which else ():
            console.note(str(found))
            directory.append_event(run_dir, "initialised", **found.__dict__)
    if begun is not None:
        begun.reload()


def loaded_line(report: Mapping[str, Any]) -> str:
    """What was loaded and frozen, in one line."""
    return f"loaded {report['loaded']}/{report['of']} tensors, changed {report['changed']}, frozen {report['frozen']}"


def taken(prepared: Prepared) -> dict[str, Any]:
    """The part of the figures that says what came from a checkpoint; what was frozen has been checked by now."""
    begun = prepared.begun
    if begun is None:
        return {}
    features = {} if prepared.features is None else {"features": prepared.features.report()}
    vision = dict(begun["vision"])
    return {
        "from": begun["from"],
        "tensors": dict(begun["tensors"]),
        "vision": {**vision, "unchanged_at_end": True if vision["frozen"] else None},
        **features,
    }
