"""Can a run begin: recordings opened, twin built, batch accepted?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl

from vctrain.config.components.convnets import NoConvnet
from vctrain.config.components.frontends import NoFrontend
from vctrain.config.datasets import load_dataset_configs
from vctrain.config.legacy import LegacyModelConfig
from vctrain.config.model import ModelConfig
from vctrain.config.schema import Settings
from vctrain.data.opening import open_sessions
from vctrain.data.sampler import ClipSampler
from vctrain.data.session import Session
from vctrain.errors import UsageError
from vctrain.models.build import AnyTwin, build_twin, context_of
from vctrain.runs.checkpoints import Checkpoint, load_exactly
from vctrain.runs.supervisor import JOB
from vctrain.training.engine import check_devices, device_of, resolve_accelerator, world
from vctrain.training.features import FeaturePlan, plan_features
from vctrain.training.freezing import freeze_again
from vctrain.training.regularizers import match
from vctrain.training.residency import check_room, hold_movies
from vctrain.training.starting import Started, reopened, start_from
from vctrain.training.touched import core_learns, predicts


@dataclass(frozen=True)
class Prepared:
    """Everything a run needs, opened and checked; nothing has been written."""

    sessions: tuple[Session, ...]
    twin: AnyTwin
    sampler: ClipSampler
    accelerator: str
    started: Started | None = None
    """What was taken from a checkpoint."""
    going_on: Checkpoint | None = None
    """The checkpoint of this very run that it goes on from."""
    begun: dict[str, Any] | None = None
    """What `Started.record` said when the run began from another run's checkpoint."""
    features: FeaturePlan | None = None
    """Of a frozen vision, kept on disk."""

    @property
    def pin_memory(self) -> bool:
        """Whether batches wait in page-locked memory, for a GPU."""
        return self.accelerator == "gpu"

    def hold_movies(self, settings: Settings) -> dict[str, Any] | None:
        """`vctrain.training.residency.hold_movies`, of a twin that reads them."""
        if not self.twin.reads_stimulus or self.features is not None:
            return None
        return hold_movies(settings.data, self.sessions, device_of(self.accelerator))

    @property
    def own_model(self) -> ModelConfig | LegacyModelConfig | None:
        """The model where it is not that of the settings."""
        if self.going_on is not None:
            return None if "model" in self.going_on.content["settings"] else self.going_on.model
        return None if self.started is None else self.started.model


def prepare(settings: Settings, world_size: int, going_on: Checkpoint | None = None) -> Prepared:
    """Open the recordings, build the twin and the sampler.

    ``going_on`` is a checkpoint of the same run. Raises what the user has to know before anything is created:
    UsageError for settings that do not fit each other, ContractError for recordings that do not fit them.
    """
    if settings.data.path is None:
        raise UsageError("no recordings: data.path is not set", hint="give --data PATH")
    accelerator = resolve_accelerator(settings.trainer.accelerator)
    check_devices(accelerator, settings.trainer.devices, settings.trainer.nodes)
    specs = load_dataset_configs(
        settings.data.path,
        data_root=settings.data.root,
        types=settings.data.types,
        max_datasets=settings.data.max_datasets,
    )
    start = settings.start
    if start.checkpoint is None and (start.freeze or start.freeze_vision or start.cache_features):
        name = "freeze" if start.freeze or start.freeze_vision else "cache_features"
        raise UsageError(
            f"start.{name} is set, but no checkpoint to start from: untrained parts would be frozen",
            hint="use vctrain finetune CKPT with these settings",
        )
    pl.seed_everything(settings.seed, workers=False, verbose=False)
    started: Started | None = None
    model: ModelConfig | LegacyModelConfig
    if going_on is not None:
        sessions, model = reopened(specs, going_on), going_on.model
    elif settings.start.checkpoint is not None:
        started = start_from(settings, specs)
        sessions, model = started.sessions, started.model
    else:
        model = settings.model
        sessions = open_sessions(specs, context_of(model), settings.data.settle_seconds, model.reads_stimulus)
    if settings.data.curriculum is not None and not model.reads_stimulus:
        raise UsageError("data.curriculum goes by the stimulus, which this model does not read", hint="leave it out")
    sampler = sampler_of(settings, sessions, context_of(model), world_size)
    twin = build_twin(model, sessions) if started is None else started.twin
    begun = None if started is None else started.record()
    if going_on is not None and (begun := going_on.content.get("start")) is not None:
        # kept features are told by the weights of what computes them
        load_exactly(twin, going_on.weights, str(going_on.path), "this run")
        freeze_again(twin, begun["frozen"])
    match(twin, settings.regularization)
    _check_effects(settings, model, accelerator)
    check_room(settings.data, sessions, device_of(accelerator), settings.trainer.devices)
    if going_on is None:
        _check_core_scale(settings.optim.core_lr_scale, twin, started)
    features = None
    if start.cache_features:
        features = plan_features(settings, twin, sessions, accelerator)
        # once: while some ranks look, others already write
        if JOB not in os.environ and world()[0] == 0:
            features.check_space()
    return Prepared(sessions, twin, sampler, accelerator, started, going_on, begun, features)


