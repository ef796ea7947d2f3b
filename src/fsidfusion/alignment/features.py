"""Edge directions, which two spectra share where their intensities and the signs of their edges do not."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.images.pixels import Pixels

Features = NDArray[np.float32]  # (4, H, W): cos and sin of two and of four times the edge direction
Mask = NDArray[np.float32]  # (H, W), 1 where there is a picture

SMOOTHING = 1.0  # pixels, of the gradient
SPREAD = 1.0  # pixels, of the directions
NOISE = 2.0  # times the median gradient: an edge of this size counts half
_PADDING_RIM = 3  # pixels, that resampling darkens along padding
_PADDING_PIXELS = 16  # smaller black spots at the border are taken as part of the picture


def edge_directions(luma: NDArray[np.float32], mask: Mask) -> Features:
    """Smooth fields of edge directions that ignore the sign and, mostly, the strength of edges.

    A normalised gradient field (Haber and Modersitzki 2006) in the double-angle representation: with the
    gradient g as a complex number, q = g^2 / (|g|^2 + noise^2) is the same for an edge and its inversion.
    A second harmonic q^2/|q| tells directions apart more sharply.

    Args:
        luma: (H, W).
        mask: (H, W); features are 0 where it is.

    Returns:
        (4, H, W), each pixel of length at most sqrt 2.
    """
    smooth = cv2.GaussianBlur(luma, (0, 0), SMOOTHING)
    gx, gy = (cv2.Scharr(smooth, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    power = gx * gx + gy * gy
    inside = mask > 0.5
    typical = float(np.median(power[inside])) if inside.any() else 0.0
    power += NOISE**2 * typical + 1e-8
    cos, sin = (gx * gx - gy * gy) / power, 2 * gx * gy / power
    length = np.sqrt(cos * cos + sin * sin) + np.float32(1e-6)
    planes = (cos, sin, (cos * cos - sin * sin) / length, 2 * cos * sin / length)
    return np.stack([cv2.GaussianBlur(plane * mask, (0, 0), SPREAD) for plane in planes])


def picture_mask(pixels: Pixels) -> Mask:
    """1 where there is a picture, 0 in black padding: zeros that reach in from the border, with a rim."""
    black = (pixels if pixels.ndim == 2 else pixels.max(2)) == 0
    border = np.concatenate((black[0], black[-1], black[:, 0], black[:, -1]))
    if not border.any():
        return np.ones(black.shape, np.float32)
    number, parts, stats, _ = cv2.connectedComponentsWithStats(black.view(np.uint8), connectivity=4)
    height, width = black.shape
    left, top, across, down, area = (stats[:, column] for column in range(5))
    touches = (left == 0) | (top == 0) | (left + across == width) | (top + down == height)
    padding = touches & (area >= _PADDING_PIXELS) & (np.arange(number) > 0)
    return grown(np.asarray(~padding[parts], np.float32), _PADDING_RIM)


def grown(mask: Mask, pixels: int) -> Mask:
    """The mask without a rim of so many pixels around its gaps."""
    size = 2 * pixels + 1
    return np.asarray(cv2.erode(mask, np.ones((size, size), np.uint8)), np.float32)


def similarity(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Normalised correlation of two (4, H, W) feature fields, -1..1; 0 where one is empty."""
    scale = float(np.sqrt((first**2).sum(dtype=np.float64) * (second**2).sum(dtype=np.float64)))
    return float((first * second).sum(dtype=np.float64)) / scale if scale > 0 else 0.0
