"""Every setting of a run, in one place; unknown keys are errors at any depth."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from vctrain.config.base import Config
from vctrain.config.model import ModelConfig
from vctrain.config.regularization import Regularizer
from vctrain.config.simulation import SimulationConfig


class Curriculum(Config):
    """Frames of low contrast are drawn less often at first: a frame weighs min(1, alpha * c), c its contrast over the
    median; alpha rises linearly to 1 over `warmup_steps`, and from there on all frames are drawn alike."""

    by: Literal["contrast"] = "contrast"
    start: float = Field(0.5, gt=0.0, le=1.0)
    """alpha at step 0."""
    warmup_steps: PositiveInt = 8000


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
    sampling: Literal["stratified", "uniform", "epoch"] = "stratified"
    """`stratified`: clips of every session in each step; `uniform`: every clip equally likely; `epoch`: trials tiled
    into clips, each training frame once before any comes again."""
    composition: Literal["by_size", "equal", "by_subject"] = "equal"
    """Of a stratified step: clips of each session in proportion to its frames, or the same for all sessions, or for all
    subjects (whose losses then weigh the same too)."""
    homogeneous: bool = False
    """Every step holds clips of one session; which one is drawn as `composition` says."""
    curriculum: Curriculum | None = None
    """Begin with frames of high contrast; `{}` takes the defaults."""
    residency: Literal["auto", "device", "host", "mmap"] = "auto"
    """Where movies lie while clips are drawn in training: in the memory of the `device`, of each process on the `host`,
    or in their mapped files (`mmap`). `auto`: on a GPU if they take no more than a quarter of its free memory."""


Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class OptimConfig(Config):
    """AdamW with a core and a head group, and the learning-rate schedule."""

    lr: PositiveFloat = 1e-3
    """Learning rate of what sessions own (adapters and readouts)."""
    core_lr_scale: PositiveFloat = 1.0
    """Learning rate of the core as a multiple of `lr`."""
    weight_decay: NonNegativeFloat = 1e-4
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    schedule: Literal["none", "step", "plateau", "cosine", "cosine_warmup", "cosine_warmup_restart"] = "cosine"
    """What follows the warm-up; `cosine_warmup` is another name of `cosine`."""
    warmup_steps: NonNegativeInt = 100
    """Steps over which the learning rate rises linearly, whatever the schedule; never zero."""
    final_lr_fraction: float = Field(0.0, ge=0.0, le=1.0)
    """Learning rate at the end of a cosine as a fraction of its peak."""
    decay_epochs: PositiveInt = 30
    """Of `step`: epochs after which the learning rate falls by `decay_factor`, again and again."""
    decay_factor: float = Field(0.5, gt=0.0, lt=1.0)
    """Of `step` and `plateau`."""
    plateau_patience: NonNegativeInt = 3
    """Of `plateau`: validations without a better val_bps_overall that are waited for before the learning rate falls."""
    restart_epochs: PositiveInt | None = None
    """Of `cosine_warmup_restart`: length of a cosine; None: half of what follows the warm-up."""
    lambda_pred: NonNegativeFloat | None = None
    """Weight of the auxiliary loss of a predictive-coding modulator; None: 0.1, or that of a legacy model."""
    grad_clip: NonNegativeFloat = 1.0
    """Largest norm of the gradient; 0 does not clip."""


class TrainerConfig(Config):
    """How long, how precise, and on what."""

    max_epochs: PositiveInt = 100
    steps_per_epoch: PositiveInt = 512
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """`16-mixed` needs a GPU."""
    compile: bool = False
    """Have torch.compile write kernels for frontend and convnet, in the first step; validations run without."""
    accumulate: PositiveInt = 1
    """Batches whose gradients are averaged into one optimizer step."""
    ema_decay: float | None = Field(None, gt=0.0, lt=1.0)
    """Validate, and keep, an exponential moving average of the weights, this much of which stays at each step."""
    max_skipped_steps: NonNegativeInt = 10
    """Steps in a row that may be skipped because their loss is not finite, before the run ends."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: PositiveInt = 1
    nodes: PositiveInt = 1
    patience: PositiveInt | None = None
    """Validations without improvement of val_bps_overall before the run ends; None never stops early."""
    min_delta: NonNegativeFloat = 0.0
    max_minutes: PositiveFloat | None = None
    """Fit the schedule to this much training: speed is measured once, and `max_epochs` and `steps_per_epoch` replaced
    by what fits."""
    measured_step_seconds: PositiveFloat | None = None
    """Written by a run that fitted its schedule to `max_minutes`; where it is set, nothing is measured again."""
    silence_minutes: PositiveFloat = 30.0
    """How long one process may wait for the others before the run ends as failed."""


class CheckpointConfig(Config):
    """What is kept on disk."""

    every_n_steps: PositiveInt | None = None
    """Also write last.ckpt every so many steps; it is written at the end of every epoch in any case."""
    every_n_minutes: PositiveFloat | None = 15.0
    """Also write last.ckpt whenever this long has passed since it was written."""
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


class StartConfig(Config):
    """What a run takes from a checkpoint, and what of it stays as it is."""

    checkpoint: str | None = None
    """A checkpoint or run directory; None starts anew."""
    model: Literal["checkpoint", "settings"] = "checkpoint"
    """Whose model config holds: that of the checkpoint, or `model` of the settings."""
    load: Literal["all", "vision"] = "all"
    """`all`: every tensor that fits; `vision`: adapters, frontend and convnet."""
    freeze_vision: bool = False
    """Frontend, convnet and every adapter that was loaded stay as they are; the adapter of a new session learns."""
    freeze: tuple[str, ...] = ()
    """`core`, or patterns of parameter names (pieces joined by /)."""
    add_sessions: tuple[str, ...] | None = None
    """Sessions the checkpoint does not know that join; None: all that the data hold."""
    refit_readout: tuple[str, ...] = ()
    """Sessions whose units changed: their readouts start anew, units known by cid from what they were."""
    cache_features: bool = False
    """Compute once, and keep on disk, what leaves the convnet; needs every adapter, frontend and convnet frozen."""


class LoggingConfig(Config):
    """Pictures of a run while it trains, and where its records are shown beside its own directory; nothing that fails
    there ends a run."""

    wandb: Literal["off", "offline", "online"] = "off"
    """Weights & Biases; `offline` keeps its files in the run directory."""
    project: str = "vctrain"
    entity: str | None = None
    """Of Weights & Biases: the team; None is the user's own."""
    group: str | None = None
    tags: tuple[str, ...] = ()
    tensorboard: bool = False
    """Write event files for TensorBoard into the run directory; needs `pip install 'vctrain[tensorboard]'`."""
    plots_every: NonNegativeInt = 5
    """Epochs between two sets of pictures of the twin, in the run directory and wherever the run is shown; 0: none."""


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
    start: StartConfig = StartConfig()
    logging: LoggingConfig = LoggingConfig()
    regularization: tuple[Regularizer, ...] = ()
    """Penalties and proximal steps on parameters."""
    simulation: SimulationConfig = SimulationConfig()
