"""Every setting of a run, in one place; unknown keys are errors at any depth."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from vctrain.config.base import Config
from vctrain.config.model import ModelConfig
from vctrain.config.simulation import SimulationConfig


class DataConfig(Config):
    """Which recordings, and how clips are drawn from them."""

    path: str | None = None
    """Parent YAML, folder of dataset YAMLs, or folder of session folders; None simulates sessions into the cache."""
    root: str | None = None
    """Where recordings lie, if the dataset config does not say."""
    types: tuple[str, ...] | None = None
    """Stimulus types to use; None takes those of the dataset configs."""
    max_datasets: PositiveInt | None = None
    settle_seconds: NonNegativeFloat = 0.0
    """Seconds at the start of every recording that are left out, while the tissue adapts to the stimulus."""
    batch_clips: PositiveInt = 32
    """Clips in a step, over all sessions and processes."""
    clip_frames: PositiveInt = 64
    """Scored frames of a clip."""
    composition: Literal["by_size", "equal"] = "equal"
    """How many clips of each session a step holds: in proportion to its frames, or the same for all."""


class OptimConfig(Config):
    """AdamW with a core and a head group, and the learning-rate schedule."""

    lr: PositiveFloat = 1e-3
    """Learning rate of what sessions own (adapters and readouts)."""
    core_lr_scale: PositiveFloat = 1.0
    """Learning rate of the core as a multiple of `lr`."""
    weight_decay: NonNegativeFloat = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["none", "cosine"] = "cosine"
    warmup_steps: NonNegativeInt = 100
    final_lr_fraction: float = Field(0.0, ge=0.0, le=1.0)
    """Learning rate at the last step as a fraction of its peak (cosine)."""
    grad_clip: NonNegativeFloat = 1.0
    """Largest norm of the gradient; 0 does not clip."""


class TrainerConfig(Config):
    """How long, how precise, and on what."""

    max_epochs: PositiveInt = 100
    steps_per_epoch: PositiveInt = 512
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: PositiveInt = 1
    nodes: PositiveInt = 1
    patience: PositiveInt | None = None
    """Validations without improvement of val_bps_overall before the run ends; None never stops early."""
    min_delta: NonNegativeFloat = 0.0


class CheckpointConfig(Config):
    """What is kept on disk."""

    every_n_steps: PositiveInt | None = None
    """Also write last.ckpt every so many steps; None writes it after every epoch."""
    keep_best: PositiveInt = 3
    """How many of the best checkpoints stay."""


class InitConfig(Config):
    """What is measured on training frames before the first step."""

    readout_positions: Literal["maps", "center"] = "maps"
    """`maps`: spike-triggered average or energy map of each unit; `center`: the middle of the field, no maps at all."""
    kernels: Literal["maps", "config"] = "maps"
    """`maps`: temporal and stem kernels start as the main components of the units' spike-triggered averages, as far
    as there are any; `config`: as the model config says."""
    map_minutes: PositiveFloat = 15.0
    """At most so many minutes of training frames a session are read for the maps."""


class Settings(Config):
    """A run, resolved: preset < file < --set < flag."""

    preset: str | None = None
    seed: NonNegativeInt = 0
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    trainer: TrainerConfig = TrainerConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    init: InitConfig = InitConfig()
    simulation: SimulationConfig = SimulationConfig()
