"""Contrast and gradient metrics: they look at the fused image alone, never at its sources."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.metrics.gray import ImageLike, as_gray, strips


def standard_deviation(fused: ImageLike) -> float:
    """SD: population standard deviation of the pixels.

    Input (H, W) levels 0..255. Range 0..127.5 grey levels, higher is better; proportional to contrast.
    Source: Rao, In-fibre Bragg grating sensors, Measurement Science and Technology 8 (1997), as the fusion
    literature cites it.
    """
    f = as_gray(fused)
    return math.sqrt(f.levels.size * f.dot(f) - f.sum**2) / f.levels.size


def spatial_frequency(fused: ImageLike) -> float:
    """SF: sqrt(mean squared horizontal difference + mean squared vertical difference).

    Each mean is over its own valid differences; an axis of one pixel counts as 0. Input (H, W) levels 0..255.
    Range 0..360.6 grey levels per pixel, higher is better; proportional to contrast, and noise raises it.
    Source: Eskicioglu, Fisher, Image quality measures and their performance, IEEE Trans. Communications 43
    (1995).
    """
    levels = as_gray(fused).levels
    across, down = (levels[:, 1:], levels[:, :-1]), (levels[1:], levels[:-1])
    return math.sqrt(_mean_square_difference(*across) + _mean_square_difference(*down))


def average_gradient(fused: ImageLike, share_of_inner: bool = False) -> float:
    """AG: mean of sqrt((gx^2 + gy^2) / 2), central differences, one-sided at the edges.

    Input (H, W) levels 0..255; an axis of one pixel has gradient 0. Range 0..255 grey levels per pixel,
    higher is better; proportional to contrast, and noise raises it. ``share_of_inner`` (convention `tang`)
    divides the sum by (H-1)(W-1) in place of H W; NaN there for an axis of one pixel.
    Source: Cui, Feng, Xu, Li, Chen, Detail preserved fusion of visible and infrared images using regional
    saliency extraction and multi-scale image decomposition, Optics Communications 341 (2015).
    """
    levels = as_gray(fused).levels.astype(np.int16)
    # Odd reflection makes the central difference at an edge the one-sided one, and 0 on an axis of one pixel.
    padded = np.pad(levels, 1, mode="reflect", reflect_type="odd")
    total = 0.0
    for rows in strips(padded.shape, 2):
        strip = padded[rows].astype(np.float64)
        across, down = strip[1:-1, 2:] - strip[1:-1, :-2], strip[2:, 1:-1] - strip[:-2, 1:-1]
        total += float(np.sqrt((across * across + down * down) * (1 / 8)).sum())
    height, width = levels.shape
    count = (height - 1) * (width - 1) if share_of_inner else height * width
    return total / count if count else math.nan


def _mean_square_difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean of the squared differences of two fields, 0 where they are empty."""
    return cv2.norm(one, other, cv2.NORM_L2SQR) / one.size if one.size else 0.0
