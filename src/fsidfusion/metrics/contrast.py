"""Contrast and gradient metrics: they look at the fused image alone, never at its sources."""

import math

import numpy as np

from fsidfusion.metrics.gray import Float, ImageLike, as_gray


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
    pixels = as_gray(fused).pixels
    return math.sqrt(_mean_square(np.diff(pixels, axis=1)) + _mean_square(np.diff(pixels, axis=0)))


def average_gradient(fused: ImageLike) -> float:
    """AG: mean of sqrt((gx^2 + gy^2) / 2), central differences, one-sided at the edges.

    Input (H, W) levels 0..255; an axis of one pixel has gradient 0. Range 0..255 grey levels per pixel,
    higher is better; proportional to contrast, and noise raises it.
    Source: Cui, Feng, Xu, Li, Chen, Detail preserved fusion of visible and infrared images using regional
    saliency extraction and multi-scale image decomposition, Optics Communications 341 (2015).
    """
    pixels = as_gray(fused).pixels
    energy = _central_difference(pixels) ** 2
    energy += _central_difference(pixels.T).T ** 2
    return float(np.sqrt(energy * 0.5).mean())


def _mean_square(differences: Float) -> float:
    """Mean of squares, 0 for an empty array."""
    flat = differences.ravel()
    return float(np.dot(flat, flat)) / max(flat.size, 1)


def _central_difference(pixels: Float) -> Float:
    """Derivative along the second axis, the shape of ``pixels``."""
    if pixels.shape[1] < 2:
        return np.zeros_like(pixels)
    return np.asarray(np.gradient(pixels, axis=1))
