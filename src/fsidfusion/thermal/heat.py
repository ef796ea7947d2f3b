"""Infrared as colour: a fused picture that glows where the infrared one is bright.

A fused luma says how bright a pixel is, not which camera says so: a warm person before a sunlit wall is
bright before bright. Colour is free to carry what the luma has to leave out, as in the false-colour fusion of
night vision (Toet and Walraven, "New false color mapping for image fusion", 1996).
"""

import math

import numpy as np

from fsidfusion.images.output_range import Range, apply_range
from fsidfusion.images.pixels import Luma, Pixels, luma, quantise, strips, unit

_ORANGE = np.array((1.0, 0.43, 0.0), np.float32)
_SHADE = np.float32(0.45)  # of the orange where the fused picture is black
_SAMPLED_SIDE = 512  # percentiles of a large picture are of about so many rows and columns
_STRENGTH = np.float32(0.85)  # share of the orange where the infrared picture is white
_LEAST_SPAN = 0.2  # of infrared levels, so that the noise of an even picture does not glow


def heat_range(infrared: Luma, weight: Luma | None = None) -> Range:
    """The levels of an infrared picture between which its glow grows: a quarter of it at most glows.

    Args:
        infrared: (H, W) in 0..1.
        weight: (H, W) in 0..1, 0 where there is no infrared picture.

    Returns:
        the percentiles 75 and 99.5; at least 0.2 lies between them.
    """
    step = max(1, math.isqrt(infrared.size) // _SAMPLED_SIDE)
    levels = infrared[::step, ::step]
    if weight is not None and (filled := weight[::step, ::step] > 0).any():
        levels = levels[filled]
    warm, hot = (float(level) for level in np.percentile(levels, (75, 99.5)))
    return Range(warm, max(hot, warm + _LEAST_SPAN))


def glow(fused: Pixels, infrared: Pixels, range_: Range, weight: Luma | None = None) -> Pixels:
    """Warm the colours of a fused picture by the infrared level; light and dark of it still show.

    Args:
        fused: (H, W) or (H, W, 3) RGB, any depth.
        infrared: (H, W) or (H, W, 3), any depth, on the grid of ``fused``, as it was fused: bright is hot.
        range_: the level where the glow begins and the one where it is strongest, see :func:`heat_range`.
        weight: (H, W) in 0..1, how far the infrared picture counts, where it does not fill the frame.

    Returns:
        (H, W, 3) RGB of the type of ``fused``; where the infrared level is below the range nothing changes.
    """
    result = fused.copy() if fused.ndim == 3 else np.repeat(fused[..., None], 3, axis=2)
    for rows in strips(*fused.shape[:2]):
        share = _STRENGTH * apply_range(luma(infrared[rows]), range_)
        if weight is not None:
            share *= weight[rows]
        warm = np.flatnonzero(share)  # a quarter of the pixels or less: three times faster than all
        plain = unit(result[rows].reshape(-1, 3)[warm])
        tint = (_SHADE + (1 - _SHADE) * luma(plain[None])[0])[:, None] * _ORANGE
        mixed = plain + share.reshape(-1)[warm, None] * (tint - plain)
        result[rows].reshape(-1, 3)[warm] = quantise(mixed, fused.dtype)
    return result
