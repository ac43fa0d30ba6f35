"""The windowed reference of the benchmarks predicts what the twin of the same weights predicts."""

from __future__ import annotations

import pytest
import torch
from made_twins import clips, config, twin

from benchmarks.windowed import Windowed, windows_of

RECURRENT = {"type": "convgru", "hidden": 3, "kernel": 3, "warmup": 4}


def test_windows_are_the_frames_up_to_each_scored_one() -> None:
    part = clips(0, 2, frames=9, scored=3, units=2)
    windows = windows_of(part, context=4)
    assert part.stim is not None
    assert windows.stim is not None
    assert windows.stim.shape == (6, 5, 12, 12)
    for clip in range(2):
        for t in range(3):
            assert torch.equal(windows.stim[3 * clip + t], part.stim[clip, t + 2 : t + 7])
            assert torch.equal(windows.robs[3 * clip + t, 0], part.robs[clip, t])


@pytest.mark.parametrize("changes", [{}, {"modulator": {"type": "film", "dims": [4]}}], ids=["movie", "behaviour"])
def test_every_frame_of_a_clip_without_recurrent_units(changes: dict[str, object]) -> None:
    built = twin(config(**changes), behavior=3 if changes else 0)
    frames = built.context + 7
    parts = [clips(i, 2, frames, 7, n, behavior=3 if changes else 0) for i, n in enumerate(built.units)]
    with torch.no_grad():
        for mine, theirs in zip(built(parts), Windowed(built, at_once=5)(parts), strict=True):
            torch.testing.assert_close(theirs, mine, rtol=1e-5, atol=1e-7)


def test_clips_of_one_scored_frame_with_recurrent_units() -> None:
    built = twin(config(recurrent=RECURRENT))
    parts = [clips(i, 5, built.context + 4, 4, n) for i, n in enumerate(built.units)]
    single = [windows_of(part, built.context) for part in parts]
    with torch.no_grad():
        found, streamed = Windowed(built)(parts), built(parts)
        for mine, theirs, clip in zip(built(single), found, streamed, strict=True):
            torch.testing.assert_close(theirs.flatten(0, 1)[:, None], mine, rtol=1e-5, atol=1e-7)
            torch.testing.assert_close(theirs[:, 0], clip[:, 0], rtol=1e-5, atol=1e-7)


def test_gradients_are_the_same() -> None:
    built = twin(config())
    parts = [clips(i, 2, built.context + 4, 4, n) for i, n in enumerate(built.units)]
    gradients = []
    for model in (built, Windowed(built)):
        built.zero_grad()
        torch.stack([rate.square().mean() for rate in model(parts)]).sum().backward()
        gradients.append([p.grad.clone() for p in built.parameters() if p.grad is not None])
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-6)
