"""How do the clips of a run reach its twin, in training and in validation?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vctrain.config.schema import Settings
from vctrain.data.features import StoredFeatures
from vctrain.data.loader import EvalLoader, Reads, TrainLoader
from vctrain.data.session import Session
from vctrain.data.tiles import clip_frames
from vctrain.models.build import AnyTwin
from vctrain.training.prepare import Prepared

LEAST_EVAL_FRAMES, MOST_EVAL_FRAMES = 240, 480
EVAL_CLIPS = 4
"""Scored frames of a clip of evaluation, and clips that go together: fixed, as the digits of a figure must not depend
on the batch size or the ranks. How many frames it is follows from the trials of the session."""


def reads_of(twin: AnyTwin, features: Mapping[int, StoredFeatures] | None = None) -> Reads:
    """What of a clip is read for this twin; its features instead of the movie where they were computed beforehand."""
    return Reads(stim=twin.reads_stimulus, history=twin.history_frames, features=features or {})


def training_loader(
    settings: Settings,
    prepared: Prepared,
    rank: int,
    step: Callable[[], int],
    features: Mapping[int, StoredFeatures] | None = None,
) -> TrainLoader:
    """The batches of an epoch on this process, from the optimizer step on that ``step`` names when it begins."""
    accumulate = settings.trainer.accumulate
    return TrainLoader(
        prepared.sampler,
        prepared.sessions,
        rank=rank,
        steps_per_epoch=settings.trainer.steps_per_epoch * accumulate,
        start_step=lambda: step() * accumulate,
        pin_memory=prepared.pin_memory,
        reads=reads_of(prepared.twin, features),
    )


def validation_loader(
    sessions: Sequence[Session],
    split: str,
    twin: AnyTwin,
    rank: int,
    world_size: int,
    *,
    context: int | None = None,
    features: Mapping[int, StoredFeatures] | None = None,
    pin_memory: bool = False,
) -> EvalLoader:
    """Every frame of ``split`` once, in canonical chunks, with the true rates where they are known.

    ``context`` is the twin's own, or a longer one.
    """
    context = twin.context if context is None else max(context, twin.context)
    frames = [
        clip_frames(session, split, context, least=LEAST_EVAL_FRAMES, most=MOST_EVAL_FRAMES) for session in sessions
    ]
    return EvalLoader(
        sessions,
        split=split,
        context=context,
        frames=frames,
        clips=EVAL_CLIPS,
        rank=rank,
        world_size=world_size,
        rate_true=True,
        pin_memory=pin_memory,
        reads=reads_of(twin, features),
    )
