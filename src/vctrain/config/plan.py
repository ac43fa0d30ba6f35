"""What do the transforms of a dataset config leave for the twin to read?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from vctrain.config.transforms import (
    POINTWISE,
    AnyOp,
    Cast,
    DaCones,
    FftWhitening,
    PixelNorm,
    SelectUnits,
    SignalOp,
    SplitRelu,
    StimOp,
    TemporalBasis,
    Transform,
    Unsqueeze,
)
from vctrain.errors import UsageError


@dataclass(frozen=True)
class Signal:
    """A covariate and the operations that turn it into columns of the behaviour, in order."""

    source: str
    ops: tuple[SignalOp, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for contracts and checkpoints."""
        return {"source": self.source, "ops": [_plain(op) for op in self.ops]}


@dataclass(frozen=True)
class Plan:
    """What a twin reads of a session: the movie after `stim`, and the signals side by side in the behaviour."""

    stim: tuple[StimOp, ...]
    """Empty: the movie stays as stored, and the twin itself takes (x - 127) / 255."""
    behavior: tuple[Signal, ...]
    unused: tuple[str, ...]
    """Transforms whose result current twins do not read."""

    @property
    def stim_pointwise(self) -> bool:
        """Whether the movie can stay uint8 until the device."""
        return all(isinstance(op, POINTWISE) for op in self.stim)

    def stim_as_list(self) -> list[dict[str, Any]]:
        """Plain types, for contracts and checkpoints."""
        return [_plain(op) for op in self.stim]


def _plain(op: AnyOp) -> dict[str, Any]:
    settings = op.model_dump(mode="json", exclude={"op"})
    return {op.op: settings.get("value", settings) if set(settings) == {"value"} else settings}


def plan_of(transforms: dict[str, Transform], where: str) -> Plan:
    """What `transforms` (in the order written) leave for the twin: later entries see what earlier ones exposed.

    `where` names the config in errors. Raises UsageError for an operation that current twins cannot apply.
    """
    signals: dict[str, Signal] = {}
    joined: dict[str, list[Signal]] = {}
    stim: tuple[StimOp, ...] = ()
    made: dict[str, list[str]] = {}
    consumed = {"behavior"}
    for name, transform in transforms.items():
        exposed = transform.expose_as or name
        path = f"{where}: transforms.{name}"
        if transform.source == "stim":
            stim += _stim_ops(transform, exposed, path)
            continue
        made.setdefault(exposed, []).append(name)
        if exposed == "stim":
            raise UsageError(f"{path} exposes {transform.source} as stim", hint="make the stimulus from source: stim")
        base = signals.get(transform.source, Signal(transform.source, ()))
        consumed.add(transform.source)
        signal = Signal(base.source, base.ops + tuple(_signal_op(op, path) for op in transform.ops))
        if transform.concatenate:
            joined.setdefault(exposed, []).append(signal)
        else:
            signals[exposed] = signal
    if "behavior" in joined:
        behavior = tuple(joined["behavior"])
    else:
        behavior = (signals["behavior"],) if "behavior" in signals else ()
    for signal in behavior:
        _check_counts_are_past(signal, where)
    unused = tuple(name for exposed, names in made.items() if exposed not in consumed for name in names)
    return Plan(stim, behavior, unused)


def _check_counts_are_past(signal: Signal, where: str) -> None:
    """A causal basis has nothing at the frame itself; without it the twin would be shown what it predicts."""
    if signal.source == "robs" and not any(isinstance(op, TemporalBasis) and op.causal for op in signal.ops):
        raise UsageError(
            f"{where}: behavior from robs would show the twin the spikes it predicts",
            hint="pass them through a causal temporal_basis, which reads earlier frames only",
        )


def _signal_op(op: AnyOp, path: str) -> SignalOp:
    if isinstance(op, PixelNorm | Unsqueeze | DaCones | FftWhitening):
        raise UsageError(
            f"{path}: {op.op} cannot be applied to a behaviour signal",
            hint=f"signals take {', '.join(kind.model_fields['op'].default for kind in get_args(SignalOp))}",
        )
    return op


def _stim_ops(transform: Transform, exposed: str, path: str) -> tuple[StimOp, ...]:
    """The operations that change the movie; none where the twin's own (x - 127) / 255 is all that is asked for."""
    if exposed != "stim":
        raise UsageError(f"{path} exposes stim as {exposed!r}", hint="current twins read the movie as stim only")
    for op in transform.ops:
        if isinstance(op, TemporalBasis | SplitRelu):
            raise UsageError(
                f"{path}: {op.op} makes several channels of the movie, twins read one",
                hint="remove it; model.frontend: {type: learnable_temporal} filters the movie in time",
            )
        if isinstance(op, SelectUnits):
            raise UsageError(f"{path}: the movie has no units to select", hint="remove select_units")
    ops = tuple(op for op in transform.ops if not isinstance(op, TemporalBasis | SplitRelu | SelectUnits))
    changing = [op for op in ops if not isinstance(op, PixelNorm | Unsqueeze | Cast)]
    return ops if changing else ()
