"""Settings of the penalties and proximal steps on parameters, and of how strong they are at an epoch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, model_validator

from vctrain.config.base import Config

_OLD_SPELLINGS = {"lambda": "strength", "start_lambda": "start_strength"}


class _Spelt(Config):
    """Settings that the earlier system spelt `lambda`."""

    @model_validator(mode="before")
    @classmethod
    def _respelt(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {_OLD_SPELLINGS.get(key, key): item for key, item in value.items()}


class Constant(_Spelt):
    """The strength at every epoch."""

    kind: Literal["constant"] = "constant"


class Warmup(_Spelt):
    """Nothing before `start_epoch`, then the strength (until after `end_epoch`, if there is one)."""

    kind: Literal["warmup"] = "warmup"
    start_epoch: NonNegativeInt = 0
    end_epoch: NonNegativeInt | None = None


class _Line(_Spelt):
    start_epoch: NonNegativeInt = 0
    end_epoch: NonNegativeInt

    @model_validator(mode="after")
    def _rises(self) -> _Line:
        if self.end_epoch <= self.start_epoch:
            raise ValueError(f"end_epoch {self.end_epoch} is not after start_epoch {self.start_epoch}")
        return self


class LinearRamp(_Line):
    """0 up to `start_epoch`, then a line to the strength at `end_epoch`, which holds."""

    kind: Literal["linear_ramp"] = "linear_ramp"


class LinearDecay(_Line):
    """`start_strength` up to `start_epoch`, then a line to the strength at `end_epoch`, which holds."""

    kind: Literal["linear_decay"] = "linear_decay"
    start_strength: NonNegativeFloat


Schedule = Annotated[Constant | Warmup | LinearRamp | LinearDecay, Field(discriminator="kind")]

PENALTIES = ("l1", "l2", "group_lasso", "ortho")
"""Added to the loss; the others act on the parameters themselves, once after every optimizer step."""


class Regularizer(_Spelt):
    """One penalty or proximal step on the parameters that `apply_to` names."""

    name: str
    type: Literal[
        "l1",
        "l2",
        "group_lasso",
        "ortho",
        "proximal_l1",
        "proximal_group_lasso",
        "proximal_clamp",
        "proximal_clamp_positive",
        "proximal_clamp_min",
    ]
    strength: NonNegativeFloat
    """Weight of the penalty (`lambda` in old configs); for clamps the bound."""
    apply_to: tuple[str, ...] = Field(min_length=1)
    """Patterns: a parameter matches one if each of its pieces, separated by /, is part of the parameter's name."""
    schedule: Schedule = Constant()
    groups: Literal["filter", "unit", "channel"] | None = None
    """Of group penalties: one group for each output filter of a kernel, for each unit of a readout, or for each input
    channel (of a kernel, or of a readout for all its units together)."""

    @model_validator(mode="after")
    def _declared(self) -> Regularizer:
        grouped = "group_lasso" in self.type
        if grouped and self.groups is None:
            raise ValueError(f"{self.type} needs groups: filter, unit or channel")
        if not grouped and self.groups is not None:
            raise ValueError(f"groups belongs to group_lasso and proximal_group_lasso, and type is {self.type}")
        return self

    def strength_at(self, epoch: int) -> float:
        """The strength at an epoch (0-based), a pure function.

        >>> ramp = {"kind": "linear_ramp", "start_epoch": 2, "end_epoch": 4}
        >>> r = Regularizer(name="r", type="l1", strength=1.0, apply_to=("x",), schedule=ramp)
        >>> [r.strength_at(epoch) for epoch in range(6)]
        [0.0, 0.0, 0.0, 0.5, 1.0, 1.0]
        """
        schedule = self.schedule
        if isinstance(schedule, Constant):
            return self.strength
        if isinstance(schedule, Warmup):
            over = schedule.end_epoch is not None and epoch > schedule.end_epoch
            return self.strength if epoch >= schedule.start_epoch and not over else 0.0
        first = schedule.start_strength if isinstance(schedule, LinearDecay) else 0.0
        progress = (epoch - schedule.start_epoch) / (schedule.end_epoch - schedule.start_epoch)
        return first + (self.strength - first) * min(max(progress, 0.0), 1.0)
