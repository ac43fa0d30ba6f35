"""Do the components of a model fit each other and the sessions?"""

from __future__ import annotations

from collections.abc import Sequence

from vctrain.config.components.adapters import Adapter, AffineAdapter, NoAdapter
from vctrain.config.components.baselines import NoBaseline
from vctrain.config.components.modulators import NoModulator
from vctrain.config.components.readouts import LinearReadout
from vctrain.config.model import ModelConfig
from vctrain.errors import ContractError, UsageError
from vctrain.models.shapes import SessionShape


def adapters_of(config: ModelConfig, sessions: Sequence[SessionShape]) -> tuple[list[Adapter], int]:
    """The adapter of each session, its own or the model's, and the side of the grid that all of them bring it to.

    A twin that reads no stimulus has none, and a grid of one pixel. Raises UsageError where adapters do not agree.
    """
    if not config.stimulus:
        return [NoAdapter() for _ in sessions], 1
    adapters = [session.own_adapter or config.adapter for session in sessions]
    stated = {
        session.name: adapter.grid_size
        for session, adapter in zip(sessions, adapters, strict=True)
        if isinstance(adapter, AffineAdapter) and adapter.grid_size is not None
    }
    grid = next(iter(stated.values()), max(side for s in sessions for side in (s.height, s.width)))
    for name, size in stated.items():
        if size != grid:
            raise UsageError(
                f"session {name}: adapter.grid_size is {size}, that of other sessions {grid}",
                hint="the core has one grid; leave grid_size out of the dataset config",
            )
    for session, adapter in zip(sessions, adapters, strict=True):
        if not isinstance(adapter, AffineAdapter) and (session.height, session.width) != (grid, grid):
            listed = ", ".join(f"{s.name} {s.height}x{s.width}" for s in sessions)
            raise UsageError(
                f"model.adapter none needs square stimuli of one size, got {listed}",
                hint="use --set model.adapter.type=adapter",
            )
    return adapters, grid


def behavior_width(config: ModelConfig, sessions: Sequence[SessionShape]) -> int:
    """Columns of behaviour that the modulator reads.

    Raises ContractError where no session has any, or sessions differ.
    """
    widths = {session.behavior_dim for session in sessions if session.behavior_dim}
    if not widths:
        raise ContractError(
            f"model.modulator is {config.modulator.type}, but no session has behavior",
            hint="use --set model.modulator.type=none, or add a behavior transform to the dataset config",
        )
    if len(widths) > 1:
        listed = ", ".join(f"{s.name} {s.behavior_dim}" for s in sessions)
        raise ContractError(f"behavior has different widths: {listed}", hint="give all sessions the same transforms")
    return widths.pop()


def check_output(config: ModelConfig) -> None:
    """Raises UsageError for an output whose rates can be zero, where a spike has no likelihood."""
    if config.output == "relu" and isinstance(config.baseline, NoBaseline):
        raise UsageError(
            "model.output relu gives rates of zero, at which a spike has no likelihood",
            hint="add --set model.baseline.type=learned, or use model.output=softplus",
        )


def check_behavior_alone(config: ModelConfig, sessions: Sequence[SessionShape]) -> None:
    """Refuse what a twin that reads no stimulus cannot have.

    Raises UsageError for parts that would read a movie or a map, ContractError for sessions without behaviour.
    """
    if config.stimulus:
        return
    reading = [part for part in ("adapter", "frontend", "convnet") if getattr(config, part).type != "none"]
    if reading:
        raise UsageError(
            f"model.stimulus is false, but model.{reading[0]} is {getattr(config, reading[0]).type}",
            hint=f"use {' '.join(f'--set model.{part}.type=none' for part in reading)}, or model.stimulus=true",
        )
    if isinstance(config.modulator, NoModulator):
        raise UsageError(
            "model.stimulus is false and model.modulator is none: nothing is left to predict from",
            hint="use --set model.modulator.type=concat",
        )
    for session in sessions:
        if session.behavior_dim == 0:
            raise ContractError(
                f"session {session.name} has no behavior, and model.stimulus is false: nothing predicts its spikes",
                hint="add a behavior transform to its dataset config, or leave the session out",
            )
        readout = session.own_readout or config.readout
        if not isinstance(readout, LinearReadout):
            whose = "model.readout" if session.own_readout is None else f"session {session.name}: readout"
            raise UsageError(
                f"{whose} is {readout.type}, but without a stimulus there is no map to place masks on",
                hint="use a readout of type linear",
            )
