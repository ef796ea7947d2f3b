"""False colours of thermal cameras: from a level to a colour, and back.

A palette is a line through RGB, given by a few colours at even steps from cold to hot. ``ironbow``,
``rainbow-hc`` (high contrast) and ``rainbow`` are near those of common cameras; every maker draws its own.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.pixels import Pixels

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

STEPS = 256  # colours of a palette
TOLERANCE = 36.0  # largest distance in RGB (0..255) of a pixel that counts as of a palette's colour
CONFIDENCE = (
    0.7  # smallest share of such pixels in a picture that is taken as false colours: text is drawn over
)
_COLOURED = 40  # difference between the largest and the smallest of R, G, B that no gray pixel shows
_LEAST_COLOURED = 0.5  # share of such pixels

_COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "white-hot": ((0, 0, 0), (255, 255, 255)),
    "black-hot": ((255, 255, 255), (0, 0, 0)),
    "ironbow": (
        (0, 8, 24),
        (36, 0, 122),
        (101, 0, 162),
        (155, 6, 164),
        (198, 32, 133),
        (227, 63, 89),
        (249, 101, 42),
        (255, 140, 5),
        (255, 182, 0),
        (255, 216, 25),
        (254, 243, 105),
        (252, 255, 255),
    ),
    "rainbow": (
        (0, 0, 128),
        (0, 0, 255),
        (0, 128, 255),
        (0, 255, 255),
        (128, 255, 128),
        (255, 255, 0),
        (255, 128, 0),
        (255, 0, 0),
        (128, 0, 0),
    ),
    "rainbow-hc": (
        (0, 0, 0),
        (172, 0, 172),
        (120, 0, 193),
        (0, 51, 170),
        (0, 229, 229),
        (0, 118, 60),
        (103, 148, 0),
        (214, 199, 0),
        (136, 32, 0),
        (175, 27, 27),
        (226, 103, 103),
        (252, 250, 250),
    ),
    "hot": ((0, 0, 0), (255, 0, 0), (255, 255, 0), (255, 255, 255)),
}
PALETTES = tuple(_COLOURS)
GRAY_PALETTES = ("white-hot", "black-hot")  # which no picture tells apart by itself


@dataclass(frozen=True)
class Match:
    """A palette, and how well a picture fits it."""

    name: str
    confidence: float  # share of the pixels that are of one of its colours


@lru_cache
def palette(name: str) -> NDArray[np.uint8]:
    """The colours of a palette from cold to hot: (256, 3) RGB.

    Raises:
        InputError: an unknown name.
    """
    if name not in _COLOURS:
        raise InputError(f"palette {name!r} is unknown; choose one of auto, none, {', '.join(PALETTES)}")
    points = np.array(_COLOURS[name], np.float64)
    place = np.linspace(0, len(points) - 1, STEPS)
    channels = [np.interp(place, np.arange(len(points)), channel) for channel in points.T]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)


def colour(levels: NDArray[np.uint8], name: str) -> Pixels:
    """Draw levels (H, W) 0..255 in a palette: (H, W, 3) RGB, uint8."""
    return np.asarray(palette(name)[levels])


def find_palette(rgb: Pixels) -> Match | None:
    """The palette of a false-coloured picture; None for one that is gray, or a photograph.

    Args:
        rgb: (H, W, 3) uint8.
    """
    step = max(1, int(np.sqrt(rgb.shape[0] * rgb.shape[1] / (1 << 14))))  # enough to tell
    pixels = rgb[::step, ::step].reshape(-1, 3)
    if np.mean(np.ptp(pixels.astype(np.int16), axis=1) >= _COLOURED) < _LEAST_COLOURED:
        return None
    matches = [
        Match(name, float(np.mean(_nearest(pixels, name)[1] <= TOLERANCE)))
        for name in PALETTES
        if name not in GRAY_PALETTES
    ]
    best = max(matches, key=lambda match: match.confidence)
    return best if best.confidence >= CONFIDENCE else None


def levels_of(rgb: Pixels, name: str) -> tuple[NDArray[np.uint8], float]:
    """The levels that false colours stand for: those of the nearest colours of a palette.

    Args:
        rgb: (H, W, 3) uint8.
        name: of the palette.

    Returns:
        (H, W) uint8, 0 cold to 255 hot, and the share of pixels within :data:`TOLERANCE` of a colour.

    Raises:
        InputError: an unknown name.
    """
    packed = rgb.reshape(-1, 3).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    unique, inverse, number = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack((unique >> 16, unique >> 8 & 255, unique & 255), -1)
    index, distance = _nearest(colours, name)
    confidence = float(number[distance <= TOLERANCE].sum() / max(1, number.sum()))
    return index.astype(np.uint8)[inverse].reshape(rgb.shape[:2]), confidence


def _nearest(pixels: NDArray[np.integer], name: str) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For (N, 3) pixels the index of the nearest colour, and the distance to it."""
    distance, index = _tree(name).query(pixels.astype(np.float64))
    return np.asarray(index), np.asarray(distance)


@lru_cache
def _tree(name: str) -> "cKDTree":
    from scipy.spatial import cKDTree

    return cKDTree(palette(name).astype(np.float64))
