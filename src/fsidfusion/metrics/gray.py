"""The 8-bit gray image that every metric is defined on, and the fields that metrics share.

A metric takes plain arrays. It may as well take ``GrayImage`` objects, which keep what several metrics
need (histograms, joint histograms and the exact sums that follow from them): that is how ``score`` shares
work between metrics while each metric stays a pure function. Filtered fields are not kept: fresh memory
costs more than the filters, so they are computed in strips that fit the processor's cache, all three images
at a time.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError

Float: TypeAlias = NDArray[np.float64]
LEVELS = np.arange(256)
STRIP_PIXELS = 1 << 15  # 256 KiB of float64
EXACT_COUNT = 1 << 24  # up to which float32 counts every pixel


class GrayImage:
    """An (H, W) uint8 image and, computed once on first use, what metrics share of it."""

    def __init__(self, levels: NDArray[np.uint8]) -> None:
        self.levels = levels
        self._joint: dict[GrayImage, NDArray[np.int64]] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.levels.shape[0], self.levels.shape[1]

    @cached_property
    def histogram(self) -> NDArray[np.int64]:
        """(256,) pixel counts."""
        return np.bincount(self.levels.ravel(), minlength=256)

    @property
    def is_constant(self) -> bool:
        """Whether all pixels have one level."""
        return int(np.count_nonzero(self.histogram)) == 1

    @cached_property
    def sum(self) -> int:
        """Sum of the pixels, exact."""
        return int(self.histogram @ LEVELS)

    def joint_histogram(self, other: "GrayImage") -> NDArray[np.int64]:
        """(256, 256) counts of the pairs of levels at one pixel: rows this image, columns ``other``."""
        if other not in self._joint:
            rows = max(EXACT_COUNT // self.shape[1], 1)
            self._joint[other] = np.zeros((256, 256), np.int64)
            for top in range(0, self.shape[0], rows):  # OpenCV counts in float32
                pair = [image.levels[top : top + rows] for image in (self, other)]
                counts = cv2.calcHist(pair, [0, 1], None, [256, 256], [0, 256, 0, 256])
                self._joint[other] += counts.astype(np.int64)
        return self._joint[other]

    def dot(self, other: "GrayImage") -> int:
        """Sum of the products of the pixels of two images, exact."""
        if other is self:
            return int(self.histogram @ (LEVELS * LEVELS))
        return int(LEVELS @ self.joint_histogram(other) @ LEVELS)


ImageLike: TypeAlias = "NDArray[np.generic] | GrayImage"


def strips(shape: tuple[int, ...], overlap: int) -> Iterator[slice]:
    """Cut the rows of an (H, W) field into slices of about ``STRIP_PIXELS`` pixels.

    Neighbouring slices share ``overlap`` rows, the window size less one, so that 'valid' filters of the
    strips give every row of the result exactly once, an even number of them but for the last strip. Nothing
    for fields of ``overlap`` rows or less.
    """
    rows = max(STRIP_PIXELS // shape[1] // 2 * 2, 2)
    for top in range(0, shape[0] - overlap, rows):
        yield slice(top, min(top + rows + overlap, shape[0]))


def to_gray8(image: NDArray[np.generic], name: str = "image") -> NDArray[np.uint8]:
    """Give the 8-bit gray image that metrics are computed on.

    ``image`` is (H, W), (H, W, 1) or RGB (H, W, 3), of levels 0..255: uint8, or any real type that holds
    whole numbers. Colour becomes Y = 0.299 R + 0.587 G + 0.114 B, computed in whole numbers and rounded, a
    half to even. Returns (H, W) uint8. Raises ``InputError`` for any other shape, NaN, values out of range or
    fractions; ``name`` is what the message calls the image.
    """
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or array.size == 0:
        raise InputError(f"{name} has shape {array.shape}; metrics need (H, W) gray or (H, W, 3) RGB")
    if array.dtype != np.uint8:
        array = _whole_levels(array, name)
    if array.ndim == 2:
        return np.ascontiguousarray(array)
    red, green, blue = np.moveaxis(array.astype(np.int32), 2, 0)
    level, rest = np.divmod(299 * red + 587 * green + 114 * blue, 1000)
    return (level + ((rest > 500) | ((rest == 500) & (level % 2 == 1)))).astype(np.uint8)


def _whole_levels(array: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Check that ``array`` holds levels 0..255 and give them as uint8."""
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} has dtype {array.dtype}; metrics need uint8 levels 0..255")
    low, high = array.min(), array.max()
    if np.isnan(low):
        raise InputError(f"{name} holds NaN; metrics need whole levels 0..255")
    if low < 0 or high > 255:
        raise InputError(f"{name} ranges over {low:g}..{high:g}; metrics need 0..255 (scale and round first)")
    levels = array.astype(np.uint8)
    if not np.array_equal(levels, array):
        raise InputError(
            f"{name} is {array.dtype} with fractions over {low:g}..{high:g}; metrics need whole levels "
            "0..255: round it (after multiplying by 255 where the range is 0..1)"
        )
    return levels


def as_gray(image: ImageLike, name: str = "image") -> GrayImage:
    """Wrap an array as ``to_gray8`` understands it; a ``GrayImage`` is given back as it is."""
    return image if isinstance(image, GrayImage) else GrayImage(to_gray8(image, name))


def as_triple(
    fused: ImageLike, first: ImageLike, second: ImageLike
) -> tuple[GrayImage, GrayImage, GrayImage]:
    """Wrap the fused image and its two sources; raises ``InputError`` where their sizes differ."""
    f, a, b = as_gray(fused, "fused"), as_gray(first, "first"), as_gray(second, "second")
    if not f.shape == a.shape == b.shape:
        sizes = ", ".join(
            f"{name} {h}x{w}"
            for name, (h, w) in zip(("fused", "first", "second"), (f.shape, a.shape, b.shape))
        )
        raise InputError(f"metrics need three images of one size (height x width), got {sizes}")
    return f, a, b
