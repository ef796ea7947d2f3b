"""Infrared as colour: a fused picture that glows where the infrared one is bright.

A fused luma says how bright a pixel is, not which camera says so: a warm person before a sunlit wall is
bright before bright. Colour is free to carry what the luma has to leave out, as in the false-colour fusion of
night vision (Toet and Walraven, "New false color mapping for image fusion", 1996).
"""

import numpy as np

from fsidfusion.pixels import Luma, Pixels, luma, quantise, strips, unit

_ORANGE = np.array((255, 110, 0), np.float32) / 255
_SHADE = 0.45  # of the orange where the fused picture is black
_STRENGTH = np.float32(0.85)  # share of the orange where the infrared picture is white
_COOL = np.float32(0.2)  # infrared level up to which nothing glows


def glow(fused: Pixels, infrared: Pixels, weight: Luma | None = None) -> Pixels:
    """Warm the colours of a fused picture by the infrared level; light and dark of it still show.

    Args:
        fused: (H, W) or (H, W, 3) RGB, any depth.
        infrared: (H, W) or (H, W, 3), any depth, on the grid of ``fused``, as it was fused: bright is hot.
        weight: (H, W) in 0..1, how far the infrared picture counts, where it does not fill the frame.

    Returns:
        (H, W, 3) RGB of the type of ``fused``; pixels up to a fifth of the infrared range are unchanged.
    """
    result = np.empty((*fused.shape[:2], 3), fused.dtype)
    for rows in strips(*fused.shape[:2]):
        part = fused[rows]
        share = _STRENGTH * np.clip((luma(infrared[rows]) - _COOL) / (1 - _COOL), 0.0, 1.0)
        if weight is not None:
            share *= weight[rows]
        tint = (_SHADE + (1 - _SHADE) * luma(part))[..., None] * _ORANGE
        plain = unit(part if part.ndim == 3 else np.repeat(part[..., None], 3, axis=2))
        result[rows] = quantise(plain + share[..., None] * (tint - plain), fused.dtype)
    return result
