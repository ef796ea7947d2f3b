"""Metrics modelled on human contrast perception: Chen-Blum (Qcb) and Chen-Varshney (Qcv).

Both first stretch every image to 0..255 by its minimum and maximum and round, as the toolbox does that
published values come from; contrast stretching of F therefore hardly changes them.
"""

import math

import cv2
import numpy as np

from fsidfusion.metrics.gray import Float, GrayImage, ImageLike, as_triple

BLOCK = 16  # side of the regions of Qcv in pixels


def chen_blum(fused: ImageLike, first: ImageLike, second: ImageLike) -> float:
    """Qcb: how far the local contrasts of the sources, as an observer sees them, are kept in F.

    The images pass a contrast sensitivity filter (a difference of Gaussians in cycles per 1/15 image side).
    Local contrast c is the ratio of two Gaussian means (sigma 2 and 4) less one; masked contrast is
    c^3 / (c^2 + 1e-4); preserved is the smaller over the larger of F's and the source's, weighted by the
    sources' squared masked contrasts. Where neither has contrast it counts as kept; where neither source has
    any, both weigh the same. Input three (H, W) images, levels 0..255. Range 0..1, no unit, higher is better.
    Source: Chen, Blum, A new automated quality assessment algorithm for image fusion, Image and Vision
    Computing 27 (2009); constants of Liu, Blasch, Xue et al., Objective assessment of multiresolution image
    fusion algorithms for context enhancement in night vision, IEEE Trans. PAMI 34 (2012).
    """
    f, a, b = (_masked_contrast(image) for image in as_triple(fused, first, second))
    salience_a, salience_b = a * a, b * b
    total = salience_a + salience_b
    share = np.divide(salience_a, total, out=np.full_like(total, 0.5), where=total > 0)
    return float(np.mean(share * _smaller_over_larger(a, f) + (1 - share) * _smaller_over_larger(b, f)))


def chen_varshney(fused: ImageLike, first: ImageLike, second: ImageLike) -> float:
    """Qcv: visible squared error of F to each source, weighted by where that source has strong edges.

    The differences A - F and B - F pass a contrast sensitivity filter (in cycles per 1/4 image side); per
    16x16 region their mean square is weighted with the sum of the source's Sobel strength^5. Regions that
    stick out of the image are filled up with zeros. Input three (H, W) images, levels 0..255. Range 0 up,
    squared grey levels, typically 100..1500, LOWER is better. NaN where neither source has an edge.
    Source: Chen, Varshney, A human perception inspired quality metric for image fusion based on regional
    information, Information Fusion 8 (2007); constants of Liu et al. as for ``chen_blum``.
    """
    f, *sources = (_stretch(image) for image in as_triple(fused, first, second))
    error = weight = 0.0
    for source in sources:
        sx = cv2.Sobel(source, cv2.CV_64F, 1, 0, borderType=cv2.BORDER_CONSTANT)
        sy = cv2.Sobel(source, cv2.CV_64F, 0, 1, borderType=cv2.BORDER_CONSTANT)
        salience = _block_sums((sx * sx + sy * sy) ** 2.5)
        radius = _frequency(source.shape) / 4
        sensitivity = 2.6 * (0.0192 + 0.144 * radius) * np.exp(-((0.144 * radius) ** 1.1))
        difference = _filter(source - f, sensitivity)
        error += float(np.sum(salience * _block_sums(difference * difference))) / BLOCK**2
        weight += float(salience.sum())
    return error / weight if weight > 0 else math.nan


def _stretch(image: GrayImage) -> Float:
    """(H, W) float64 levels, minimum to 0 and maximum to 255, rounded; a constant image becomes 0."""
    levels = image.levels.astype(np.float64)
    low, high = levels.min(), levels.max()
    return np.floor((levels - low) / max(high - low, 1.0) * 255 + 0.5)


def _frequency(shape: tuple[int, ...]) -> Float:
    """Radial frequency in cycles per image side of every coefficient of ``rfft2``, (H, W // 2 + 1)."""
    height, width = shape
    return np.hypot(np.fft.fftfreq(height, 1 / height)[:, None], np.fft.rfftfreq(width, 1 / width))


def _filter(field: Float, response: Float) -> Float:
    """Multiply the spectrum of a periodic (H, W) field with a real response."""
    return np.asarray(np.fft.irfft2(np.fft.rfft2(field) * response, s=field.shape))


def _masked_contrast(image: GrayImage) -> Float:
    """The visible local contrast of an image after masking by itself, (H, W), >= 0."""
    radius = _frequency(image.shape) / 15
    sensitivity = np.exp(-((radius / 15.3870) ** 2)) - 0.7622 * np.exp(-((radius / 1.3456) ** 2))
    seen = _filter(_stretch(image), sensitivity)
    fine, coarse = (_zero_padded_gaussian(seen, sigma) for sigma in (2.0, 4.0))
    contrast = np.abs(np.divide(fine, coarse, out=np.ones_like(fine), where=coarse != 0) - 1)
    return contrast**3 / (contrast**2 + 1e-4)


def _zero_padded_gaussian(field: Float, sigma: float) -> Float:
    """31x31 Gaussian filter of an (H, W) field with zeros around it; the kernel's sum is just below 1."""
    offset = np.arange(-15, 16)
    kernel = np.exp(-offset * offset / (2 * sigma * sigma)) / (np.sqrt(2 * np.pi) * sigma)
    return np.asarray(cv2.sepFilter2D(field, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_CONSTANT))


def _smaller_over_larger(one: Float, other: Float) -> Float:
    """Ratio 0..1 of two fields >= 0, and 1 where both are 0."""
    larger = np.maximum(one, other)
    return np.divide(np.minimum(one, other), larger, out=np.ones_like(larger), where=larger > 0)


def _block_sums(field: Float) -> Float:
    """Sums over 16x16 regions of an (H, W) field, zeros beyond its edges: (ceil(H/16), ceil(W/16))."""
    height, width = field.shape
    padded = np.pad(field, ((0, -height % BLOCK), (0, -width % BLOCK)))
    rows, columns = padded.shape[0] // BLOCK, padded.shape[1] // BLOCK
    return padded.reshape(rows, BLOCK, columns, BLOCK).sum(axis=(1, 3))
