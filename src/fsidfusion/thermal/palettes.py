"""False colours of thermal cameras: from a level to a colour, and back.

A palette is a line through RGB, given by a few colours at even steps from cold to hot. ``ironbow``,
``rainbow-hc`` (high contrast), ``rainbow``, ``arctic`` and ``lava`` are near those of common cameras; every
maker draws its own. Where none of them fits, the line is estimated from the picture
(:mod:`fsidfusion.thermal.colour_curve`).
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.pixels import Pixels, luma, quantise
from fsidfusion.thermal.legend import Mask, find_legend
from fsidfusion.thermal.polarity import CLEAR, white_odds

STEPS = 256  # colours of a palette
TOLERANCE = 36.0  # largest distance in RGB (0..255) of a pixel that counts as of a palette's colour
CONFIDENCE = 0.7  # smallest share of such pixels in a picture of false colours: text is drawn over
# that share, and that of coloured pixels, where most of a picture is nearly black
_CERTAIN, _FEW_COLOURED = 0.9, 0.02
_VERY_CLOSE, _CLOSE = 4.5, 6.5  # median distance up to which a palette is not doubted, or is the only one
_ALIKE = 0.95  # correlation of the orders of two readings from which they are one
_STRANGE = 0.07  # share of pixels in strange colours from which a palette is doubted
_SMOOTHER = 0.95  # of how far a named palette tears neighbours apart: an estimated line must do less
_RISE, _WARMTH = 4.0, 1.5  # of luma and hue: what speaks for an end as the hot one, beside the scene
_MOST_ODDS = 4.0  # of the scene, that count beside them
_SURE = 3.0  # sum of all, from which the hot end is sure, where the scene by itself is clear
_DOUBTED = 3  # palettes that are compared where none is so close
# difference between the largest and the smallest of R, G, B: of no gray pixel, of one
_COLOURED, _GRAY = 40, 16
_LEAST_COLOURED = 0.2  # share of coloured pixels of a palette that holds no gray
_SOME_COLOURED = 0.002  # share of them that no noise of coding makes
_LEAST_GRAY = 0.3  # share of gray pixels where colour marks only what is hottest or coldest
_MARKED_SPREAD = 60.0  # standard deviation of the levels of gray around marked parts, at most
_SAMPLED = 1 << 14  # pixels are enough to tell
_AT_ONCE = 1 << 14  # pixels that are compared with all colours: 16 MiB

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
        (9, 2, 8),
        (80, 2, 82),
        (159, 2, 156),
        (222, 4, 227),
        (144, 5, 202),
        (64, 2, 176),
        (1, 16, 157),
        (3, 90, 180),
        (3, 174, 210),
        (6, 216, 208),
        (6, 166, 134),
        (2, 112, 52),
        (29, 97, 2),
        (96, 144, 4),
        (170, 194, 8),
        (226, 222, 10),
        (190, 144, 6),
        (152, 70, 4),
        (122, 3, 1),
        (156, 14, 18),
        (182, 30, 31),
        (213, 47, 48),
        (226, 110, 109),
        (239, 170, 172),
        (248, 235, 232),
    ),
    "hot": ((0, 0, 0), (255, 0, 0), (255, 255, 0), (255, 255, 255)),
    "arctic": (
        (0, 13, 227),
        (0, 21, 239),
        (9, 101, 245),
        (27, 176, 243),
        (45, 228, 239),
        (64, 214, 212),
        (84, 171, 170),
        (94, 123, 122),
        (112, 101, 86),
        (152, 100, 62),
        (192, 100, 27),
        (234, 103, 6),
        (250, 132, 5),
        (248, 181, 1),
        (249, 210, 14),
        (255, 245, 160),
    ),
    "lava": (
        (21, 20, 120),
        (9, 85, 166),
        (2, 103, 163),
        (0, 121, 149),
        (2, 129, 135),
        (38, 106, 124),
        (120, 47, 110),
        (161, 30, 78),
        (181, 28, 54),
        (208, 30, 40),
        (234, 52, 35),
        (248, 81, 15),
        (249, 120, 6),
        (247, 171, 1),
        (236, 192, 11),
        (255, 245, 170),
    ),
    "glowbow": ((0, 0, 0), (90, 0, 0), (170, 30, 0), (235, 110, 0), (255, 190, 60), (255, 255, 255)),
    "sepia": ((0, 0, 0), (85, 50, 20), (160, 110, 50), (225, 180, 110), (255, 255, 255)),
    "green": ((0, 0, 0), (0, 70, 0), (20, 140, 20), (110, 215, 90), (255, 255, 255)),
}
_OPENCV = {  # that programs draw with
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
    "plasma": cv2.COLORMAP_PLASMA,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "turbo": cv2.COLORMAP_TURBO,
}
PALETTES = (*_COLOURS, *_OPENCV)
ESTIMATED = "estimated"  # the line on which the colours of a picture lie
LEGEND = "colour bar"  # drawn beside the picture, which says what its colours mean
MARKED = "isotherm"  # gray, with what is hotter or colder than some level in colour
GRAY_PALETTES = ("white-hot", "black-hot")  # which no picture tells apart by itself


@dataclass(frozen=True)
class Match:
    """A palette, and how well a picture fits it."""

    name: str  # of PALETTES, LEGEND, ESTIMATED, or MARKED
    confidence: float  # share of the pixels that are of one of its colours
    near: str = ""  # of one that is estimated: a known palette that it is like
    colours: NDArray[np.uint8] | None = field(
        default=None, compare=False
    )  # (256, 3) of one that is no name of PALETTES
    sure: bool = True  # nothing speaks against the order of its colours
    turned: bool = False  # its other end is the hot one
    mask: Mask | None = field(default=None, compare=False)  # (H, W), of a colour bar


@lru_cache
def palette(name: str) -> NDArray[np.uint8]:
    """The colours of a palette from cold to hot: (256, 3) RGB.

    Raises:
        InputError: an unknown name.
    """
    if name in _OPENCV:
        steps = np.arange(STEPS, dtype=np.uint8)[:, None]
        return np.ascontiguousarray(cv2.applyColorMap(steps, _OPENCV[name])[:, 0, ::-1])
    if name not in _COLOURS:
        raise InputError(f"palette {name!r} is unknown; choose one of auto, none, {', '.join(PALETTES)}")
    points = np.array(_COLOURS[name], np.float64)
    place = np.linspace(0, len(points) - 1, STEPS)
    channels = [np.interp(place, np.arange(len(points)), channel) for channel in points.T]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)


def colour(levels: NDArray[np.uint8], name: str) -> Pixels:
    """Draw levels (H, W) 0..255 in a palette: (H, W, 3) RGB, uint8."""
    return np.asarray(palette(name)[levels])


def is_coloured(rgb: Pixels) -> bool:
    """Whether an (H, W, 3) uint8 picture shows colour that no noise of coding makes."""
    spread = np.ptp(_sample(rgb).astype(np.int16), axis=1)
    return float(np.mean(spread >= _COLOURED)) >= _SOME_COLOURED


def find_palette(rgb: Pixels) -> Match | None:
    """The palette of a false-coloured picture; None for one that is gray, a photograph, or cannot be told.

    Args:
        rgb: (H, W, 3) uint8.
    """
    pixels = _sample(rgb)
    spread = np.ptp(pixels.astype(np.int16), axis=1)
    coloured, gray = float(np.mean(spread >= _COLOURED)), float(np.mean(spread < _GRAY))
    if coloured < _SOME_COLOURED:
        return None
    legend = find_legend(rgb) if coloured >= _FEW_COLOURED else None
    if legend is not None:
        share = float(np.mean(_nearest(pixels, legend.colours)[1] <= TOLERANCE))
        return Match(LEGEND, share, colours=legend.colours, mask=legend.mask)
    distances = {name: _nearest(pixels, palette(name))[1] for name in PALETTES if name not in GRAY_PALETTES}
    shares = {name: float(np.mean(away <= TOLERANCE)) for name, away in distances.items()}
    least = CONFIDENCE if coloured >= _LEAST_COLOURED else _CERTAIN
    fitting = [name for name in shares if shares[name] >= least and coloured >= _FEW_COLOURED]
    fitting.sort(key=lambda name: float(np.minimum(distances[name], 2 * TOLERANCE).mean()))
    # text drawn over the picture is white: what is in colour and of none of a palette's colours tells more
    strange = {name: float(np.mean((distances[name] > TOLERANCE) & (spread >= _GRAY))) for name in fitting}
    apart = float(np.median(distances[fitting[0]])) if fitting else np.inf
    if apart <= _VERY_CLOSE:
        return Match(fitting[0], shares[fitting[0]], sure=strange[fitting[0]] <= _STRANGE)
    close = apart <= _CLOSE
    if not close and gray >= _LEAST_GRAY and gray + coloured > 0.8 and _marked_levels(rgb) is not None:
        return Match(MARKED, gray + coloured, sure=not _marks_contradict(rgb))
    line = _estimated(pixels) if coloured >= _LEAST_COLOURED else None
    named = [Match(name, shares[name]) for name in fitting[: 1 if close else _DOUBTED]]
    best = named[0] if close else min(named, key=lambda match: _torn(rgb, match), default=None)
    if line and (best is None or (not close and _torn(rgb, line) < _SMOOTHER * _torn(rgb, best))):
        return _directed(rgb, line, fitting[0] if fitting else "")
    if best is None:
        return None
    same = abs(_likeness(rgb, best, line)) >= _ALIKE if line else close
    return replace(best, sure=same and strange[best.name] <= _STRANGE)


def _estimated(pixels: NDArray[np.integer]) -> Match | None:
    """The line on which pixels (N, 3) lie; None where there is none."""
    from fsidfusion.thermal.colour_curve import estimate_curve

    curve = estimate_curve(pixels)
    share = 0.0 if curve is None else float(np.mean(_nearest(pixels, curve)[1] <= TOLERANCE))
    return Match(ESTIMATED, share, colours=curve) if share >= CONFIDENCE else None


def _directed(rgb: Pixels, match: Match, near: str) -> Match:
    """An estimated line with its hot end found: by the palette that it is near, its brightness, or the scene.

    Args:
        rgb: (H, W, 3), the picture.
        match: the line.
        near: a known palette whose colours the picture has; "" where there is none.
    """
    odds = float(np.clip(white_odds(levels_of(rgb, match)[0]), -_MOST_ODDS, _MOST_ODDS))
    if near:
        likeness = _likeness(rgb, match, Match(near, 1.0))
        if abs(likeness) >= _ALIKE:
            turned = likeness < 0
            return replace(match, near=near, turned=turned, sure=not turned or -odds > CLEAR)
    ends = _colours_of(match)[[4, -5]].astype(np.float64) / 255
    rise = float(np.diff(luma_levels(np.rint(ends * 255).astype(np.uint8)[None])[0].astype(float))[0]) / 255
    warmth = float(np.diff(ends[:, 0] - ends[:, 2])[0])
    total = odds + _RISE * rise + _WARMTH * warmth
    sure = abs(total) > _SURE and abs(odds) > CLEAR and (odds > 0) == (total > 0)
    return replace(match, sure=sure, turned=total < 0)


def _likeness(rgb: Pixels, first: Match, second: Match) -> float:
    """The rank correlation of two readings of a picture, -1 to 1."""
    few = _sample(rgb)[None]
    one, other = (np.argsort(np.argsort(levels_of(few, match)[0][0])) for match in (first, second))
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).mean() / max(1e-9, one.std() * other.std()))


def _torn(rgb: Pixels, match: Match) -> float:
    """How far the levels of neighbours lie apart, as a share of how far any two do: 0 smooth, 1 noise."""
    step = max(1, int(np.sqrt(rgb.shape[0] * rgb.shape[1] / _SAMPLED)))
    levels = levels_of(np.ascontiguousarray(rgb[:: 2 * step]), match)[0]
    order = np.argsort(np.argsort(levels, axis=None, kind="stable")).reshape(levels.shape) / levels.size
    return 3 * float(np.abs(np.diff(order, axis=1)).mean())


def levels_of(rgb: Pixels, palette: str | Match) -> tuple[NDArray[np.uint8], float]:
    """The levels that false colours stand for: those of the nearest colours of a palette.

    Args:
        rgb: (H, W, 3) uint8.
        palette: its name, or what :func:`find_palette` found.

    Returns:
        (H, W) uint8, 0 cold to 255 hot, and the share of pixels within :data:`TOLERANCE` of a colour.

    Raises:
        InputError: an unknown name.
    """
    match = Match(palette, 1.0) if isinstance(palette, str) else palette
    if match.name == MARKED:
        marked = _marked_levels(rgb)
        levels = luma_levels(rgb) if marked is None else marked
        return ~levels if match.turned else levels, 0.0 if marked is None else match.confidence
    packed = rgb.reshape(-1, 3).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    unique, inverse, number = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack((unique >> 16, unique >> 8 & 255, unique & 255), -1)
    index, distance = _nearest(colours, _colours_of(match))
    confidence = float(number[distance <= TOLERANCE].sum() / max(1, number.sum()))
    levels = index.astype(np.uint8)[inverse].reshape(rgb.shape[:2])
    return ~levels if match.turned else levels, confidence


def _colours_of(match: Match) -> NDArray[np.uint8]:
    return palette(match.name) if match.colours is None else match.colours


def luma_levels(rgb: Pixels) -> NDArray[np.uint8]:
    """The brightness of (H, W, 3) colours as levels."""
    return quantise(luma(rgb), np.dtype(np.uint8))


def _marked_levels(rgb: Pixels) -> NDArray[np.uint8] | None:
    """Levels of a gray picture with marked parts: 255 or 0 where these border on light or on dark gray.

    None where the parts border on gray of all kinds, as painted things of a photograph do.
    """
    spread = np.ptp(rgb.astype(np.int16), axis=2)
    levels = luma_levels(rgb)
    gray, marked = spread < _GRAY, (spread >= _COLOURED).astype(np.uint8)
    if not gray.any():
        return None
    middle = float(np.median(levels[gray]))
    result = levels.copy()
    hue = np.argmax(rgb, axis=2)  # red, green or blue prevails: parts of different hues mean different things
    for channel in range(3):
        part = marked & (hue == channel).astype(np.uint8)
        if np.count_nonzero(part) < _SOME_COLOURED * part.size / 4:
            continue
        rim = cv2.dilate(part, np.ones((7, 7), np.uint8)).astype(bool) & gray
        if np.count_nonzero(rim) < 8:
            return None
        around = levels[rim].astype(np.float32)
        side = float(around.mean()) - middle
        if around.std() > _MARKED_SPREAD or abs(side) < max(6.0, around.std() / 2):
            return None
        result[part > 0] = 255 if side > 0 else 0
    return result


def _marks_contradict(rgb: Pixels) -> bool:
    """Whether what is marked in red, the colour of heat to all makers, borders on dark gray: black is hot."""
    levels = _marked_levels(rgb)
    red = (np.argmax(rgb, axis=2) == 0) & (np.ptp(rgb.astype(np.int16), axis=2) >= _COLOURED)
    enough = np.count_nonzero(red) >= _SOME_COLOURED * red.size
    return enough and levels is not None and float(levels[red].mean()) < 128


def _sample(rgb: Pixels) -> Pixels:
    step = max(1, int(np.sqrt(rgb.shape[0] * rgb.shape[1] / _SAMPLED)))
    return rgb[::step, ::step].reshape(-1, 3)


def _nearest(
    pixels: NDArray[np.integer], colours: NDArray[np.uint8]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For (N, 3) pixels the index of the nearest of (M, 3) colours, and the distance to it."""
    # |p - c|^2 = |p|^2 - 2 p.c + |c|^2, exact in float32 for whole numbers this small
    lines = colours.astype(np.float32)
    half = (lines * lines).sum(1) / 2
    index = np.empty(len(pixels), np.intp)
    for start in range(0, len(pixels), _AT_ONCE):
        some = pixels[start : start + _AT_ONCE].astype(np.float32)
        index[start : start + _AT_ONCE] = (half - some @ lines.T).argmin(1)
    steps = pixels.astype(np.float64) - colours[index]
    return index, np.sqrt((steps * steps).sum(1))
