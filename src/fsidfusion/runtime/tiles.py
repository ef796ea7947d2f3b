"""Tiles of a large image: where they lie, how they are read and how they blend without a seam.

A frame is the image, extended by reflection at the bottom and the right to sides that a network takes. Tiles
of equal size cover it. Each sees ``overlap`` pixels of context on its inner sides, which are dropped; over
the next ``BLEND`` pixels it fades into its neighbour. The weights of all tiles sum to one at every pixel.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.pixels import Luma, Pixels, luma

BLEND = 16  # pixels over which two tiles fade into each other


@dataclass(frozen=True)
class Span:
    """One tile along one axis of the frame."""

    start: int
    stop: int
    weights: NDArray[np.float32]  # (stop - start,): 0 in the context, 1 inside, fading in between


@dataclass(frozen=True)
class Frame:
    """The size of an image and that of its frame."""

    height: int
    width: int
    framed_height: int
    framed_width: int
    multiple: int

    @classmethod
    def around(cls, height: int, width: int, multiple: int = 1, minimum: int = 1) -> "Frame":
        """The smallest frame with sides that are multiples of ``multiple`` and at least ``minimum``."""
        framed = [-(-max(side, minimum) // multiple) * multiple for side in (height, width)]
        return cls(height, width, framed[0], framed[1], multiple)

    @property
    def pixels(self) -> int:
        """Pixels of the frame."""
        return self.framed_height * self.framed_width

    def tile_pixels(self, side: int) -> int:
        """Pixels of a tile of at most ``side`` a side."""
        return min(side, self.framed_height) * min(side, self.framed_width)

    def cut(self, pixels: Pixels, top: int, left: int, height: int, width: int) -> Luma:
        """Luma of a rectangle of the frame: (height, width) float32, reflected where it leaves the image."""
        rows = reflected(top, top + height, self.height)
        columns = reflected(left, left + width, self.width)
        return luma(pixels[rows][:, columns])

    def tiles(self, side: int, overlap: int) -> Iterator[tuple[Span, Span]]:
        """The (rows, columns) of tiles with at most ``side`` pixels a side.

        Raises:
            InputError: ``side`` leaves nothing between contexts and fades.
        """
        across = spans(self.framed_width, side, overlap, self.multiple)
        down = spans(self.framed_height, side, overlap, self.multiple)
        return ((rows, columns) for rows in down for columns in across)


def smallest_tile(overlap: int, multiple: int = 1) -> int:
    """The least tile side that :func:`spans` accepts."""
    return -(-(2 * overlap + BLEND + 2 * (BLEND + multiple)) // multiple) * multiple


def spans(size: int, side: int, overlap: int, multiple: int = 1) -> list[Span]:
    """Cover 0..size with tiles of one length, evenly placed at multiples of ``multiple``.

    They are as few as ``side`` allows, and then as short as their number allows.

    Args:
        size: of the frame along this axis, a multiple of ``multiple``.
        side: the greatest length of a tile; where it covers the frame there is one tile.
        overlap: pixels of context that a tile needs at each side for its inside to be right.
        multiple: starts and lengths are multiples of it.

    Raises:
        InputError: ``side`` is below :func:`smallest_tile`.
    """
    side -= side % multiple
    if side >= size:
        return [Span(0, size, np.ones(size, np.float32))]
    if side < smallest_tile(overlap, multiple):
        raise InputError(
            f"tile {side} is too small: this model needs {smallest_tile(overlap, multiple)} pixels or more,"
            f" since it sees {overlap} pixels around; use a larger tile, or auto"
        )
    shared = 2 * overlap + BLEND  # of two neighbours
    steps = math.ceil((size - side) / ((side - shared) // multiple * multiple))
    # starts are rounded down to a multiple, so that two neighbours may lie one further apart
    shortest = math.ceil((size + steps * (shared + multiple)) / (steps + 1) / multiple) * multiple
    side = min(side, max(shortest, smallest_tile(overlap, multiple)))
    starts = [i * (size - side) // steps // multiple * multiple for i in range(steps + 1)]
    ramp = (np.arange(BLEND, dtype=np.float32) + np.float32(0.5)) / BLEND
    ramp = ramp * ramp * (3 - 2 * ramp)
    weights = np.ones((len(starts), side), np.float32)
    for i, (left, right) in enumerate(pairwise(starts)):
        seam = (right + left + side - BLEND) // 2  # where the fade begins: in the middle of what both cover
        weights[i, seam - left :] = 0
        weights[i, seam - left : seam - left + BLEND] = 1 - ramp
        weights[i + 1, : seam - right] = 0
        weights[i + 1, seam - right : seam - right + BLEND] = ramp
    return [Span(start, start + side, row) for start, row in zip(starts, weights)]


def reflected(start: int, stop: int, size: int) -> slice | NDArray[np.intp]:
    """Rows start..stop of an image with ``size`` rows: mirrored at its last, and on."""
    if stop <= size:
        return slice(start, stop)
    if size == 1:  # a single row has nothing to mirror: it is repeated
        return np.zeros(stop - start, np.intp)
    phase = np.arange(start, stop) % (2 * size - 2)
    return np.minimum(phase, 2 * size - 2 - phase)


def sample_places(frame: Frame, side: int, pixels: int) -> tuple[int, int, list[tuple[int, int]]]:
    """Crops spread evenly over a frame, as many as ``pixels`` allows, or as cover it if that is fewer.

    Returns:
        the height and width of every crop (``side`` where the frame has it), and their (top, left).
    """
    sides = (frame.framed_height, frame.framed_width)
    height, width = (min(side, full) // frame.multiple * frame.multiple for full in sides)
    down, across = math.ceil(frame.framed_height / height), math.ceil(frame.framed_width / width)
    most = max(1, pixels // (height * width))
    share = min(1.0, most / (down * across))
    down = max(1, min(down, most, round(down * math.sqrt(share))))
    across = min(across, most // down)
    tops = _spread(frame.framed_height - height, height, down, frame.multiple)
    lefts = _spread(frame.framed_width - width, width, across, frame.multiple)
    return height, width, [(top, left) for top in tops for left in lefts]


def _spread(last: int, length: int, number: int, multiple: int) -> list[int]:
    """Starts of ``number`` crops, each in the middle of its share of the axis."""
    cell = (last + length) / number
    middles = [(i + 0.5) * cell - length / 2 for i in range(number)]
    return [int(min(max(start, 0), last)) // multiple * multiple for start in middles]
