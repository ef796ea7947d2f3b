"""Heat as colour: a fused picture whose warm targets glow, while its light and dark stay exactly as they are.

A fused luma says how bright a pixel is, not which camera says so: a warm person before a sunlit wall is
bright before bright. Colour is free to carry what the luma has to leave out, as in the false-colour fusion of
night vision (Toet and Walraven, "New false color mapping for image fusion", 1996). What glows is what is
warmer than its surroundings, not what is warm: a sunlit wall and a road after a hot day are left alone.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.images.output_range import Range
from fsidfusion.images.pixels import Luma, Pixels, luma, quantise, strips, unit

WIDEST = 0.4  # of the shorter side of the frame: what is wider than this is surroundings, not a target
BUDGET = 0.08  # share of the frame beyond which only what stands out by far is seen to glow

_POWER = 1.7  # of the contrast: what hardly stands out hardly glows, and nothing begins abruptly
_SEEN = 0.12  # share of the glow from which it is seen
_COLD = 35  # percentile of a picture below which nothing counts as surroundings: the sky is far colder
_LEAST, _MOST = 0.12, 1.2  # contrast in infrared levels at which the glow is half
_SIDE = 96  # pixels of the shorter side on which surroundings are found
_SAMPLED = 512  # percentiles of a large picture are of about so many rows and columns
_MUTED = 240  # pixels of the shorter side on which the surroundings of what glows are found
_MUTE, _HARDLY = 5.0, 0.03  # glow around at which a colour begins to fade, and how fast it does
_RED, _YELLOW = 0.299, 0.886  # luma of pure red and pure yellow, BT.601


def heat_contrast(infrared: Luma, weight: Luma | None = None) -> Luma:
    """How far each pixel is warmer than its surroundings: the white top-hat of the infrared levels.

    The surroundings are a morphological opening as wide as the widest target (Meyer, "Iterative image
    transformations for an automatic screening of cervical smears", 1979), found at a low resolution; the
    coldest third of the picture, as the sky is, makes no building a target.

    Args:
        infrared: (H, W) in 0..1, bright is hot.
        weight: (H, W) in 0..1, 0 where there is no infrared picture.

    Returns:
        (H, W) in 0..1.
    """
    height, width = infrared.shape
    shrink = max(1.0, min(height, width) / _SIDE)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small = cv2.resize(infrared, size, interpolation=cv2.INTER_AREA)
    field = np.ones(small.shape, bool)
    if weight is not None:
        field = cv2.resize(weight, size, interpolation=cv2.INTER_AREA) > 0.5
    if field.any():
        small = np.maximum(small, np.float32(np.percentile(small[field], _COLD)))
    side = max(3, round(WIDEST * min(size)) | 1)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    small = np.where(field, small, np.float32(1))  # what lies outside the field is no cold surrounding
    surroundings = cv2.morphologyEx(small, cv2.MORPH_OPEN, element)
    surroundings = cv2.GaussianBlur(surroundings, (0, 0), side / 8)
    wide = cv2.resize(surroundings, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.maximum(infrared - wide, 0, dtype=np.float32)


def heat_range(contrast: Luma, weight: Luma | None = None) -> Range:
    """The contrasts of a picture at which the glow begins and is half.

    Args:
        contrast: (H, W), see :func:`heat_contrast`.
        weight: (H, W) in 0..1, 0 where there is no infrared picture.

    Returns:
        0 and 0.12; more, up to 1.2, where else over 8 % of the frame would be seen to glow.
    """
    step = max(1, min(contrast.shape) // _SAMPLED)
    sampled = contrast[::step, ::step]
    if weight is not None and (filled := weight[::step, ::step] > 0).any():
        sampled = sampled[filled]
    crowded = float(np.percentile(sampled, 100 * (1 - BUDGET)))
    half = crowded / (_SEEN / (1 - _SEEN)) ** (1 / _POWER)
    return Range(0.0, min(max(half, _LEAST), _MOST))


def glow(fused: Pixels, contrast: Luma, range_: Range, weight: Luma | None = None) -> Pixels:
    """Let warm targets glow: their colour moves towards that of hot iron of the same luma.

    The colours of the visible picture fade beside what glows, where they would compete with it.
    Hot iron goes from black over red, orange and yellow to white; at every luma there is one such colour, so
    that luma, and with it texture and every gray metric, stays as it is; nothing leaves the gamut.

    Args:
        fused: (H, W) or (H, W, 3) RGB, any depth.
        contrast: (H, W), see :func:`heat_contrast`, on the grid of ``fused``.
        range_: the contrasts at which the glow begins and is half, see :func:`heat_range`.
        weight: (H, W) in 0..1, how far the infrared picture counts, where it does not fill the frame.

    Returns:
        (H, W, 3) RGB of the type of ``fused``; its luma is that of ``fused`` but for rounding.
    """
    result = fused.copy() if fused.ndim == 3 else np.repeat(fused[..., None], 3, axis=2)
    muted = None if fused.ndim == 2 else _around(contrast, range_, weight)
    for rows in strips(*fused.shape[:2]):
        share = _share(contrast[rows], range_, None if weight is None else weight[rows])
        gray = share if muted is None else np.maximum(share, muted[rows])
        changed = np.flatnonzero(np.maximum(share, gray / 4) > 1 / 256)  # far quicker than all
        plain = unit(result[rows].reshape(-1, 3)[changed])
        level = luma(plain[None])[0]
        faded = plain + gray.reshape(-1)[changed, None] * (level[:, None] - plain)
        hot = hot_iron(level)
        mixed = faded + share.reshape(-1)[changed, None] * (hot - faded)
        result[rows].reshape(-1, 3)[changed] = quantise(mixed, fused.dtype)
    return result


def _share(contrast: Luma, range_: Range, weight: Luma | None) -> Luma:
    """How far each pixel glows, 0..1; all (H, W)."""
    share = np.power(contrast / np.float32(range_.high), np.float32(_POWER))
    share /= 1 + share
    return share if weight is None else share * weight


def _around(contrast: Luma, range_: Range, weight: Luma | None) -> Luma:
    """How far what is near each pixel glows, and so how far the colour of the pixel fades, 0..1, (H, W)."""
    height, width = contrast.shape
    shrink = max(1.0, min(height, width) / _MUTED)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small: Luma = cv2.resize(contrast, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    field = None if weight is None else cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    share = cv2.GaussianBlur(
        _share(small, range_, None if field is None else field.astype(np.float32)), (0, 0), min(size) / 60
    )
    fade = np.clip(np.float32(_MUTE) * (share - np.float32(_HARDLY)), 0, 1)
    return cv2.resize(fade, (width, height), interpolation=cv2.INTER_LINEAR)


def hot_iron(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """The colour of hot iron at every luma: (N,) in 0..1 -> (N, 3) RGB in 0..1 of exactly that luma."""
    red = np.clip(level / _RED, 0, 1)
    green = np.clip((level - _RED) / (_YELLOW - _RED), 0, 1)
    blue = np.clip((level - _YELLOW) / (1 - _YELLOW), 0, 1)
    return np.stack((red, green, blue), -1).astype(np.float32)
