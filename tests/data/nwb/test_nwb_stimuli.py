"""Which image is on the screen when, and how do stored images become grey levels?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vctrain.config.nwb import NwbImport
from vctrain.data.nwb import images
from vctrain.data.nwb.grey import LUMINANCE, Scale, scale_for, to_grey
from vctrain.data.nwb.images import GreyImages
from vctrain.data.nwb.stimuli import held
from vctrain.errors import ContractError, UsageError

GREYS = Scale(0.0, 255.0, "")


class Stack:
    """Images in memory."""

    where = "stack"

    def __init__(self, data: NDArray[Any], chunk: int = 1) -> None:
        self.data, self.shape, self.chunk, self.reads = data, data.shape, chunk, 0

    def read(self, start: int, stop: int, rows: slice, columns: slice) -> NDArray[Any]:
        self.reads += stop - start
        return self.data[start:stop, rows, columns]


def greys(data: NDArray[Any], sequential: bool = True, **options: Any) -> NDArray[np.uint8]:
    stack = Stack(data)
    return GreyImages(stack, NwbImport(**options), sequential=sequential).take(np.arange(len(data)))


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (lambda g: g, ""),
        (lambda g: g.astype(np.int16), "int16 between 0 and 255"),
        (lambda g: g.astype(np.float32), "float32 between 0 and 255"),
        (lambda g: (g / 255).astype(np.float32), "between 0 and 1, scaled"),
        (lambda g: g / 255, "between 0 and 1, scaled"),
        (lambda g: np.float32(g) / 127.5 - 1, "taken for contrast"),
    ],
)
def test_grey_levels_survive_how_they_are_stored(stored: Any, says: str) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    stack = GreyImages(Stack(stored(levels)), NwbImport(), sequential=True)
    np.testing.assert_array_equal(stack.take(np.arange(4)), levels)
    assert says in "".join(stack.notes)
    assert bool(stack.notes) == bool(says)


def test_the_middle_of_a_range_is_mean_grey() -> None:
    halves = np.full((3, 2, 2), 0.5)
    halves[0, 0, 0], halves[0, 1, 1] = 0, 1
    assert np.unique(greys(halves)).tolist() == [0, 127, 255]
    assert greys(halves - 0.5)[1:].max() == 127
    assert greys(np.full((2, 2, 2), 40000.0), grey=(0, 80000)).max() == 127


def test_zeros_and_ones_are_black_and_white() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (5, 3, 3), dtype=np.uint8)
    np.testing.assert_array_equal(greys(bits), bits * 255)
    np.testing.assert_array_equal(greys(bits.astype(bool)), bits * 255)


@pytest.mark.parametrize("values", [[-3.0, 2.0], [0.0, 300.0], [0.0, np.nan], [-1.0, 200.0]])
def test_other_ranges_need_to_be_told(values: list[float]) -> None:
    with pytest.raises(ContractError, match="stack has values"):
        scale_for(min(values), max(values) if values[1] == values[1] else np.nan, np.dtype(float), "stack")
    data = np.zeros((4, 2, 2))
    data[2, 0, 1], data[3, 1, 1] = values
    with pytest.raises(ContractError) as error:
        greys(data)
    assert "--grey" in error.value.hint or "not finite" in error.value.message


def test_a_frame_outside_the_range_is_named() -> None:
    data = np.random.default_rng(0).random((3000, 2, 2))
    for value in (1.5, np.nan):
        data[1234, 1, 0] = value
        with pytest.raises(ContractError, match=f"stack is {value} in image 1,234"):
            greys(data)


def test_colours_become_luminance() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    wanted = colours @ LUMINANCE.astype(np.float64)
    assert np.abs(greys(colours).astype(float) - wanted).max() <= 0.5 + 1e-4
    equal = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), 3, axis=3)
    np.testing.assert_array_equal(greys(equal), equal[..., 0])
    np.testing.assert_array_equal(greys(equal[..., :1]), equal[..., 0])
    alpha = np.concatenate([equal, np.full((1, 16, 16, 1), 255, np.uint8)], axis=3)
    np.testing.assert_array_equal(greys(alpha), equal[..., 0])
    alpha[..., 3] = 0
    assert np.unique(greys(alpha)).tolist() == [127]


def test_part_of_an_image_turned_and_shrunk() -> None:
    data = np.random.default_rng(0).integers(0, 256, (3, 9, 7), dtype=np.uint8)
    np.testing.assert_array_equal(greys(data, crop=(2, 1, 4, 5)), data[:, 2:6, 1:6])
    np.testing.assert_array_equal(greys(data, transpose=True, crop=(2, 1, 4, 5)), data.swapaxes(1, 2)[:, 2:6, 1:6])
    small = greys(data, shrink=2)
    means = data[:, :8, :6].reshape(3, 4, 2, 3, 2).mean(axis=(2, 4))
    assert small.shape == (3, 4, 3)
    assert np.abs(small - means).max() <= 0.5
    notes = GreyImages(Stack(data), NwbImport(shrink=2), sequential=True).notes
    assert notes == ["stack: 1 rows at the bottom and 1 columns on the right fill no square"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": (5, 0, 5, 7)}, "--crop 5,0,5,7 goes beyond stack, which has 9 rows and 7 columns"),
        ({"crop": (0, 0, 7, 9)}, "goes beyond"),
        ({"shrink": 8}, "--shrink 8 leaves nothing"),
    ],
)
def test_parts_that_are_not_there(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        greys(np.zeros((3, 9, 7), np.uint8), **options)


@pytest.mark.parametrize("shape", [(3, 9), (0, 9, 7), (3, 9, 0), (3, 9, 7, 2), (3, 9, 7, 8), (3, 9, 7, 3, 1)])
def test_what_is_no_stack_of_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(ContractError, match="stack is"):
        GreyImages(Stack(np.zeros(shape, np.uint8)), NwbImport(), sequential=True)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_images_in_any_order_from_any_block(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 30))
    stored = np.random.default_rng(0).integers(0, 256, (n, 2, 3), dtype=np.uint8)
    index = np.array(data.draw(st.lists(st.integers(-1, n - 1), min_size=1, max_size=40)))
    sequential = data.draw(st.booleans())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "READ_BYTES", data.draw(st.sampled_from([1, 60, 200])))
        patch.setattr(images, "KEPT_BYTES", data.draw(st.sampled_from([0, 100, 10**6])))
        stack = GreyImages(Stack(stored, data.draw(st.integers(1, 7))), NwbImport(), sequential=sequential)
        taken = stack.take(index)
    wanted = np.where((index >= 0)[:, None, None], stored[np.maximum(index, 0)], 127)
    np.testing.assert_array_equal(taken, wanted)


def test_images_in_order_are_read_once() -> None:
    stack = Stack(np.random.default_rng(0).integers(2, 256, (500, 40, 50), dtype=np.uint8), chunk=7)
    movie = GreyImages(stack, NwbImport(grey=(0, 255)), sequential=True)
    for start in range(0, 500, 33):
        movie.take(np.arange(start, min(start + 33, 500)))
    assert stack.reads == 500


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_held_images_are_those_on_the_screen(data: st.DataObject) -> None:
    step = data.draw(st.sampled_from([0.25, 1 / 30, 1 / 60]))
    steps = data.draw(st.lists(st.sampled_from([1.0, 1.0, 1.0, 1.2, 0.9, 5.3]), min_size=2, max_size=25))
    times = 3 + np.concatenate([[0.0], np.cumsum(steps)]) * step
    median = float(np.median(np.diff(times)))
    rate = data.draw(st.sampled_from([1.0, 2.0, 3.7])) / median
    index = np.arange(len(times)) * 10
    new_times, shown = held(times, index, rate, "movie")
    assert (np.diff(new_times) > 0).all()
    assert shown.dtype == index.dtype
    for time, image in zip(new_times, shown // 10, strict=True):
        # on since its onset, up to a rounding error, and no later one was on yet
        assert times[image] <= time + 2e-3 / rate
        assert image == len(times) - 1 or times[image + 1] > time
        last = image == len(times) - 1 or times[image + 1] - times[image] > 1.5 * median
        assert not last or time < times[image] + median
    if rate * median == 1.0 and set(steps) == {1.0}:
        np.testing.assert_allclose(new_times, times, atol=1e-9)
        assert shown.tolist() == index.tolist()


@pytest.mark.parametrize(("step", "rate"), [(0.1, 60.0), (1 / 24, 120.0), (0.3, 10.0), (1 / 60, 60.0)])
def test_rounding_errors_do_not_delay_images(step: float, rate: float) -> None:
    times = 17.3 + np.arange(50) * step
    new_times, shown = held(times, np.arange(50), rate, "movie")
    each = round(step * rate)
    assert shown.tolist() == np.repeat(np.arange(50), each).tolist()
    np.testing.assert_allclose(new_times[::each], times, atol=1e-9)


def test_a_rate_below_that_of_the_images_is_refused() -> None:
    with pytest.raises(UsageError, match="--rate 30 is below the 60 Hz of movie"):
        held(np.arange(10) / 60, np.arange(10), 30.0, "movie")


def test_rounding_keeps_levels() -> None:
    levels = np.arange(256, dtype=np.float32).reshape(1, 16, 16)
    np.testing.assert_array_equal(to_grey(levels, GREYS, 1, "x", 0), levels)
