"""Edge preservation: which of the sources' gradients stand in the fused image, and which it made up."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.metrics.gray import Float, ImageLike, as_triple, strips


@dataclass(frozen=True)
class Gradient:
    """Sobel field: ``strength`` >= 0 and ``angle`` in -pi/2..pi/2, both (H, W) float64."""

    strength: Float
    angle: Float


def edge_preservation(fused: ImageLike, first: ImageLike, second: ImageLike) -> float:
    """Qabf: strength and orientation of the sources' edges kept in F, weighted by the source's strength.

    Sobel gradients with zero padding. Input three (H, W) images, levels 0..255. Range 0..0.987, no unit,
    higher is better. NaN where both sources are black. Edges that only F has cost nothing here: see Nabf.
    Source: Xydeas, Petrovic, Objective image fusion performance measure, Electronics Letters 36 (2000).
    """
    # A border of zeros makes 'valid' filters of the padded strips the zero-padded filter of the image.
    f, a, b = (np.pad(image.levels, 1) for image in as_triple(fused, first, second))
    kept = weight = 0.0
    for rows in strips(f.shape, 2):
        made = _sobel(f[rows])
        for source in (_sobel(a[rows]), _sobel(b[rows])):
            kept += float(np.vdot(_preservation(source, made), source.strength))
            weight += float(source.strength.sum())
    return kept / weight if weight > 0 else math.nan


def fusion_artifacts(
    fused: ImageLike, first: ImageLike, second: ImageLike, faint_weight: float = 0.001
) -> float:
    """Nabf (modified): weighted share of edges in F that are stronger than in, and unlike, both sources.

    Sobel gradients / 8 with mirrored borders; each source's pixel weighs strength^1.5, or ``faint_weight``
    where its strength is below 2 levels (convention `tang`: 0). Input three (H, W) images, levels 0..255.
    Range 0..1, no unit, LOWER is better. NaN where no pixel has a weight, or an axis has one pixel.
    Source: Petrovic, Xydeas, Objective image fusion performance characterisation, ICCV (2005), and
    Shreyamsha Kumar, Multifocus and multispectral image fusion based on pixel significance using discrete
    cosine harmonic wavelet transform, Signal, Image and Video Processing 7 (2013).
    """
    images = as_triple(fused, first, second)
    if min(images[0].shape) < 2:
        return math.nan
    f, a, b = (np.pad(image.levels, 1, mode="reflect") for image in images)
    made_up = total = 0.0
    for rows in strips(f.shape, 2):
        made, sources = _sobel(f[rows]), (_sobel(a[rows]), _sobel(b[rows]))
        new = (made.strength > sources[0].strength) & (made.strength > sources[1].strength)
        for source in sources:
            strength = source.strength / 8
            weight = np.where(strength >= 2, strength**1.5, faint_weight)
            made_up += float(np.vdot(new * (1 - _likeness(source, made)), weight))
            total += float(weight.sum())
    return made_up / total if total > 0 else math.nan


def _sobel(padded: NDArray[np.uint8]) -> Gradient:
    """'valid' Sobel field of an (H+2, W+2) image: (H, W). The angle is atan(sy/sx), pi/2 where sx = 0."""
    sx = cv2.Sobel(padded, cv2.CV_16S, 1, 0)[1:-1, 1:-1].astype(np.float64)
    sy = cv2.Sobel(padded, cv2.CV_16S, 0, 1)[1:-1, 1:-1].astype(np.float64)
    flat = sx == 0
    angle = np.arctan(-sy / np.where(flat, 1.0, sx))  # the sign is that of convolution kernels
    return Gradient(np.sqrt(sx * sx + sy * sy), np.where(flat, np.pi / 2, angle))


def _preservation(source: Gradient, fused: Gradient) -> Float:
    """Q: how well F keeps the strength and angle of the source's edge at each pixel, (H, W), 0..0.987.

    Where both strengths are equal the strength term takes that strength itself, as published evaluators do.
    """
    weak = np.minimum(source.strength, fused.strength)
    strong = np.maximum(source.strength, fused.strength)
    strength = np.where(weak == strong, fused.strength, weak / np.maximum(strong, 1e-9))
    angle = 1 - np.abs(source.angle - fused.angle) * (2 / np.pi)
    decay = (1 + np.exp(-15 * (strength - 0.5))) * (1 + np.exp(-22 * (angle - 0.8)))
    return np.asarray(0.9994 * 0.9879 / decay)


def _likeness(source: Gradient, fused: Gradient) -> Float:
    """Q of the artefact measure, (H, W), 0..1: its own constants, and a geometric mean of the two terms."""
    weak = np.minimum(source.strength, fused.strength)
    strong = np.maximum(source.strength, fused.strength)
    strength = weak / np.maximum(strong, 1e-9)
    angle = np.abs(np.abs(source.angle - fused.angle) * (2 / np.pi) - 1)
    decay = (1 + np.exp(-19 * (strength - 0.5))) * (1 + np.exp(-22 * (angle - 0.5)))
    return np.asarray(np.sqrt(0.9999 * 0.9995 / decay))
