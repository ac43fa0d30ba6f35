"""What is the largest batch that fits into the memory of a GPU? Asked after one that did not."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vctrain.config.schema import Settings
from vctrain.data.loader import TrainLoader
from vctrain.data.sampler import ClipSampler
from vctrain.errors import UsageError
from vctrain.models.twin import Twin
from vctrain.training.engine import autocast, device_of, world
from vctrain.training.loaders import reads_of
from vctrain.training.loss import session_losses, step_loss
from vctrain.training.prepare import Prepared, sampler_of


def largest_batch(settings: Settings, prepared: Prepared) -> int | None:
    """The largest ``data.batch_clips`` below that of the settings with which a step of this twin fits; None if none."""
    usable = [clips for clips in range(1, settings.data.batch_clips) if _sampler(settings, prepared, clips) is not None]
    return largest_that(lambda clips: _fits(settings, prepared, clips), usable)


def largest_that(fits: Callable[[int], bool], sizes: list[int]) -> int | None:
    """The largest of the ascending ``sizes`` that ``fits``, of which all below one that fits do, in few trials.

    >>> largest_that(lambda size: size <= 13, [2, 4, 8, 12, 16, 32]), largest_that(lambda size: False, [1, 2])
    (12, None)
    """
    low, high = 0, len(sizes)
    while low < high:
        middle = (low + high) // 2
        if fits(sizes[middle]):
            low = middle + 1
        else:
            high = middle
    return sizes[low - 1] if low else None


def _sampler(settings: Settings, prepared: Prepared, clips: int) -> ClipSampler | None:
    """None if the sessions and processes cannot share so many clips."""
    # a curriculum says which clips, not how many
    data = settings.data.model_copy(update={"batch_clips": clips, "curriculum": None})
    try:
        return sampler_of(
            settings.model_copy(update={"data": data}), prepared.sessions, prepared.twin.context,
            prepared.sampler.world_size,
        )  # fmt: skip
    except UsageError:
        return None


def _fits(settings: Settings, prepared: Prepared, clips: int) -> bool:
    """One forward and backward pass of this process's share, beside what the optimizer will hold."""
    rank, world_size = world()
    twin = prepared.twin
    if isinstance(twin, Twin):
        # each size would be compiled anew
        twin.compiles = False
    device = device_of(prepared.accelerator)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    sampler = _sampler(settings, prepared, clips)
    assert sampler is not None
    loader = TrainLoader(
        sampler, prepared.sessions, rank=rank, steps_per_epoch=1,
        start_step=lambda: 0, reads=reads_of(twin),
    )  # fmt: skip
    twin.to(device)
    try:
        moments = [torch.zeros_like(p) for p in twin.parameters() if p.requires_grad for _ in range(2)]
        batch = loader.batch(0).to(device)
        with torch.enable_grad(), autocast(device, settings.trainer.precision):
            loss = step_loss(session_losses(twin(batch.parts), batch), batch, world_size)
        loss.backward()
        del moments
        return True
    except torch.OutOfMemoryError:
        return False
    finally:
        twin.zero_grad(set_to_none=True)
