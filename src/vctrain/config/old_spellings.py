"""What do dataset configs of the earlier system spell otherwise, and what does it mean?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def respelt(content: dict[str, Any], path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """`content` with the misspelt `theshold` of old configs put right, and a note if it was there."""
    found = False

    def walk(value: Any) -> Any:
        nonlocal found
        if isinstance(value, list):
            return [walk(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "theshold" in value and "threshold" not in value:
            found = True
            return {("threshold" if key == "theshold" else key): walk(item) for key, item in value.items()}
        return {key: walk(item) for key, item in value.items()}

    filters = walk(content["datafilters"]) if "datafilters" in content else None
    if not found:
        return content, ()
    return {**content, "datafilters": filters}, (f"{path}: theshold is read as threshold",)


def is_base_file(path: Path, content: Mapping[str, Any]) -> bool:
    """Whether a file of a folder of dataset YAMLs is a template and no session: called base, and without units.

    The earlier system left out every file with base in its name, also database_A.yaml (defect B7).
    """
    return "base" in path.stem.lower() and "cids" not in content


def flat_component(block: Mapping[str, Any]) -> dict[str, Any]:
    """`{type: ..., params: {...}}` as one mapping."""
    params = block.get("params")
    flat = {key: value for key, value in block.items() if key != "params"}
    return {**flat, **params} if isinstance(params, dict) else flat if params is None else dict(block)
