"""The eleven metrics written down as their formulas read, with ``scipy.signal.convolve2d`` and whole fields.

The tests compare the library with this, and scripts/bench_metrics.py times it against this. Every function
takes (H, W) float64 fields of levels 0..255 and shares nothing with another.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import convolve2d

Field = NDArray[np.float64]


def entropy(f: Field, a: Field, b: Field) -> float:
    """EN in bits."""
    counts = np.histogram(f, bins=256, range=(0, 256))[0]
    p = counts[counts > 0] / f.size
    return float(-(p * np.log2(p)).sum())


def standard_deviation(f: Field, a: Field, b: Field) -> float:
    """SD."""
    return float(np.sqrt(((f - f.mean()) ** 2).mean()))


def spatial_frequency(f: Field, a: Field, b: Field) -> float:
    """SF."""
    across, down = f[:, 1:] - f[:, :-1], f[1:] - f[:-1]
    return math.sqrt((across**2).mean() + (down**2).mean())


def average_gradient(f: Field, a: Field, b: Field) -> float:
    """AG."""
    down, across = np.gradient(f)
    return float(np.sqrt((across**2 + down**2) / 2).mean())


def mutual_information(f: Field, a: Field, b: Field) -> float:
    """MI in nats."""

    def shared(x: Field, y: Field) -> float:
        joint = np.histogram2d(x.ravel(), y.ravel(), bins=256, range=[[0, 256], [0, 256]])[0] / x.size
        independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
        some = joint > 0
        return float((joint[some] * np.log(joint[some] / independent[some])).sum())

    return shared(f, a) + shared(f, b)


def correlation(f: Field, a: Field, b: Field) -> float:
    """CC."""
    return (_pearson(a, f) + _pearson(b, f)) / 2


def sum_of_difference_correlations(f: Field, a: Field, b: Field) -> float:
    """SCD."""
    return _pearson(f - b, a) + _pearson(f - a, b)


def peak_signal_to_noise(f: Field, a: Field, b: Field) -> float:
    """PSNR in decibels."""
    error = (((f - a) ** 2).mean() + ((f - b) ** 2).mean()) / 2
    return float(10 * np.log10(f.max() ** 2 / error))


def structural_similarity(f: Field, a: Field, b: Field) -> float:
    """SSIM."""
    window = np.full((7, 7), 1 / 49)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def ssim(x: Field, y: Field) -> float:
        mean_x, mean_y = convolve2d(x, window, "valid"), convolve2d(y, window, "valid")
        variance_x = 49 / 48 * (convolve2d(x * x, window, "valid") - mean_x**2)
        variance_y = 49 / 48 * (convolve2d(y * y, window, "valid") - mean_y**2)
        covariance = 49 / 48 * (convolve2d(x * y, window, "valid") - mean_x * mean_y)
        structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
        return float((structure * (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)).mean())

    return ssim(a, f) + ssim(b, f)


def visual_information_fidelity(f: Field, a: Field, b: Field) -> float:
    """VIF."""

    def vif(r: Field, d: Field) -> float:
        kept = there = 0.0
        for k in range(4):
            n = 2 ** (4 - k) + 1
            x = np.arange(n) - n // 2
            bell = np.exp(-(x**2) / (2 * (n / 5) ** 2))
            window = np.outer(bell, bell) / np.outer(bell, bell).sum()
            if k > 0:
                r, d = convolve2d(r, window, "valid")[::2, ::2], convolve2d(d, window, "valid")[::2, ::2]
            mean_r, mean_d = convolve2d(r, window, "valid"), convolve2d(d, window, "valid")
            variance_r = np.maximum(convolve2d(r * r, window, "valid") - mean_r**2, 0)
            variance_d = np.maximum(convolve2d(d * d, window, "valid") - mean_d**2, 0)
            covariance = convolve2d(r * d, window, "valid") - mean_r * mean_d
            gain = covariance / (variance_r + 1e-10)
            rest = variance_d - gain * covariance
            gain[variance_r < 1e-10] = 0
            rest[variance_r < 1e-10] = variance_d[variance_r < 1e-10]
            variance_r[variance_r < 1e-10] = 0
            gain[variance_d < 1e-10] = 0
            rest[variance_d < 1e-10] = 0
            rest[gain < 0] = variance_d[gain < 0]
            gain[gain < 0] = 0
            rest = np.maximum(rest, 1e-10)
            kept += np.log10(1 + gain**2 * variance_r / (rest + 2)).sum()
            there += np.log10(1 + variance_r / 2).sum()
        return kept / there

    return vif(a, f) + vif(b, f)


def edge_preservation(f: Field, a: Field, b: Field) -> float:
    """Qabf."""
    down = np.array([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]])
    across = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])

    def sobel(x: Field) -> tuple[Field, Field]:
        sx, sy = convolve2d(x, across, "same"), convolve2d(x, down, "same")
        angle = np.full_like(sx, np.pi / 2)
        angle[sx != 0] = np.arctan(sy[sx != 0] / sx[sx != 0])
        return np.sqrt(sx**2 + sy**2), angle

    def kept(x: Field) -> tuple[float, float]:
        (g, angle), (g_f, angle_f) = sobel(x), sobel(f)
        ratio = g_f.copy()
        ratio[g > g_f] = g_f[g > g_f] / g[g > g_f]
        ratio[g < g_f] = g[g < g_f] / g_f[g < g_f]
        likeness = 1 - np.abs(angle - angle_f) / (np.pi / 2)
        q = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (likeness - 0.8)))
        return float((q * g).sum()), float(g.sum())

    (kept_a, weight_a), (kept_b, weight_b) = kept(a), kept(b)
    return (kept_a + kept_b) / (weight_a + weight_b)


def _pearson(x: Field, y: Field) -> float:
    """Pearson correlation."""
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


NAIVE: dict[str, Callable[[Field, Field, Field], float]] = {
    "EN": entropy,
    "SD": standard_deviation,
    "SF": spatial_frequency,
    "AG": average_gradient,
    "MI": mutual_information,
    "CC": correlation,
    "SCD": sum_of_difference_correlations,
    "PSNR": peak_signal_to_noise,
    "SSIM": structural_similarity,
    "VIF": visual_information_fidelity,
    "Qabf": edge_preservation,
}
