"""Fidelity to the sources: peak signal to noise ratio and visual information fidelity."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.metrics.gray import Float, ImageLike, as_triple, strips

VIF_WINDOWS = (17, 9, 5, 3)  # 2^(4-k) + 1 for the scales k = 0..3
NOISE_VARIANCE = 2.0  # of the visual system, in squared grey levels
EPSILON = 1e-10


def peak_signal_to_noise(
    fused: ImageLike, first: ImageLike, second: ImageLike, peak: float | None = None
) -> float:
    """PSNR: 10 log10(peak^2 / MSE), MSE the mean of MSE(F, A) and MSE(F, B).

    Input three (H, W) images, levels 0..255. ``peak`` is max(F) (convention `cddfuse`: a brighter F scores
    higher) or a number; convention `tang` divides the images by 255 but keeps the peak at 255, which is a
    ``peak`` of 255^2 and adds 48 dB. Range about 5..25 dB (`tang` 53..73) for a fused image, higher is
    better; +inf where the three are identical, NaN where F is black.
    Source: Jagalingam, Hegde, A review of quality metrics for fused image, Aquatic Procedia 4 (2015).
    """
    f, a, b = as_triple(fused, first, second)
    squares = sum(cv2.norm(f.levels, source.levels, cv2.NORM_L2SQR) for source in (a, b))
    error = squares / (2 * f.levels.size)
    peak = float(f.levels.max()) if peak is None else peak
    if peak == 0:
        return math.nan
    return 10 * math.log10(peak**2 / error) if error > 0 else math.inf


def visual_information_fidelity(fused: ImageLike, first: ImageLike, second: ImageLike) -> float:
    """VIF: VIFp(A, F) + VIFp(B, F), pixel-domain visual information fidelity over four scales.

    Input three (H, W) images, levels 0..255, of 41 pixels or more for all four scales; scales that hold no
    whole window are left out. No unit, 0..2 for a faithful F, above where F enhances contrast; higher is
    better. NaN where a source is constant, or where not even one 17x17 window fits.
    Source: Sheikh, Bovik, Image information and visual quality, IEEE Trans. Image Processing 15 (2006), and
    Han, Cai, Cao, Xu, A new image fusion performance metric based on visual information fidelity,
    Information Fusion 14 (2013).
    """
    images = as_triple(fused, first, second)
    if any(source.is_constant for source in images[1:]) or min(images[0].shape) < VIF_WINDOWS[0]:
        return math.nan
    kept, there = np.zeros(2), np.zeros(2)
    fields: list[NDArray[Any]] = [image.levels for image in images]
    for scale, window in enumerate(VIF_WINDOWS):
        if scale > 0 and min(fields[0].shape) >= window:
            fields = [_halve(field, window) for field in fields]
        if min(fields[0].shape) < window:
            break
        for rows in strips(fields[0].shape, window - 1):
            f, a, b = (field[rows].astype(np.float64) for field in fields)
            _add_information(f, (a, b), window, kept, there)
    return float((kept / there).sum())


def _add_information(
    fused: Float, sources: tuple[Float, Float], window: int, kept: Float, there: Float
) -> None:
    """Add, for both sources, the information that F keeps and that there was: sums over windows of nats.

    F is modelled as gain * source + noise. Windows that are flat in F or in the source keep nothing, nor do
    those where F falls as the source rises.
    """
    mean = _gaussian(fused, window)
    variance = np.maximum(_gaussian(fused * fused, window) - mean * mean, 0)
    flat = variance < EPSILON
    for index, source in enumerate(sources):
        source_mean = _gaussian(source, window)
        source_variance = np.maximum(_gaussian(source * source, window) - source_mean * source_mean, 0)
        covariance = np.maximum(_gaussian(source * fused, window) - source_mean * mean, 0)
        covariance[flat | (source_variance < EPSILON)] = 0
        gain = covariance / (source_variance + EPSILON)
        noise = np.maximum(variance - gain * covariance, EPSILON) + NOISE_VARIANCE
        kept[index] += np.log(1 + gain * gain * source_variance / noise).sum()
        there[index] += np.log(1 + source_variance * (1 / NOISE_VARIANCE)).sum()


def _halve(field: NDArray[Any], window: int) -> Float:
    """Every second row and column of the filtered (H, W) field: ((H-n+2)/2, (W-n+2)/2), rounded down."""
    return np.concatenate(
        [
            _gaussian(field[rows].astype(np.float64), window)[::2, ::2]
            for rows in strips(field.shape, window - 1)
        ]
    )


def _gaussian(field: Float, window: int) -> Float:
    """'valid' Gaussian filter of n x n pixels, sigma n / 5, n = ``window``: (H-n+1, W-n+1)."""
    edge = window // 2
    kernel = cv2.getGaussianKernel(window, window / 5)
    return np.asarray(cv2.sepFilter2D(field, cv2.CV_64F, kernel, kernel)[edge:-edge, edge:-edge])
