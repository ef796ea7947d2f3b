"""Structural similarity of the fused image to its sources, at one scale and at five."""

import math
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.metrics.gray import Float, ImageLike, as_triple, strips

WINDOW = 7  # uniform
GAUSSIAN_WINDOW = 11  # sigma 1.5
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


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
    images = as_triple(fused, first, second)
    height, width = images[0].shape
    if min(height, width) < WINDOW:
        return math.nan
    # All terms are multiplied by the window size n, so that the sums stay whole numbers, exact.
    n = WINDOW**2
    c1, c2 = (0.01 * value_range) ** 2 * n * n, (0.03 * value_range) ** 2 * n * (n - 1)
    total = 0.0
    for rows in strips((height, width), WINDOW - 1):
        f, *sources = (image.levels[rows].astype(np.uint16) for image in images)
        sum_f, squares_f = _box_sum(f), _box_sum(f * f)
        for source in sources:
            sum_s = _box_sum(source)
            product, means = sum_s * sum_f, sum_s * sum_s + sum_f * sum_f
            covariance = n * _box_sum(source * f) - product
            variances = n * (_box_sum(source * source) + squares_f) - means
            ssim = (2 * product + c1) * (2 * covariance + c2) / ((means + c1) * (variances + c2))
            total += float(ssim.sum())
    return total / ((height - WINDOW + 1) * (width - WINDOW + 1))


def gaussian_structural_similarity(fused: ImageLike, first: ImageLike, second: ImageLike) -> float:
    """SSIM of convention `tang`: SSIM(A, F) + SSIM(B, F) over whole 11x11 Gaussian windows, sigma 1.5.

    Input three (H, W) images, levels 0..255, range 255, weighted population variances. Range -2..2, no unit,
    higher is better. NaN where no 11x11 window fits. Source: as ``structural_similarity``.
    """
    images = as_triple(fused, first, second)
    if min(images[0].shape) < GAUSSIAN_WINDOW:
        return math.nan
    f, a, b = (image.levels.astype(np.float64) for image in images)
    return sum(_luminance_contrast(f, source)[0] for source in (a, b))


def multi_scale_structural_similarity(fused: ImageLike, first: ImageLike, second: ImageLike) -> float:
    """MS-SSIM: MSSSIM(A, F) + MSSSIM(B, F) over five scales, each half the one before.

    Per scale the mean contrast-structure term over whole 11x11 Gaussian windows (sigma 1.5), at the coarsest
    the mean SSIM, multiplied with the paper's exponents; negative means count as 0. Input three (H, W)
    images, levels 0..255, of 161 pixels or more. Range 0..2, no unit, higher is better. NaN where the images
    are too small for five scales.
    Source: Wang, Simoncelli, Bovik, Multiscale structural similarity for image quality assessment, Asilomar
    Conference on Signals, Systems and Computers (2003).
    """
    images = as_triple(fused, first, second)
    if min(images[0].shape) <= (GAUSSIAN_WINDOW - 1) << (len(SCALE_WEIGHTS) - 1):
        return math.nan
    fields = [image.levels.astype(np.float64) for image in images]
    similarity = np.ones(2)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        f, *sources = fields
        terms = [_luminance_contrast(f, source) for source in sources]
        coarsest = scale == len(SCALE_WEIGHTS) - 1
        similarity *= [max(ssim if coarsest else contrast, 0.0) ** weight for ssim, contrast in terms]
        fields = [_halve(field) for field in fields]
    return float(similarity.sum())


def _luminance_contrast(one: Float, other: Float) -> tuple[float, float]:
    """Mean SSIM and mean contrast-structure term of two (H, W) fields, 11x11 Gaussian windows, range 255."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    edge = GAUSSIAN_WINDOW // 2
    kernel = cv2.getGaussianKernel(GAUSSIAN_WINDOW, 1.5)
    smooth = partial(cv2.sepFilter2D, ddepth=cv2.CV_64F, kernelX=kernel, kernelY=kernel)
    inside = (slice(edge, -edge), slice(edge, -edge))
    ssim = contrast = 0.0
    for rows in strips(one.shape, 2 * edge):
        x, y = one[rows], other[rows]
        mean_x, mean_y = smooth(x)[inside], smooth(y)[inside]
        product, means = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
        variances = smooth(x * x + y * y)[inside] - means
        structure = (2 * (smooth(x * y)[inside] - product) + c2) / (variances + c2)
        contrast += float(structure.sum())
        ssim += float((structure * (2 * product + c1) / (means + c1)).sum())
    windows = (one.shape[0] - 2 * edge) * (one.shape[1] - 2 * edge)
    return ssim / windows, contrast / windows


def _halve(field: Float) -> Float:
    """Mean of 2x2 blocks; an odd last row or column is doubled first."""
    height, width = field.shape
    even = np.pad(field, ((0, height % 2), (0, width % 2)), mode="edge")
    return np.ascontiguousarray(even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def _box_sum(field: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Sum of ``field`` (H, W) over every whole 7x7 window: (H-6, W-6)."""
    edge = WINDOW // 2
    total = cv2.boxFilter(field, cv2.CV_32S, (WINDOW, WINDOW), normalize=False)
    return np.asarray(total[edge:-edge, edge:-edge])
