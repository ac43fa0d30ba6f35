"""Shared windows hold the same numbers as windows written out, whatever is done to them."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from vctrain.models.legacy.windows import Windows, dense, drop_first, frames_of

THREE_TAPS = torch.ones(2, 2, 3, 1, 1, dtype=torch.float64)


def windows_of(count: int, lags: list[int], n: int = 2, channels: int = 2, side: int = 5) -> Windows:
    generator = torch.Generator().manual_seed(count)
    stream = torch.randn(n, channels, lags[-1] + count, side, side, generator=generator, dtype=torch.float64)
    return Windows((stream,), tuple((0, lag) for lag in lags), count)


def test_gather_puts_the_oldest_window_first_and_the_newest_frame_first() -> None:
    movie = torch.arange(7.0).view(1, 1, 7, 1, 1)  # oldest first
    windows = Windows((movie.flip(2),), ((0, 0), (0, 2), (0, 3)), 4)
    assert windows.gather()[:, 0, :, 0, 0].tolist() == [[3, 1, 0], [4, 2, 1], [5, 3, 2], [6, 4, 3]]


lags = st.one_of(
    st.integers(6, 9).map(lambda n: list(range(n))), st.sets(st.integers(0, 12), min_size=6, max_size=8).map(sorted)
)
layer = st.tuples(
    st.integers(1, 3),  # taps
    st.integers(1, 2),  # stride over slots
    st.integers(1, 2),  # dilation over slots
    st.integers(0, 3),  # newest frames repeated
    st.integers(0, 1),  # oldest frames repeated
)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 5), lags=lags, layers=st.lists(layer, min_size=1, max_size=3), groups=st.integers(1, 2))
def test_correlation_of_shared_windows(count: int, lags: list[int], layers: list[tuple[int, ...]], groups: int) -> None:
    shared = windows_of(count, lags)
    whole = shared.gather()
    generator = torch.Generator().manual_seed(1)
    for taps, stride, dilation, newest, oldest in layers:
        if frames_of(shared) + newest + oldest <= dilation * (taps - 1):
            return
        weight = torch.randn(2, 2 // groups, taps, 2, 1, generator=generator, dtype=torch.float64)
        bias = torch.randn(2, generator=generator, dtype=torch.float64)
        shared = shared.map(lambda x: F.pad(x, (0, 0, 1, 0, 0, 0), mode="replicate")).repeat_edges(newest, oldest)
        whole = F.pad(whole, (0, 0, 1, 0, newest, oldest), mode="replicate")
        shared = shared.correlate(weight, bias, (stride, 1, 1), (dilation, 1, 1), groups)
        whole = F.conv3d(whole, weight, bias, (stride, 1, 1), 0, (dilation, 1, 1), groups)
        assert frames_of(shared) == frames_of(whole)
    torch.testing.assert_close(shared.gather(), whole)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 4), lags=lags, step=st.integers(1, 3))
def test_merging_slots_of_two_paths(count: int, lags: list[int], step: int) -> None:
    source = windows_of(count, lags)
    shared = source.repeat_edges(2, 0).correlate(THREE_TAPS, None, (1, 1, 1), (1, 1, 1), 1)
    skipping = source.every(step)

    def both(a: Windows | Tensor, b: Windows | Tensor) -> tuple[Windows | Tensor, Windows | Tensor]:
        common = min(frames_of(a), frames_of(b))
        return drop_first(a, frames_of(a) - common), drop_first(b, frames_of(b) - common)

    a, b = both(shared, skipping)
    assert isinstance(a, Windows)
    assert isinstance(b, Windows)
    whole_a, whole_b = both(shared.gather(), skipping.gather())
    torch.testing.assert_close(a.merge(b, torch.add).gather(), dense(whole_a) + dense(whole_b))


def test_what_windows_share_is_computed_once() -> None:
    rows: list[int] = []

    def counting(x: Tensor) -> Tensor:
        rows.append(x.shape[2])
        return x

    windows = windows_of(count=16, lags=list(range(10)))
    windows.correlate(THREE_TAPS, None, (1, 1, 1), (1, 1, 1), 1).map(counting)
    assert rows == [16 + 7]  # 16 windows of 8 slots each lie on 23 frames
    rows.clear()
    padded = windows.repeat_edges(2, 0).correlate(THREE_TAPS, None, (1, 1, 1), (1, 1, 1), 1)
    padded.map(counting)
    assert sorted(rows) == [16, 16, 16 + 7]  # and the two slots at the repeated edge on their own
