"""Correlation metrics. Every sum is exact (whole numbers), so a constant image is recognised as constant."""

import math

from fsidfusion.metrics.gray import GrayImage, ImageLike, as_triple


def correlation(fused: ImageLike, first: ImageLike, second: ImageLike) -> float:
    """CC: mean of the two Pearson correlations r(A, F) and r(B, F).

    Input three (H, W) images, levels 0..255. Range -1..1, no unit, higher is better. NaN where one image is
    constant. Blind to contrast: any affine change of F gives the same value.
    Source: Deshmukh, Bhosale, Image fusion and image quality assessment of fused images, Int. J. Image
    Processing 4 (2010).
    """
    f, a, b = as_triple(fused, first, second)
    ff = _scatter(f, f)
    return (_ratio(_scatter(a, f), _scatter(a, a), ff) + _ratio(_scatter(b, f), _scatter(b, b), ff)) / 2


def sum_of_difference_correlations(fused: ImageLike, first: ImageLike, second: ImageLike) -> float:
    """SCD: r(F - B, A) + r(F - A, B): does what F adds to one source look like the other?

    Input three (H, W) images, levels 0..255. Range -2..2, no unit, higher is better. NaN where a source is
    constant or F equals a source up to a constant.
    Source: Aslantas, Bendes, A new image quality metric for image fusion: the sum of the correlations of
    differences, AEU Int. J. Electronics and Communications 69 (2015).
    """
    f, a, b = as_triple(fused, first, second)
    aa, bb, ff = _scatter(a, a), _scatter(b, b), _scatter(f, f)
    ab, af, bf = _scatter(a, b), _scatter(a, f), _scatter(b, f)
    return _ratio(af - ab, ff - 2 * bf + bb, aa) + _ratio(bf - ab, ff - 2 * af + aa, bb)


def _scatter(one: GrayImage, other: GrayImage) -> int:
    """The covariance of two images times the square of the number of pixels, exact."""
    return one.levels.size * one.dot(other) - one.sum * other.sum


def _ratio(covariance: int, variance: int, other_variance: int) -> float:
    """Pearson correlation, NaN where a variance is zero."""
    if variance == 0 or other_variance == 0:
        return math.nan
    return covariance / (math.sqrt(variance) * math.sqrt(other_variance))
