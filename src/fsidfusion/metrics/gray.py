"""The 8-bit gray image that every metric is defined on, and what several metrics need of one image.

A metric takes plain arrays. It may as well take ``GrayImage`` objects, which compute the fields that
several metrics share (float pixels, histogram, Sobel field, window sums, Gaussian pyramid) once, on
first use: that is how ``score`` shares work between metrics while each metric stays a pure function.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import UserError

Float: TypeAlias = NDArray[np.float64]
VIF_WINDOWS = (17, 9, 5, 3)  # 2^(4-k) + 1 for the scales k = 0..3
SSIM_WINDOW = 7


@dataclass(frozen=True)
class Gradient:
    """Sobel field of an image: ``strength`` >= 0 and ``angle`` in (-pi/2, pi/2], both (H, W) float64."""

    strength: Float
    angle: Float


@dataclass(frozen=True)
class Scale:
    """One level of the VIF pyramid: ``pixels`` (h, w), local ``mean`` and ``variance`` (h-n+1, w-n+1)."""

    window: int
    pixels: Float
    mean: Float
    variance: Float


class GrayImage:
    """An (H, W) uint8 image and, computed once on first use, the fields that metrics share."""

    def __init__(self, levels: NDArray[np.uint8]) -> None:
        self.levels = levels

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.levels.shape[0], self.levels.shape[1]

    @cached_property
    def pixels(self) -> Float:
        """(H, W) float64, 0..255."""
        return self.levels.astype(np.float64)

    @cached_property
    def histogram(self) -> NDArray[np.int64]:
        """(256,) pixel counts."""
        return np.bincount(self.levels.ravel(), minlength=256)

    @cached_property
    def sum(self) -> int:
        """Sum of the pixels, exact."""
        return int(self.levels.sum(dtype=np.int64))

    def dot(self, other: "GrayImage") -> int:
        """Sum of the products of the pixels of two images, exact: integers well below 2^53."""
        return int(np.dot(self.pixels.ravel(), other.pixels.ravel()))

    @cached_property
    def sobel(self) -> Gradient:
        """Sobel field with zero padding; the angle is atan(sy / sx), and pi/2 where sx = 0."""
        sx = cv2.Sobel(self.pixels, cv2.CV_64F, 1, 0, borderType=cv2.BORDER_CONSTANT)
        sy = cv2.Sobel(self.pixels, cv2.CV_64F, 0, 1, borderType=cv2.BORDER_CONSTANT)
        flat = sx == 0
        angle = np.arctan(sy / np.where(flat, 1.0, -sx))  # the sign is that of convolution kernels
        angle[flat] = np.pi / 2
        return Gradient(np.sqrt(sx * sx + sy * sy), angle)

    @cached_property
    def window_sums(self) -> tuple[Float, Float]:
        """Sum and sum of squares over every whole 7x7 window, (H-6, W-6), exact integers."""
        return box_sum(self.pixels), box_sum(self.pixels * self.pixels)

    @cached_property
    def pyramid(self) -> tuple[Scale, ...]:
        """The VIF scales that still hold one whole window: four of them for images of 41 pixels or more."""
        scales: list[Scale] = []
        pixels = self.pixels
        for level, window in enumerate(VIF_WINDOWS):
            if level > 0:
                if min(pixels.shape) < window:
                    break
                pixels = np.ascontiguousarray(gaussian(pixels, window)[::2, ::2])
            if min(pixels.shape) < window:
                break
            mean = gaussian(pixels, window)
            variance = np.maximum(gaussian(pixels * pixels, window) - mean * mean, 0.0)
            scales.append(Scale(window, pixels, mean, variance))
        return tuple(scales)


ImageLike: TypeAlias = "NDArray[np.generic] | GrayImage"


def box_sum(field: Float) -> Float:
    """Sum of ``field`` (H, W) over every whole 7x7 window: (H-6, W-6)."""
    edge = SSIM_WINDOW // 2
    total = cv2.boxFilter(field, cv2.CV_64F, (SSIM_WINDOW, SSIM_WINDOW), normalize=False)
    return np.asarray(total[edge:-edge, edge:-edge])


def gaussian(field: Float, window: int) -> Float:
    """'valid' Gaussian filter of n x n pixels, sigma n / 5, n = ``window``: (H-n+1, W-n+1)."""
    edge = window // 2
    kernel = cv2.getGaussianKernel(window, window / 5)
    return np.asarray(cv2.sepFilter2D(field, cv2.CV_64F, kernel, kernel)[edge:-edge, edge:-edge])


def to_gray8(image: NDArray[np.generic], name: str = "image") -> NDArray[np.uint8]:
    """Give the 8-bit gray image that metrics are computed on.

    ``image`` is (H, W), (H, W, 1) or RGB (H, W, 3), of levels 0..255: uint8, or any real type that holds
    whole numbers. Colour becomes Y = 0.299 R + 0.587 G + 0.114 B, computed in whole numbers and rounded, a
    half to even. Returns (H, W) uint8. Raises ``UserError`` for any other shape, NaN, values out of range or
    fractions; ``name`` is what the message calls the image.
    """
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or array.size == 0:
        raise UserError(f"{name} has shape {array.shape}; metrics need (H, W) gray or (H, W, 3) RGB")
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
        raise UserError(f"{name} has dtype {array.dtype}; metrics need uint8 levels 0..255")
    low, high = array.min(), array.max()
    if np.isnan(low):
        raise UserError(f"{name} holds NaN; metrics need whole levels 0..255")
    if low < 0 or high > 255:
        raise UserError(
            f"{name} ranges over {low:g}..{high:g}; metrics need levels 0..255 (scale and round first)"
        )
    levels = array.astype(np.uint8)
    if not np.array_equal(levels, array):
        raise UserError(
            f"{name} is {array.dtype} with fractions over {low:g}..{high:g}; metrics need whole "
            "levels 0..255: round it (after multiplying by 255 where the range is 0..1)"
        )
    return levels


def as_gray(image: ImageLike, name: str = "image") -> GrayImage:
    """Wrap an array as ``to_gray8`` understands it; a ``GrayImage`` is given back as it is."""
    return image if isinstance(image, GrayImage) else GrayImage(to_gray8(image, name))


def as_triple(
    fused: ImageLike, first: ImageLike, second: ImageLike
) -> tuple[GrayImage, GrayImage, GrayImage]:
    """Wrap the fused image and its two sources; raises ``UserError`` where their sizes differ."""
    images = as_gray(fused, "fused"), as_gray(first, "first"), as_gray(second, "second")
    if not images[0].shape == images[1].shape == images[2].shape:
        sizes = ", ".join(
            f"{name} {image.shape[0]}x{image.shape[1]}"
            for name, image in zip(("fused", "first", "second"), images)
        )
        raise UserError(f"metrics need three images of one size (height x width), got {sizes}")
    return images
