"""Infrared as colour: a fused picture that glows where the infrared one is bright.

A fused luma says how bright a pixel is, not which camera says so: a warm person before a sunlit wall is
bright before bright. Colour is free to carry what the luma has to leave out, as in the false-colour fusion of
night vision (Toet and Walraven, "New false color mapping for image fusion", 1996).
"""

import numpy as np

from fsidfusion.inference.contrast import Range, apply_range, find_range
from fsidfusion.pixels import Luma, Pixels, luma, quantise, strips, unit

_ORANGE = np.array((255, 110, 0), np.float32) / 255
_SHADE = 0.45  # of the orange where the fused picture is black
_STRENGTH = np.float32(0.85)  # share of the orange where the infrared picture is white
_COOL = np.float32(0.2)  # share of the infrared range up to which nothing glows
_MAX_GAIN = 4.0  # of the infrared picture, so that the noise of an even one does not glow


def heat_range(infrared: Luma) -> Range:
    """The levels from which a picture (H, W) begins and at which it is hottest; its percentiles."""
    return find_range(infrared, "percentile", _MAX_GAIN)


def glow(fused: Pixels, infrared: Pixels, range_: Range, weight: Luma | None = None) -> Pixels:
    """Warm the colours of a fused picture by the infrared level; light and dark of it still show.

    Args:
        fused: (H, W) or (H, W, 3) RGB, any depth.
        infrared: (H, W) or (H, W, 3), any depth, on the grid of ``fused``, as it was fused: bright is hot.
        range_: its coldest and its hottest level, 0..1, see :func:`heat_range`.
        weight: (H, W) in 0..1, how far the infrared picture counts, where it does not fill the frame.

    Returns:
        (H, W, 3) RGB of the type of ``fused``; pixels up to a fifth of the infrared range are unchanged.
    """
    result = np.empty((*fused.shape[:2], 3), fused.dtype)
    for rows in strips(*fused.shape[:2]):
        part = fused[rows]
        heat = apply_range(luma(infrared[rows]), range_)
        share = _STRENGTH * np.maximum((heat - _COOL) / (1 - _COOL), 0.0)
        if weight is not None:
            share *= weight[rows]
        tint = (_SHADE + (1 - _SHADE) * luma(part))[..., None] * _ORANGE
        plain = unit(part if part.ndim == 3 else np.repeat(part[..., None], 3, axis=2))
        result[rows] = quantise(plain + share[..., None] * (tint - plain), fused.dtype)
    return result
