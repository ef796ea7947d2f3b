"""From fused luma to pixels: the output range, and the colour of one of the sources."""

from typing import Any

import numpy as np

from fsidfusion.fusion.uptake import show_uptake
from fsidfusion.images.output_range import Range, apply_range
from fsidfusion.images.pixels import Luma, Pixels, quantise, recolour, strips


def render(
    fused: Luma, range_: Range, colour: Pixels | None, dtype: np.dtype[Any], uptake: bool = False
) -> Pixels:
    """Turn fused luma into pixels: output range, ``colour``, rounding to nearest; strip by strip.

    Args:
        fused: (H, W).
        range_: the fused values that become black and white.
        colour: (H, W, 3) whose chroma is carried; (H, W) or None for a gray result.
        dtype: uint8, uint16 or floating.
        uptake: the colours of ``colour`` tell uptake, and are laid over the fused luma instead, so that they
            do so wherever it is bright (:func:`fsidfusion.fusion.uptake.show_uptake`).

    Returns:
        (H, W, 3) if ``colour`` has three channels, else (H, W); the full range of ``dtype``, or 0..1.
    """
    paint = show_uptake if uptake else recolour
    chroma = colour if colour is not None and colour.ndim == 3 else None
    result = np.empty(fused.shape if chroma is None else (*fused.shape, 3), dtype)
    for rows in strips(*fused.shape):
        level = apply_range(fused[rows], range_)
        result[rows] = quantise(level if chroma is None else paint(level, chroma[rows]), dtype)
    return result