def sampler_of(settings: Settings, sessions: Sequence[Session], context: int, world_size: int) -> ClipSampler:
    """Which clips each step of a run takes; UsageError for a batch that these sessions and processes cannot share."""
    data = settings.data
    return ClipSampler(
        sessions,
        sampling=data.sampling,
        composition=data.composition,
        homogeneous=data.homogeneous,
        curriculum=data.curriculum,
        batch_clips=data.batch_clips,
        context=context,
        clip_frames=data.clip_frames,
        seed=settings.seed,
        world_size=world_size,
    )


def _check_core_scale(scale: float, twin: AnyTwin, started: Started | None) -> None:
    """Refuses a learning rate of the core where no part of it learns.

    That which the checkpoint was trained with was not asked for here: the log says that nothing of the core learns.
    """
    inherited = None if started is None else started.checkpoint.settings.optim.core_lr_scale
    if scale not in (1.0, inherited) and not core_learns(twin):
        raise UsageError(
            f"optim.core_lr_scale is {scale:g}, but nothing of the core learns",
            hint="leave it out, or add --set optim.core_lr_scale=1; or freeze less",
        )


def _has_vision(model: ModelConfig | LegacyModelConfig) -> bool:
    """Whether clips go through a frontend or a convnet of this package."""
    return (
        isinstance(model, ModelConfig)
        and model.reads_stimulus
        and not (isinstance(model.frontend, NoFrontend) and isinstance(model.convnet, NoConvnet))
    )


def _check_effects(settings: Settings, model: ModelConfig | LegacyModelConfig, accelerator: str) -> None:
    """Refuses settings that would do nothing, or something else, with this model and on this machine."""
    if settings.trainer.precision == "16-mixed" and accelerator == "cpu":
        raise UsageError(
            "trainer.precision 16-mixed needs a GPU: half precision is not trained on CPUs",
            hint="use --set trainer.precision=bf16-mixed or 32-true",
        )
    if settings.trainer.compile and (settings.start.cache_features or not _has_vision(model)):
        raise UsageError(
            "trainer.compile: there is no frontend or convnet that a step computes",
            hint="use --set trainer.compile=false; legacy models and kept features run uncompiled",
        )
    if settings.data.residency in ("device", "host") and (not model.reads_stimulus or settings.start.cache_features):
        what = "no movie" if not model.reads_stimulus else "kept features, not the movie"
        raise UsageError(
            f"data.residency {settings.data.residency}: this twin reads {what}", hint="use --set data.residency=auto"
        )
    if settings.optim.lambda_pred is not None and not predicts(model):
        raise UsageError(
            "optim.lambda_pred is set, but the model has no predictive coding",
            hint="use --set model.modulator.type=pc, or leave it out",
        )
