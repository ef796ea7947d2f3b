"""Fusion without a network: the rules that every method has to beat.

Each takes two luma images, (H, W) float32 in 0..1, and gives one of the same kind, nominally 0..1 (the
transforms may overshoot by a little); images of any size from 1x1 up.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import required
from fsidfusion.images.pixels import Luma

LEVELS = 4  # of the pyramid and of the wavelet transform, where the image is large enough
WAVELET = "db2"


def maximum(infrared: Luma, visible: Luma) -> Luma:
    """The brighter of the two pixels."""
    return np.maximum(infrared, visible)


def mean(infrared: Luma, visible: Luma) -> Luma:
    """The mean of the two pixels.

    Every other mean of two 8-bit pixels lies halfway between two levels, so that the rounding of such ties
    decides the scores (EN on TNO: 6.23 or 6.42). They go to the even level, as NumPy and OpenCV round: a tie
    is moved towards it by a thousandth of a level.
    """
    levels = (infrared + visible) * np.float32(127.5)
    tied = np.abs(levels - np.floor(levels) - np.float32(0.5)) < 5e-4
    levels += np.where(tied, np.copysign(np.float32(1e-3), 2 * np.rint(levels / 2) - levels), np.float32(0))
    return levels * np.float32(1 / 255)


def laplacian(infrared: Luma, visible: Luma) -> Luma:
    """The larger detail of two Laplacian pyramids, level by level, on the mean of what remains.

    Burt and Adelson, "The Laplacian pyramid as a compact image code", 1983; fused by the larger coefficient
    as in Burt and Kolczynski, "Enhanced image capture through fusion", 1993.
    """
    details: list[Luma] = []
    for _ in range(LEVELS):
        if min(infrared.shape) < 4:
            break
        height, width = infrared.shape
        lower = [np.asarray(cv2.pyrDown(image), np.float32) for image in (infrared, visible)]
        upper = [cv2.pyrUp(image, dstsize=(width, height)) for image in lower]
        details.append(_larger(infrared - upper[0], visible - upper[1]))
        infrared, visible = lower
    fused = (infrared + visible) * np.float32(0.5)
    for detail in reversed(details):
        fused = cv2.pyrUp(fused, dstsize=detail.shape[::-1]) + detail
    return fused


def wavelet(infrared: Luma, visible: Luma) -> Luma:
    """The larger of two wavelet coefficients in every detail band, the mean of the approximations.

    Li, Manjunath and Mitra, "Multisensor image fusion using the wavelet transform", 1995, without the
    consistency check.
    """
    pywt = required("pywt", "model wavelet")

    levels = min(LEVELS, pywt.dwtn_max_level(infrared.shape, WAVELET))
    (base, *details), (other_base, *other_details) = (
        pywt.wavedec2(image, WAVELET, level=levels) for image in (infrared, visible)
    )
    bands = [
        tuple(_larger(ours, theirs) for ours, theirs in zip(*level)) for level in zip(details, other_details)
    ]
    fused = pywt.waverec2([(base + other_base) * np.float32(0.5), *bands], WAVELET)
    return np.ascontiguousarray(fused[: infrared.shape[0], : infrared.shape[1]])


def guided(infrared: Luma, visible: Luma) -> Luma:
    """Base and detail layers, each weighted by its saliency smoothed along the edges of the source.

    Li, Kang and Hu, "Image fusion with guided filtering", 2013, with the paper's windows and constants: base
    by a 31x31 mean; saliency the Laplacian's magnitude under a Gaussian of radius and sigma 5; guided filters
    of radius 45 and eps 0.3 (base), radius 7 and eps 1e-6 (detail).
    """
    sources = (infrared, visible)
    bases = [np.asarray(cv2.blur(image, (31, 31)), np.float32) for image in sources]
    saliency = [
        cv2.GaussianBlur(np.abs(cv2.Laplacian(image, cv2.CV_32F)), (11, 11), 5.0) for image in sources
    ]
    more_salient = (saliency[0] >= saliency[1]).astype(np.float32)
    masks = (more_salient, 1 - more_salient)
    base = _weighted(bases, [_guided_filter(g, m, 45, 0.3) for g, m in zip(sources, masks)])
    details = [image - low for image, low in zip(sources, bases)]
    return base + _weighted(details, [_guided_filter(g, m, 7, 1e-6) for g, m in zip(sources, masks)])


RULES: dict[str, Callable[[Luma, Luma], Luma]] = {
    "maximum": maximum,
    "mean": mean,
    "laplacian": laplacian,
    "guided": guided,
    "wavelet": wavelet,
}


def fuse_stack(name: str, infrared: NDArray[np.float32], visible: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply the baseline ``name`` to every pair of a stack: (B, H, W) and (B, H, W) to (B, H, W)."""
    return np.stack([RULES[name](*pair) for pair in zip(infrared, visible)])


def _larger(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.abs(ours) >= np.abs(theirs), ours, theirs)


def _weighted(layers: list[Luma], weights: list[Luma]) -> Luma:
    """The weighted mean of two layers; weights outside 0..1 are clipped, and their sum is never 0."""
    first, second = (np.clip(weight, 0.0, 1.0) + np.float32(1e-6) for weight in weights)
    return np.divide(layers[0] * first + layers[1] * second, first + second, dtype=np.float32)


def _guided_filter(guide: Luma, mask: Luma, radius: int, eps: float) -> Luma:
    """Smooth ``mask`` along the edges of ``guide`` (He, Sun and Tang, "Guided image filtering", 2013)."""
    side = (2 * radius + 1, 2 * radius + 1)
    # float64: a variance is a difference of nearly equal means, and eps may be far below float32's error
    i, p = guide.astype(np.float64), mask.astype(np.float64)
    mean_i, mean_p = cv2.blur(i, side), cv2.blur(p, side)
    slope = (cv2.blur(i * p, side) - mean_i * mean_p) / (cv2.blur(i * i, side) - mean_i**2 + eps)
    offset = mean_p - slope * mean_i
    return (cv2.blur(slope, side) * i + cv2.blur(offset, side)).astype(np.float32)
