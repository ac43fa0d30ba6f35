"""How are the overlapping windows of neighbouring frames computed without computing what they share twice?

A window holds T slots, newest frame first. What a slot holds depends on its frame and, near the newest edge of the
window where convolutions repeat the first slot, on its place; seldom on the window itself. Features are therefore kept
once for every *version* of a place, as a stream over frames, and a slot says which stream it reads and how far back.
Whatever looks across a whole window (a norm over lags, a GRU) gets the windows themselves from `gather`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Lengths: TypeAlias = tuple[int, int, int]
"""In slots, rows and columns."""
Slot: TypeAlias = tuple[int, int]
"""A stream, and the frame it is read at for the newest window."""


@dataclass(frozen=True)
class Windows:
    """Windows of ``count`` neighbouring frames of each clip.

    ``streams`` are ``(n, C, R, H, W)``, newest frame first; slot ``(s, o)`` of the window that ends ``w`` frames before
    the newest is ``streams[s][:, :, o + w]``.
    """

    streams: tuple[Tensor, ...]
    slots: tuple[Slot, ...]
    count: int

    @property
    def frames(self) -> int:
        """Slots of a window."""
        return len(self.slots)

    def map(self, function: Callable[[Tensor], Tensor]) -> Windows:
        """``function`` of every frame; it must treat frames one by one."""
        return replace(self, streams=tuple(function(stream) for stream in self.streams))

    def drop_first(self, number: int) -> Windows:
        """Without the ``number`` newest slots."""
        return replace(self, slots=self.slots[number:])

    def every(self, step: int) -> Windows:
        """Every ``step``-th slot from the newest on."""
        return replace(self, slots=self.slots[::step])

    def repeat_edges(self, newest: int, oldest: int) -> Windows:
        """The outermost slots repeated, as padding does."""
        return replace(self, slots=(self.slots[:1] * newest) + self.slots + (self.slots[-1:] * oldest))

    def correlate(
        self,
        weight: Tensor,
        bias: Tensor | None,
        stride: Sequence[int],
        dilation: Sequence[int],
        groups: int,
    ) -> Windows:
        """Unpadded cross-correlation over slots and space, with ``weight`` ``(O, I / groups, k, kh, kw)``."""
        taps = weight.shape[2]
        reach = dilation[0] * (taps - 1)
        starts = range(0, self.frames - reach, stride[0])
        groups_of_slots = [[self.slots[j + dilation[0] * i] for i in range(taps)] for j in starts]
        space = (stride[1], stride[2])

        def compute(slots: Sequence[Slot], length: int) -> Tensor:
            step = _even_step(slots)
            if step is not None:
                (stream, first), last = slots[0], slots[-1][1]
                frames = self.streams[stream][:, :, first : last + length]
                return F.conv3d(frames, weight, bias, (1, *space), 0, (step, *dilation[1:]), groups)
            parts: list[Tensor] = []
            for slot in dict.fromkeys(slots):
                own = weight[:, :, [i for i, other in enumerate(slots) if other == slot]].sum(2, keepdim=True)
                frames = self.streams[slot[0]][:, :, slot[1] : slot[1] + length]
                first_bias = None if parts else bias
                parts.append(F.conv3d(frames, own, first_bias, (1, *space), 0, (1, *dilation[1:]), groups))
            return torch.stack(parts).sum(0)

        return _combine(groups_of_slots, self.count, compute)

    def largest(self, kernel: Lengths, stride: Lengths, padding: tuple[int, int]) -> Windows:
        """The largest value under a ``kernel`` over slots and space; slots are not padded."""
        starts = range(0, self.frames - kernel[0] + 1, stride[0])
        space: dict[str, Any] = {"stride": (1, *stride[1:]), "padding": (0, *padding)}

        def compute(slots: Sequence[Slot], length: int) -> Tensor:
            if _even_step(slots) == 1:
                (stream, first), last = slots[0], slots[-1][1]
                return F.max_pool3d(self.streams[stream][:, :, first : last + length], kernel, **space)
            frames = [self.streams[s][:, :, o : o + length] for s, o in dict.fromkeys(slots)]
            return functools.reduce(torch.maximum, [F.max_pool3d(x, (1, *kernel[1:]), **space) for x in frames])

        return _combine([list(self.slots[j : j + kernel[0]]) for j in starts], self.count, compute)

    def merge(self, other: Windows, function: Callable[[Tensor, Tensor], Tensor]) -> Windows:
        """``function`` of the frames of both, slot by slot; both have as many slots."""
        streams = (*self.streams, *other.streams)
        shift = len(self.streams)
        pairs = [[a, (b[0] + shift, b[1])] for a, b in zip(self.slots, other.slots, strict=True)]

        def compute(slots: Sequence[Slot], length: int) -> Tensor:
            first, second = (streams[s][:, :, start : start + length] for s, start in slots)
            return function(first, second)

        return _combine(pairs, self.count, compute)

    def gather(self) -> Tensor:
        """The windows themselves, ``(n * count, C, T, H, W)``: clip by clip, the oldest window first."""
        joined = torch.cat(self.streams, dim=2) if len(self.streams) > 1 else self.streams[0]
        ends = [0]
        for stream in self.streams:
            ends.append(ends[-1] + stream.shape[2])
        rows = [[ends[s] + o + self.count - 1 - w for s, o in self.slots] for w in range(self.count)]
        index = torch.tensor(rows, device=joined.device)
        n, channels, _, height, width = joined.shape
        picked = joined.index_select(2, index.flatten()).view(n, channels, self.count, self.frames, height, width)
        return picked.transpose(1, 2).reshape(n * self.count, channels, self.frames, height, width)


Features: TypeAlias = Tensor | Windows
"""Windows ``(n, C, T, H, W)``, written out or shared."""


def _even_step(slots: Sequence[Slot]) -> int | None:
    """The step between slots of one stream that lie evenly, going back in time; None where they do not."""
    if len(slots) == 1:
        return 1
    step = slots[1][1] - slots[0][1]
    even = all(b[1] - a[1] == step and b[0] == a[0] for a, b in itertools.pairwise(slots))
    return step if even and step > 0 else None


def _combine(groups: Sequence[Sequence[Slot]], count: int, compute: Callable[[Sequence[Slot], int], Tensor]) -> Windows:
    """New slots from groups of old ones: groups that differ only in how far back they lie share one stream.

    ``compute`` takes the slots of a group as read for the newest frame of the stream, and the stream's length.
    """
    bases = [min(offset for _, offset in group) for group in groups]
    shapes = [tuple((s, o - base) for s, o in group) for group, base in zip(groups, bases, strict=True)]
    streams: list[Tensor] = []
    slots: dict[int, Slot] = {}
    for shape in dict.fromkeys(shapes):
        members = [j for j, other in enumerate(shapes) if other == shape]
        newest = min(bases[j] for j in members)
        length = max(bases[j] for j in members) - newest + count
        slots.update({j: (len(streams), bases[j] - newest) for j in members})
        streams.append(compute([(s, o + newest) for s, o in shape], length))
    return Windows(tuple(streams), tuple(slots[j] for j in range(len(groups))), count)


def frames_of(x: Features) -> int:
    """Slots of the windows."""
    return x.frames if isinstance(x, Windows) else x.shape[2]


def drop_first(x: Features, number: int) -> Features:
    """Without the ``number`` newest slots."""
    return x.drop_first(number) if isinstance(x, Windows) else x[:, :, number:]


def dense(x: Features) -> Tensor:
    """The windows written out."""
    return x.gather() if isinstance(x, Windows) else x
