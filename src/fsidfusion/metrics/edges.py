"""Edge preservation: how much of the sources' gradients stands in the fused image."""

import math

import numpy as np

from fsidfusion.metrics.gray import Float, Gradient, ImageLike, as_triple


def edge_preservation(fused: ImageLike, first: ImageLike, second: ImageLike) -> float:
    """Qabf: strength and orientation of the sources' edges kept in F, weighted by the source's strength.

    Input three (H, W) images, levels 0..255. Range 0..0.987, no unit, higher is better. NaN where neither
    source has an edge. Edges that only F has cost nothing here: see Nabf.
    Source: Xydeas, Petrovic, Objective image fusion performance measure, Electronics Letters 36 (2000).
    """
    f, a, b = (image.sobel for image in as_triple(fused, first, second))
    weight = a.strength.sum() + b.strength.sum()
    if weight == 0:
        return math.nan
    kept = np.vdot(preservation(a, f), a.strength) + np.vdot(preservation(b, f), b.strength)
    return float(kept / weight)


def preservation(source: Gradient, fused: Gradient) -> Float:
    """Q: how well F keeps the strength and angle of the source's edge at each pixel, (H, W), 0..0.987.

    Where both strengths are equal the strength term takes that strength itself, as published evaluators do.
    """
    weak = np.minimum(source.strength, fused.strength)
    strong = np.maximum(source.strength, fused.strength)
    equal = weak == strong
    strength = np.divide(weak, strong, out=fused.strength.copy(), where=~equal)
    angle = 1 - np.abs(source.angle - fused.angle) * (2 / np.pi)
    kept_strength = 1 + np.exp(-15 * (strength - 0.5))
    kept_angle = 1 + np.exp(-22 * (angle - 0.8))
    return np.asarray(0.9994 * 0.9879 / (kept_strength * kept_angle))
