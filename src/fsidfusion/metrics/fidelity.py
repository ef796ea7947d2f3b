"""Fidelity to the sources: peak signal to noise ratio and visual information fidelity."""

import math

import numpy as np

from fsidfusion.metrics.gray import GrayImage, ImageLike, Scale, as_triple, gaussian

NOISE_VARIANCE = 2.0  # of the visual system, in squared grey levels
EPSILON = 1e-10


def peak_signal_to_noise(fused: ImageLike, first: ImageLike, second: ImageLike) -> float:
    """PSNR: 10 log10(max(F)^2 / MSE), MSE the mean of MSE(F, A) and MSE(F, B).

    Input three (H, W) images, levels 0..255. Decibels, about 5..25 for a fused image, higher is better;
    +inf where the three are identical, NaN where F is black. The peak is that of F: a brighter F scores higher.
    Source: Jagalingam, Hegde, A review of quality metrics for fused image, Aquatic Procedia 4 (2015).
    """
    f, a, b = as_triple(fused, first, second)
    error = (_squared_error(f, a) + _squared_error(f, b)) / 2
    peak = int(f.levels.max())
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
    f, a, b = as_triple(fused, first, second)
    return _vif(a, f) + _vif(b, f)


def _squared_error(one: GrayImage, other: GrayImage) -> float:
    """Mean squared difference."""
    return (one.dot(one) - 2 * one.dot(other) + other.dot(other)) / one.levels.size


def _vif(reference: GrayImage, distorted: GrayImage) -> float:
    """Pixel-domain VIF of one pair: information kept over information there was."""
    kept = there = 0.0
    for r, d in zip(reference.pyramid, distorted.pyramid):
        kept += _information_kept(r, d)
        there += float(np.log1p(np.where(r.variance < EPSILON, 0.0, r.variance) * (1 / NOISE_VARIANCE)).sum())
    return kept / there if there > 0 else math.nan


def _information_kept(r: Scale, d: Scale) -> float:
    """Sum over the windows of ln(1 + g^2 var_r / (s + noise)), for F = g R + blur noise of variance s."""
    covariance = gaussian(r.pixels * d.pixels, r.window) - r.mean * d.mean
    gain = covariance / (r.variance + EPSILON)
    residual = d.variance - gain * covariance
    lost = (r.variance < EPSILON) | (d.variance < EPSILON) | (gain < 0)
    gain[lost] = 0.0  # these windows keep nothing, whatever the residual
    signal = gain * gain * r.variance
    return float(np.log1p(signal / (np.maximum(residual, EPSILON) + NOISE_VARIANCE)).sum())
