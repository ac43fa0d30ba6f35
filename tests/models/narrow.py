"""Any model at a fraction of its width, for tests on two cores."""

from __future__ import annotations

from typing import Any

from vctrain import presets
from vctrain.config.model import ModelConfig
from vctrain.config.yaml_files import read_mapping

WIDTHS = {"channels", "num_channels", "hidden", "dims", "reduction"}
"""The settings that say how wide a part is."""
LEAST = 2


def narrowed(content: Any, by: int) -> Any:
    """``content`` with every width divided by ``by``, but at least two."""
    if isinstance(content, list):
        return [narrowed(item, by) for item in content]
    if not isinstance(content, dict):
        return content
    return {key: _divided(value, by) if key in WIDTHS else narrowed(value, by) for key, value in content.items()}


def _divided(width: Any, by: int) -> Any:
    return [_divided(item, by) for item in width] if isinstance(width, list) else max(width // by, LEAST)


def named_model(name: str, by: int = 1, **changes: Any) -> ModelConfig:
    """The model that comes with vctrain under ``name``, at 1/``by`` of its width; ``changes`` replace parts."""
    content = read_mapping(presets.find_model(name))
    del content["description"]
    return ModelConfig.model_validate({**narrowed(content, by), **changes})
