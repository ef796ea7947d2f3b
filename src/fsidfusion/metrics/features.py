"""Feature mutual information: what a feature of F tells of the same feature of the sources, per window."""

import math
from typing import Literal

import numpy as np

from fsidfusion.metrics.gray import Float, ImageLike, as_triple

SIDE = 3  # of the windows, in pixels
CHUNK = 4096  # windows computed at once, to stay in the processor's cache


def feature_mutual_information(
    fused: ImageLike,
    first: ImageLike,
    second: ImageLike,
    feature: Literal["gradient", "pixel"] = "gradient",
) -> float:
    """FMI: mean over all 3x3 windows of the normalised mutual information of a feature of F and each source.

    ``feature`` is the horizontal central difference (as in the authors' program) or the pixels. In a window
    the feature values, stretched to 0..1 and to sum 1, are taken as a distribution over the 9 positions; the
    joint distribution is a mix of independence and the Frechet bound that has the windows' correlation; MI is
    divided by the mean of the two entropies. Equal windows count 1. Input three (H, W) images, levels 0..255.
    Range about 0..1, no unit, higher is better. NaN where no 3x3 window fits.
    Source: Haghighat, Aghagolzadeh, Seyedarabi, A non-reference image fusion metric based on mutual
    information of image features, Computers and Electrical Engineering 37 (2011), and Haghighat, Razian,
    Fast-FMI: non-reference image fusion metric, AICT (2014).
    """
    images = as_triple(fused, first, second)
    if min(images[0].shape) < SIDE:
        return math.nan
    f, a, b = (_windows(image.levels.astype(np.float64), feature) for image in images)
    total = 0.0
    for start in range(0, f.shape[1], CHUNK):
        chunk = slice(start, start + CHUNK)
        total += sum(float(_normalised_information(f[:, chunk], s[:, chunk]).sum()) for s in (a, b))
    return total / (2 * f.shape[1])


def _windows(pixels: Float, feature: str) -> Float:
    """The feature's values in every 3x3 window, column by column: (9, windows)."""
    field = np.gradient(pixels, axis=1) if feature == "gradient" else pixels
    view = np.lib.stride_tricks.sliding_window_view(field, (SIDE, SIDE))
    return np.ascontiguousarray(view.transpose(3, 2, 0, 1).reshape(SIDE * SIDE, -1))


def _normalised_information(one: Float, other: Float) -> Float:
    """2 I / (H + H) for each pair of windows, (9, n) and (9, n) -> (n,)."""
    p, q = _distribution(one), _distribution(other)
    entropies = _entropy_terms(p).sum(axis=0) + _entropy_terms(q).sum(axis=0)
    information = entropies - _joint_entropy(p, q)
    return np.where(
        (one == other).all(axis=0), 1.0, 2 * information / np.where(entropies > 0, entropies, np.inf)
    )


def _joint_entropy(p: Float, q: Float) -> Float:
    """Entropy in bits of Nelsen's joint distribution with margins ``p`` and ``q``, (9, n) -> (n,)."""
    n = len(p)
    cdf_p, cdf_q = np.cumsum(p, axis=0), np.cumsum(q, axis=0)
    r = _correlation(p, q)
    bounds = np.empty((n + 1, n + 1, p.shape[1]))  # the joint CDF that has the highest or lowest correlation
    bounds[0] = bounds[:, 0] = 0.0
    covariance = np.zeros(p.shape[1])
    for i in range(n):
        upper, lower = np.minimum(cdf_p[i], cdf_q), np.maximum(cdf_p[i] + cdf_q - 1, 0)
        bounds[i + 1, 1:] = np.where(r >= 0, upper, lower)
        covariance += (bounds[i + 1, 1:] - cdf_p[i] * cdf_q).sum(axis=0)
    # How much of the bound gives the correlation wanted; a distribution at one position has none.
    spread = _position_spread(p) * _position_spread(q)
    mix = np.where(spread > 0, r * spread / np.where(covariance == 0, np.inf, covariance), 0.0)
    entropy = np.zeros(p.shape[1])
    for i in range(n):
        bound = bounds[i + 1, 1:] - bounds[i, 1:] - bounds[i + 1, :-1] + bounds[i, :-1]
        entropy += _entropy_terms(mix * bound + (1 - mix) * (p[i] * q)).sum(axis=0)
    return entropy


def _distribution(window: Float) -> Float:
    """Stretch each window (9, n) to 0..1 and scale it to sum 1; a constant one becomes uniform."""
    low = window.min(axis=0)
    span = window.max(axis=0) - low
    stretched = np.where(span > 0, (window - low) / np.where(span > 0, span, 1.0), 1.0)
    return np.asarray(stretched / stretched.sum(axis=0))


def _correlation(p: Float, q: Float) -> Float:
    """Pearson correlation of the columns, 0 where one is constant: (9, n) -> (n,)."""
    p, q = p - p.mean(axis=0), q - q.mean(axis=0)
    scale = np.sqrt((p * p).sum(axis=0) * (q * q).sum(axis=0))
    return np.asarray((p * q).sum(axis=0) / np.where(scale > 0, scale, np.inf))


def _position_spread(p: Float) -> Float:
    """Standard deviation of the position 0..8 under each distribution, (9, n) -> (n,)."""
    position = np.arange(len(p))
    return np.sqrt(np.maximum(position**2 @ p - (position @ p) ** 2, 0))


def _entropy_terms(p: Float) -> Float:
    """-p log2 |p|, 0 where p is 0: the mix may leave 0..1 a little, as it does in the authors' program."""
    return np.asarray(-p * np.log2(np.where(p == 0, 1.0, np.abs(p))))
