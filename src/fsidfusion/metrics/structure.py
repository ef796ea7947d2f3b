"""Structural similarity of the fused image to its sources."""

import math

import numpy as np

from fsidfusion.metrics.gray import SSIM_WINDOW, GrayImage, ImageLike, as_triple, box_sum


def structural_similarity(
    fused: ImageLike, first: ImageLike, second: ImageLike, value_range: float = 255.0
) -> float:
    """SSIM: SSIM(A, F) + SSIM(B, F), each the mean over the whole 7x7 uniform windows.

    Input three (H, W) images, levels 0..255; ``value_range`` L sets the constants (0.01 L)^2 and (0.03 L)^2,
    variances are sample variances. Range -2..2, no unit, higher is better. NaN where no 7x7 window fits.
    ``SSIM_legacy`` is ``value_range`` 2: float images 0..255 handed to a function that takes floats to span
    -1..1, which is what the published numbers contain.
    Source: Wang, Bovik, Sheikh, Simoncelli, Image quality assessment: from error visibility to structural
    similarity, IEEE Trans. Image Processing 13 (2004).
    """
    f, a, b = as_triple(fused, first, second)
    if min(f.shape) < SSIM_WINDOW:
        return math.nan
    return _ssim(a, f, value_range) + _ssim(b, f, value_range)


def _ssim(one: GrayImage, other: GrayImage, value_range: float) -> float:
    """Mean SSIM of a pair. Everything is a multiple of the window size n, so that sums stay whole numbers."""
    n = SSIM_WINDOW**2
    sum_x, squares_x = one.window_sums
    sum_y, squares_y = other.window_sums
    c1 = (0.01 * value_range) ** 2 * n * n
    c2 = (0.03 * value_range) ** 2 * n * (n - 1)
    product = sum_x * sum_y
    means = sum_x * sum_x + sum_y * sum_y
    covariance = n * box_sum(one.pixels * other.pixels) - product
    variances = n * (squares_x + squares_y) - means
    ssim = (2 * product + c1) * (2 * covariance + c2) / ((means + c1) * (variances + c2))
    return float(np.mean(ssim))
