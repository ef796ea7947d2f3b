"""Uptake as colour over anatomy: colour maps, and how a fused picture shows them.

A fused luma comes of both pictures, so the chroma of the map on it is bleached where the MRI is bright: the
colour no longer tells the uptake. Here the colour is laid over a dimmed luma instead. Whatever lies below,
the same uptake has nearly the same colour, and more uptake one further along the map; the luma shines through
and modulates the colour, so that edges and texture of the anatomy stay.
"""

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.pixels import Luma, Pixels, strips, unit

Colormap = Literal["hot", "rainbow", "viridis", "plasma", "inferno", "magma", "gray"]

# Chosen on a T1 with simulated uptake that is independent of it, over all maps and levels of the MRI: the
# least CIE76 distance of uptakes a quarter of the scale apart is 18, and ranks correlate by 0.94 or more.
OPACITY = 0.5  # of the colour where there is no uptake: anatomy alone is shown at half its brightness
FULL_OPACITY = 0.65  # of the colour from FADED uptake on
DETAIL = 0.5  # how far a black luma dims the colour
FADED = 0.1  # uptake 0..1 below which colours fade to black and to OPACITY
OVERLAY = 0.5, 0.2  # opacity of a plain overlay without uptake, and how much more at the most uptake

_COLORED, _COLORED_SHARE = 0.1, 1e-4  # difference of channels, and share of the pixels that have it
_HOT = ((0, 0, 0), (128, 0, 0), (255, 0, 0), (255, 128, 0), (255, 255, 0))  # without the white end
_RAINBOW = ((0, 0, 0), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0))
_GRAY = ((0, 0, 0), (255, 255, 255))
_ANCHORS = {"hot": _HOT, "rainbow": _RAINBOW, "gray": _GRAY}  # RGB in equal steps of uptake


def color_table(colormap: Colormap) -> NDArray[np.uint8]:
    """The 256 colours of a map, RGB: black is no uptake in every map, and none but gray ends in white.

    ``hot`` is the usual hot iron up to yellow; ``rainbow`` is black, blue, cyan, green, yellow, red;
    ``viridis``, ``plasma``, ``inferno`` and ``magma`` are the perceptually uniform maps of those
    names, as OpenCV tabulates them, faded in from black over the first 10 %.

    Raises:
        InputError: an unknown map.
    """
    if colormap not in get_args(Colormap):
        raise InputError(f"colour map {colormap!r} is unknown; choose one of {', '.join(get_args(Colormap))}")
    steps = np.arange(256)
    table: NDArray[np.floating]
    if colormap in _ANCHORS:
        anchors = np.array(_ANCHORS[colormap], np.float64)
        places = np.linspace(0, 255, len(anchors))
        table = np.stack([np.interp(steps, places, channel) for channel in anchors.T], axis=1)
    else:
        number = int(getattr(cv2, f"COLORMAP_{colormap.upper()}"))
        table = cv2.applyColorMap(steps.astype(np.uint8)[:, None], number)[:, 0, ::-1].astype(np.float32)
        table = table * _shown(np.linspace(0, 1, 256, dtype=np.float32))[:, None]
    return np.rint(table).astype(np.uint8)


def apply_colormap(values: NDArray[np.float32], colormap: Colormap) -> NDArray[np.uint8]:
    """Colour values 0..1: ``(...)`` to ``(..., 3)`` RGB."""
    return color_table(colormap)[(np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)]


def show_uptake(level: Luma, colors: Pixels) -> NDArray[np.float32]:
    """Lay colours of uptake over a fused luma so that they keep their order on any anatomy.

    Args:
        level: (H, W) fused luma in 0..1.
        colors: (H, W, 3) uptake through a colour map, or a PET or SPECT picture in colour; any depth. Black
            is no uptake.

    Returns:
        (H, W, 3) float32 in 0..1: with luma Y and opacity a, which rises from OPACITY to FULL_OPACITY as the
        colour C leaves black, (1 - a) Y + a C (1 - DETAIL (1 - Y)).
    """
    result = np.empty((*level.shape, 3), np.float32)
    for rows in strips(*level.shape):
        color, below = unit(colors[rows]), level[rows]
        opacity = OPACITY + (FULL_OPACITY - OPACITY) * _shown(color.max(axis=-1))
        over = opacity * (1 - DETAIL + DETAIL * below)
        result[rows] = ((1 - opacity) * below)[..., None] + over[..., None] * color
    return result


def overlay_uptake(anatomy: Luma, uptake: Luma, colors: Pixels) -> NDArray[np.float32]:
    """A plain overlay without a network: opacity grows with uptake, from 50 % to 70 %.

    Args:
        anatomy: (H, W) in 0..1.
        uptake: (H, W) in 0..1.
        colors: (H, W, 3), any depth: the uptake through a colour map.

    Returns:
        (H, W, 3) float32 in 0..1.
    """
    opacity = (OVERLAY[0] + OVERLAY[1] * uptake)[..., None]
    return np.asarray((1 - opacity) * anatomy[..., None] + opacity * unit(colors), np.float32)


def overlay_gray(anatomy: Luma, values: Luma) -> NDArray[np.float32]:
    """A plain overlay of a volume or picture without colour, such as a CT: opacity grows with it, to 50 %.

    Both are (H, W) in 0..1, and so is the result.
    """
    return np.asarray((1 - 0.5 * values) * anatomy + 0.5 * values * values, np.float32)


def has_colors(pixels: Pixels) -> bool:
    """Whether a picture is in colour, beyond the traces that compression leaves in a gray one."""
    if pixels.ndim == 2:
        return False
    coloured = 0
    for rows in strips(*pixels.shape[:2]):
        values = unit(pixels[rows])
        coloured += int(np.count_nonzero(values.max(axis=-1) - values.min(axis=-1) > _COLORED))
    return coloured > _COLORED_SHARE * pixels.shape[0] * pixels.shape[1]


def _shown(brightness: NDArray[np.float32]) -> NDArray[np.float32]:
    """0 at black to 1 from FADED on, smoothly."""
    x = np.clip(brightness / np.float32(FADED), 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)
