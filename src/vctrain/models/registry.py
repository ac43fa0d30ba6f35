"""Which class builds a component from its settings? The one place that knows, by the type of the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from vctrain.config.base import Config

Builder = TypeVar("Builder", bound=Callable[..., nn.Module])
_BUILDERS: dict[type[Config], Callable[..., nn.Module]] = {}


def builds(*settings: type[Config]) -> Callable[[Builder], Builder]:
    """Register a class or function as the builder of these settings: it is called with them and what its family takes.

    Frontends, convnets and recurrent stages take ``(config, space)``, modulators ``(config, space, behavior_dim,
    some_without)``; they carry ``out``, the `Space` they write. Readouts take ``(config, space, units)``, spike
    histories and baselines ``(config, units)``.
    """

    def register(builder: Builder) -> Builder:
        for kind in settings:
            assert kind not in _BUILDERS, f"{kind.__name__} has two builders"
            _BUILDERS[kind] = builder
        return builder

    return register


def build(config: Config, *inputs: Any) -> Any:
    """The component that ``config`` describes."""
    return _BUILDERS[type(config)](config, *inputs)


def built_types() -> set[type[Config]]:
    """The settings that have a builder."""
    return set(_BUILDERS)
