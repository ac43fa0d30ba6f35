"""What do the generations of the old code compute differently?"""

from __future__ import annotations

from dataclasses import dataclass

from vctrain.config.legacy import LegacyModelConfig


@dataclass(frozen=True)
class Code:
    """The facts by which components differ between generations."""

    head: bool
    """Newest code: padding where a block's order says so, other GRUs, other response norms, plain shortcuts."""
    antialias: bool
    """Temporal kernels are tapered and low-passed unless their settings say otherwise."""
    rms_affine: bool | None
    """Whether norms of type rms have a gain and an offset; None: as each norm's settings say, by default yes."""
    temperature: float
    """By what a pool divides features before their exponential weighs them."""

    @classmethod
    def of(cls, config: LegacyModelConfig) -> Code:
        """The facts that a config's semantics, and what it says against them, come to."""
        head = config.semantics == "head"
        affine = config.rms_affine
        if affine is None and not head:
            affine = False
        return cls(
            head=head,
            antialias=config.semantics == "old-antialias",
            rms_affine=affine,
            temperature=config.softpool_temperature or (10.0 if head else 1.0),
        )
