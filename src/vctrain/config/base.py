"""The base of every settings model: unknown keys are errors, values are checked, instances do not change."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Settings that refuse unknown keys (the error is rendered by ``vctrain.config.problems``)."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
