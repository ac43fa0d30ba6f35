"""What may stand here? Presets, runs and settings, for a shell that completes; free of torch."""

from __future__ import annotations

import glob
import os


def presets(incomplete: str) -> list[str]:
    """Names of presets."""
    from vctrain import presets as known

    return [name for name in known.names() if name.startswith(incomplete)]


def runs(incomplete: str) -> list[str]:
    """Run directories here or one folder below, such as in ``runs/``; where there is none, files and folders."""
    # a shell takes only what begins as typed
    typed = glob.escape(incomplete)
    for pattern in (f"{typed}*/run.json", f"{typed}*/*/run.json"):
        if found := sorted(os.path.dirname(path) for path in glob.glob(pattern)):
            return found
    return sorted(f"{path}/" if os.path.isdir(path) else path for path in glob.glob(f"{typed}*"))


def presets_or_runs(incomplete: str) -> list[str]:
    """Either."""
    return [*presets(incomplete), *runs(incomplete)]


def settings(incomplete: str) -> list[str]:
    """Settings by dotted path with a ``=``, and after ``model=`` the names of models.

    >>> settings("optim.weight")
    ['optim.weight_decay=']
    """
    key, equals, value = incomplete.partition("=")
    if equals:
        from vctrain import presets as known

        return [f"model={name}" for name in known.model_names(None) if name.startswith(value)] if key == "model" else []
    from vctrain.config.layers import leaves
    from vctrain.config.schema import Settings

    paths = ["model", *(path for path, _ in leaves(Settings().model_dump(mode="json")))]
    return [f"{path}=" for path in paths if path.startswith(incomplete)]
