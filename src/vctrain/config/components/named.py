"""How may a part with a few settings of its own be written as its bare name?"""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator, SerializerFunctionWrapHandler, model_serializer

from vctrain.config.base import Config


class Named(Config):
    """Settings with a ``type`` that are written as that name alone where every other value is its default."""

    @model_serializer(mode="wrap")
    def _shortest(self, handler: SerializerFunctionWrapHandler) -> Any:
        content = {name: getattr(self, name) for name in type(self).model_fields}
        kind = content.pop("type")
        default = all(value == type(self).model_fields[name].default for name, value in content.items())
        return kind if default else handler(self)


def _from_name(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


BY_NAME = BeforeValidator(_from_name)
"""Lets a union of `Named` settings be given as a name: ``rms`` for ``{type: rms}``."""
