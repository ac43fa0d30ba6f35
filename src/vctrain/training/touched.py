"""What does each setting of a run touch? A line each, for its log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from torch import nn

from vctrain.config.components.modulators import PredictiveCoding
from vctrain.config.legacy import LegacyModelConfig
from vctrain.config.legacy_parts import LegacyPrediction
from vctrain.config.model import ModelConfig
from vctrain.config.schema import Settings
from vctrain.data.sampler import ClipSampler
from vctrain.models.build import AnyTwin
from vctrain.training.optimizer import HEADS, ParameterGroup, parameter_groups
from vctrain.training.regularizers import Matched, kept_from_decay, match

LAMBDA_PRED = 0.1
"""Weight of the auxiliary loss of predictive coding where nothing else is set."""
_NAMED = 4


def predicts(model: ModelConfig | LegacyModelConfig) -> bool:
    """Whether the model has a predictive-coding modulator."""
    return isinstance(model.modulator, PredictiveCoding | LegacyPrediction)


def lambda_pred(settings: Settings, model: ModelConfig | LegacyModelConfig) -> float:
    """Weight of the auxiliary loss: that of the settings, else that of a legacy model, else `LAMBDA_PRED`."""
    chosen = settings.optim.lambda_pred
    return float(getattr(model, "lambda_pred", LAMBDA_PRED)) if chosen is None else chosen


def core_learns(twin: nn.Module) -> bool:
    """Whether any parameter that sessions share takes a gradient."""
    return any(p.requires_grad and not name.startswith(HEADS) for name, p in twin.named_parameters())


def touched(settings: Settings, twin: AnyTwin, sampler: ClipSampler) -> list[str]:
    """What learning rates, weight decay, regularizers, clipping, averaging and composition act on."""
    optim, trainer = settings.optim, settings.trainer
    matched = match(twin, settings.regularization)
    kept = kept_from_decay(matched)
    groups = parameter_groups(twin, optim, kept)
    lines = [_learning(settings, groups), _decay(optim.weight_decay, groups, kept)]
    lines += [_regularized(entry) for entry in matched]
    size = sum(group.size for group in groups)
    if optim.grad_clip:
        lines.append(f"grad_clip: the gradient of all {size:,} numbers is no longer than {optim.grad_clip:g}")
    if predicts(twin.config):
        lines.append(
            f"lambda_pred: prediction errors of the scored frames of all sessions weigh "
            f"{lambda_pred(settings, twin.config):g} in the loss"
        )
    if trainer.accumulate > 1:
        lines.append(f"accumulate: a step is the mean gradient of {trainer.accumulate} batches")
    if trainer.compile:
        lines.append(
            "compile: kernels for frontend and convnet are written in the first step, which takes a minute or so"
        )
    if trainer.ema_decay is not None:
        lines.append(f"ema_decay: {size:,} numbers are averaged ({trainer.ema_decay:g}), validated and kept so")
    if sampler.shares is not None:
        low, high = int(sampler.shares.min()), int(sampler.shares.max())
        clips = f"{low}" if low == high else f"{low} to {high}"
        of = f"each of {len(sampler.shares)} sessions"
        lines.append(f"composition {settings.data.composition}: {clips} clips of {of} in a step")
    return lines


def _learning(settings: Settings, groups: Sequence[ParameterGroup]) -> str:
    rates = {"core": settings.optim.lr * settings.optim.core_lr_scale, "head": settings.optim.lr}
    parts = []
    for part, rate in rates.items():
        mine = [group for group in groups if group.name.startswith(part)]
        if mine:
            tensors = sum(len(group.parameters) for group in mine)
            parts.append(f"{part} {rate:g} ({tensors} tensors, {sum(group.size for group in mine):,} numbers)")
        else:
            parts.append(f"{part} nothing learns")
    return f"learning rate: {', '.join(parts)}"


def _decay(strength: float, groups: Sequence[ParameterGroup], kept: Iterable[str]) -> str:
    decayed = sum(len(group.parameters) for group in groups if group.weight_decay)
    others = sum(len(group.parameters) for group in groups) - decayed
    if not decayed:
        return "weight decay: none" if not strength else f"weight decay {strength:g} touches no tensor that learns"
    line = f"weight decay {strength:g}: {decayed} tensors"
    names = sorted(kept)
    others -= len(names)
    if others:
        line += f"; not {others} biases, norms, positions and alignments"
    return line + (f"; not, being under l2 or group penalties, {_listed(names)}" if names else "")


def _regularized(entry: Matched) -> str:
    regularizer, targets = entry.regularizer, entry.targets
    size = sum(target.parameter.numel() for target in targets)
    return (
        f"regularizer {regularizer.name}: {regularizer.type} {regularizer.strength:g}, {regularizer.schedule.kind}, on "
        f"{len(targets)} tensors ({size:,} numbers): {_listed([target.name for target in targets])}"
    )


def families(names: Iterable[str]) -> list[str]:
    """The names with a star for numbers, each once.

    >>> families(["readouts.0.std", "readouts.1.std", "convnet.stem.bias"])
    ['readouts.*.std', 'convnet.stem.bias']
    """
    return list(dict.fromkeys(re.sub(r"\.\d+(?=\.|$)", ".*", name) for name in names))


def _listed(names: Sequence[str]) -> str:
    found = families(names)
    return ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
