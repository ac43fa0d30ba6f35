"""What does a twin predict for some units of a session, clip by clip, where a report wants to know?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vctrain.data.intervals import Ints
from vctrain.data.session import Session
from vctrain.models.adapter import contrast
from vctrain.models.build import AnyTwin
from vctrain.training.loaders import validation_loader


@dataclass(frozen=True)
class Predicted:
    """Clips of a session and what is predicted for K of its units; spikes a bin, on the CPU."""

    starts: Ints
    """(n,): first scored frame of each clip."""
    kinds: tuple[str, ...]
    """(n,): type of stimulus of each clip."""
    robs: Tensor
    """(n, L, K) float32."""
    rhat: Tensor
    """(n, L, K) float32."""
    rate_true: Tensor | None
    """(n, L, K) float32; None where it is not known."""
    counted: Tensor
    """(n, L, K) bool: which entries are scored."""
    contrast: Tensor | None
    """(n, T, H, W) float32; None for a twin that reads no stimulus."""


Scales = tuple[Sequence[float], Sequence[float]]
"""Gain and offset (spikes a bin) that the rates of K units get."""
Wanted = Callable[[int, int, str], bool]
"""Whether the clip with scored frames [start, stop) of a type of stimulus is to be predicted."""


def predictions(
    twin: AnyTwin,
    session: Session,
    split: str,
    units: Sequence[int],
    wanted: Wanted,
    device: torch.device,
    scales: Scales | None = None,
) -> Iterator[Predicted]:
    """The clips of ``split`` in which ``wanted`` sees something, for ``units`` (places in the session).

    Each scored frame comes at most once, in the groups of the evaluation; of a group nobody wants, nothing is read.
    """
    loader = validation_loader([session], split, twin, 0, 1)
    columns = list(units)
    gain, offset = (torch.tensor(list(part)) for part in scales or ([1.0], [0.0]))
    for group in range(loader.n_groups):
        _, starts = loader.starts(group)
        kinds = tuple(session.recordings[session.place_of(start)[0]].kind for start in starts.tolist())
        ends = zip(starts.tolist(), kinds, strict=True)
        if not any(wanted(start, start + loader.frames, kind) for start, kind in ends):
            continue
        part = loader.batch(group).parts[0]
        with torch.inference_mode():
            rates = twin((part.to(device),))[0].float().cpu()
        real = slice(len(starts))
        yield Predicted(
            starts=starts,
            kinds=kinds,
            robs=part.robs[real][..., columns],
            rhat=gain * rates[real][..., columns] + offset,
            rate_true=None if part.rate_true is None else part.rate_true[real][..., columns],
            counted=(part.dfs > 0).expand_as(part.robs)[real][..., columns],
            contrast=contrast(part)[real] if part.stim is not None else None,
        )
