"""Settings of a sweep: which runs, beside what they have in common."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from vctrain.config.base import Config

_PATH = re.compile(r"[^\s.=]+(\.[^\s.=]+)*")
_OURS = ("--array", "-a", "--requeue", "--no-requeue", "--job-name", "-J", "--output", "-o", "--open-mode")


def _dotted(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise ValueError("expected a dotted path such as optim.lr")
    return path


def _sbatch_option(text: str) -> str:
    if not text.startswith("-") or "\n" in text:
        raise ValueError("expected an option of sbatch, such as --gpus-per-node=1")
    if text.split("=")[0].split()[0] in _OURS:
        raise ValueError("the script sets this one itself")
    return text


Path = Annotated[str, AfterValidator(_dotted)]


class SweepConfig(Config):
    """``grid.yaml``: the members are every combination of ``grid``, then the ``points``, each with every seed.

    Paths are relative to the file.
    """

    verb: Literal["train"] = "train"
    """What every member does. To fine-tune, set start.checkpoint."""
    preset: str | None = None
    config: str | None = None
    """YAML of settings, over the preset."""
    overlays: tuple[str, ...] = ()
    """Of the preset or config, such as quick."""
    data: str | None = None
    data_root: str | None = None
    set: dict[Path, Any] = Field(default_factory=dict)
    """Settings that all members have, by dotted path."""
    grid: dict[Path, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Values by dotted path; the last one changes fastest."""
    points: tuple[dict[Path, Any], ...] = ()
    """Members given one by one, as settings by dotted path."""
    seeds: PositiveInt | None = None
    """Every member with so many seeds: that of the settings, and the numbers after it."""
    slurm: tuple[Annotated[str, AfterValidator(_sbatch_option)], ...] = ("--time=4:00:00",)
    """Options of sbatch, each as one would write it behind #SBATCH."""

    @model_validator(mode="after")
    def _has_members(self) -> SweepConfig:
        if not self.grid and not self.points and self.seeds is None:
            raise ValueError("there is nothing to vary: give grid, points or seeds")
        if self.preset is None and self.config is None:
            raise ValueError("there is nothing to start from: give preset or config")
        if {} in self.points:
            raise ValueError(f"points.{self.points.index({})} sets nothing")
        twice = [path for point in (self.grid, *self.points) for path in point if path in self.set]
        if twice:
            raise ValueError(f"{twice[0]} is in set and varies: leave one of them out")
        if self.seeds is not None and any("seed" in point for point in (self.grid, *self.points)):
            raise ValueError("seed is set by grid or points and by seeds: leave one of them out")
        return self

    def combinations(self) -> Iterator[dict[str, Any]]:
        """The settings of each member without its seed, by dotted path."""
        if self.grid or not self.points:
            for values in itertools.product(*self.grid.values()):
                yield dict(zip(self.grid, values, strict=True))
        yield from (dict(point) for point in self.points)
