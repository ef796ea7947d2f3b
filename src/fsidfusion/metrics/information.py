"""Information metrics: entropy and mutual information of 8-bit histograms."""

import math

import numpy as np
from numpy.typing import NDArray

from fsidfusion.metrics.gray import GrayImage, ImageLike, as_gray, as_triple


def entropy(fused: ImageLike) -> float:
    """EN: Shannon entropy of the 256-bin histogram, -sum p log2 p.

    Input (H, W) levels 0..255. Range 0..8 bits, higher is better: more grey levels in use, which noise and
    contrast stretching also give.
    Source: Roberts, van Aardt, Ahmed, Assessment of image fusion procedures using entropy, image quality,
    and multispectral classification, J. Applied Remote Sensing 2 (2008).
    """
    counts = as_gray(fused).histogram
    return _entropy(counts[counts > 0] / counts.sum()) / math.log(2)


def mutual_information(fused: ImageLike, first: ImageLike, second: ImageLike, base: float = math.e) -> float:
    """MI: I(F;A) + I(F;B) from 256x256 joint histograms.

    Input three (H, W) images, levels 0..255. Range 0..2 H(F), in nats (``base`` e, convention `cddfuse`) or
    bits (``base`` 2, convention `tang`); higher is better. A copy of one source scores its whole entropy.
    Source: Qu, Zhang, Yan, Information measure for performance of image fusion, Electronics Letters 38
    (2002).
    """
    f, a, b = as_triple(fused, first, second)
    return (_shared_information(f, a) + _shared_information(f, b)) / math.log(base)


def _shared_information(one: GrayImage, other: GrayImage) -> float:
    """I(one; other) in nats."""
    total = one.levels.size
    joint = one.joint_histogram(other)
    rows, columns = np.nonzero(joint)
    p = joint[rows, columns] / total
    independent = (one.histogram[rows] / total) * (other.histogram[columns] / total)
    return max(float(np.sum(p * np.log(p / independent))), 0.0)


def _entropy(p: NDArray[np.float64]) -> float:
    """Entropy of positive probabilities, in nats."""
    return max(-float(np.sum(p * np.log(p))), 0.0)
