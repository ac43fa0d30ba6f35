"""Which images does a file hold, in which order, and how are some of them read as grey levels?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from vctrain.config.nwb import NwbImport
from vctrain.data.clips import MEAN_GREY
from vctrain.data.intervals import Ints
from vctrain.data.making.arrays import Array, sampled, shown
from vctrain.data.nwb.file import length_of, read
from vctrain.data.nwb.grey import COLOURS, Greys, Scale, scale_for, to_grey
from vctrain.errors import ContractError, UsageError

_OUTSIDE = "images are read from the file only; decode the movie, and save it with vctrain.save_session"
READ_BYTES = 1 << 25
KEPT_BYTES = 1 << 28
"""Images that are shown again and again are kept as grey levels, if all of them fit in so much memory."""


class Stack(Protocol):
    """Images (n, rows, columns) or (n, rows, columns, channels) as they are stored."""

    where: str
    shape: tuple[int, ...]
    chunk: int
    """Images that are stored, and so read, together."""

    def read(self, start: int, stop: int, rows: slice, columns: slice) -> Array:
        """A part of some images."""


class SeriesStack:
    """The frames of an ImageSeries."""

    def __init__(self, series: Any) -> None:
        self.where = f"{type(series).__name__} {series.name}"
        if series.external_file is not None and length_of(series.external_file):
            raise ContractError(
                f"the frames of {self.where} are in {series.external_file[0]}, outside the file",
                hint=_OUTSIDE,
            )
        self._data = series.data
        self.shape = tuple(int(side) for side in series.data.shape)
        self.chunk = (getattr(self._data, "chunks", None) or (1,))[0]

    def read(self, start: int, stop: int, rows: slice, columns: slice) -> Array:
        """A part of some frames."""
        return read(self.where, self._data, (slice(start, stop), rows, columns))


class ImagesStack:
    """The images of an Images container, in its own order."""

    def __init__(self, images: Any) -> None:
        self.where = f"Images {images.name}"
        if images.order_of_images is None:
            raise ContractError(
                f"{self.where} has no order_of_images, so an index into it means nothing",
                hint="add an ImageReferences called order_of_images, with pynwb",
            )
        self._images: Sequence[Any] = list(images.order_of_images.data)
        outside = [image for image in self._images if isinstance(image.data, str)]
        if outside:
            raise ContractError(
                f"{self.where}: image {outside[0].name} is in {outside[0].data}, outside the file", hint=_OUTSIDE
            )
        shapes = [getattr(image.data, "shape", ()) for image in self._images]
        for image, shape in zip(self._images, shapes, strict=True):
            if tuple(shape) != tuple(shapes[0]):
                raise ContractError(
                    f"{self.where}: image {image.name} is {shown(tuple(shape))}, {self._images[0].name} "
                    f"{shown(tuple(shapes[0]))}",
                    hint="images of one stimulus share one size and one kind (grey, RGB)",
                )
        self.shape = (len(shapes), *(int(side) for side in (shapes[0] if shapes else ())))
        self.chunk = 1

    def read(self, start: int, stop: int, rows: slice, columns: slice) -> Array:
        """A part of some images."""
        parts = [read(f"{self.where}, {image.name}", image.data, (rows, columns)) for image in self._images[start:stop]]
        return np.stack(parts)


class GreyImages:
    """Images as grey levels, cropped and shrunk; read in blocks of bounded size.

    `sequential`: they are asked for in order, so that large blocks are read ahead. Others are kept in memory if all of
    them fit, because they are likely to be asked for again.
    """

    def __init__(self, stack: Stack, options: NwbImport, *, sequential: bool) -> None:
        self.where, self._stack, self._options = stack.where, stack, options
        shape = stack.shape
        if len(shape) not in (3, 4) or 0 in shape or (len(shape) == 4 and shape[3] not in (1, *COLOURS)):
            raise ContractError(
                f"{self.where} is {shown(shape)}",
                hint="images are (frames, rows, columns), or with 3 or 4 colours at the end",
            )
        rows, columns = (shape[2], shape[1]) if options.transpose else (shape[1], shape[2])
        self._part, height, width = _part(self.where, rows, columns, options)
        self.n, self.height, self.width = shape[0], height // options.shrink, width // options.shrink
        self.colours = COLOURS.get(shape[3]) if len(shape) == 4 else None
        self._left_over = height % options.shrink, width % options.shrink
        image_bytes = height * width * int(np.prod(shape[3:])) * 4
        chunk = stack.chunk if stack.chunk * image_bytes <= KEPT_BYTES else 1
        large = -(-max(1, READ_BYTES // image_bytes) // chunk) * chunk
        keep = not sequential and self.n * self.height * self.width <= KEPT_BYTES
        self._step = self.n if keep else large if sequential else chunk
        self._read_step = large
        self._scale: Scale | None = None
        self._block: tuple[int, Greys] | None = None

    @property
    def scale(self) -> Scale:
        """Black and white, as asked for, or by the values of some images. Raises ContractError."""
        if self._scale is None:
            grey = self._options.grey
            if grey is None:
                images = [self._read(i, i + 1) for i in sampled(self.n)]
                low, high = min(float(i.min()) for i in images), max(float(i.max()) for i in images)
                self._scale = scale_for(low, high, images[0].dtype, self.where)
            else:
                self._scale = Scale(*grey, f"{self.where}: {grey[0]:g} taken for black, {grey[1]:g} for white")
        return self._scale

    @property
    def notes(self) -> list[str]:
        """What is done to the values."""
        said = [self.scale.note] if self.scale.note else []
        if self.colours is not None:
            said.append(f"{self.where}: {self.colours} turned into luminance (ITU-R BT.709)")
        if any(self._left_over):
            bottom, right = self._left_over
            said.append(f"{self.where}: {bottom} rows at the bottom and {right} columns on the right fill no square")
        return said

    def take(self, index: Ints) -> Greys:
        """The images with these numbers, (n, height, width); mean grey for numbers below 0."""
        frames = np.full((len(index), self.height, self.width), MEAN_GREY, np.uint8)
        block = np.where(index >= 0, index // self._step, -1)
        for number in np.unique(block[block >= 0]).tolist():
            here = block == number
            frames[here] = self._greys(number)[index[here] - number * self._step]
        return frames

    def _greys(self, number: int) -> Greys:
        """One block of images; the last one asked for is kept."""
        if self._block is None or self._block[0] != number:
            first, last = number * self._step, min((number + 1) * self._step, self.n)
            greys = np.empty((last - first, self.height, self.width), np.uint8)
            for start in range(first, last, self._read_step):
                stop = min(start + self._read_step, last)
                stored = self._read(start, stop)
                greys[start - first : stop - first] = to_grey(
                    stored, self.scale, self._options.shrink, self.where, start
                )
            self._block = number, greys
        return self._block[1]

    def _read(self, start: int, stop: int) -> Array:
        rows, columns = self._part
        if not self._options.transpose:
            return self._stack.read(start, stop, rows, columns)
        return np.swapaxes(self._stack.read(start, stop, columns, rows), 1, 2)


def _part(where: str, rows: int, columns: int, options: NwbImport) -> tuple[tuple[slice, slice], int, int]:
    """The rows and columns to read, and how many. Raises UsageError for a part that is not there."""
    top, left, height, width = options.crop or (0, 0, rows, columns)
    if top + height > rows or left + width > columns:
        raise UsageError(
            f"--crop {top},{left},{height},{width} goes beyond {where}, which has {rows} rows and {columns} columns",
            hint="give top, left, height, width in pixels",
        )
    if options.shrink > min(height, width):
        raise UsageError(
            f"--shrink {options.shrink} leaves nothing of {height} rows and {width} columns", hint="give less"
        )
    return (slice(top, top + height), slice(left, left + width)), height, width
