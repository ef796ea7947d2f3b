"""Temperatures told in a picture: a palette over visible edges, a colour bar in degrees, and marks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.pixels import Luma, Pixels, quantise, unit
from fsidfusion.thermal.palettes import palette
from fsidfusion.thermal.temperature import Celsius

Mark = Literal["max", "min", "spot"]

_EDGE_SIGMA = 0.004  # of the diagonal: finer structure of the visible picture is drawn over the palette
_EDGE_GAIN, _EDGE_LIMIT = 1.6, 0.35  # of its contrast, and the most it adds or takes
_SPOT = 3  # pixels a side that are averaged in the middle
_COLOURS = {"max": (255, 70, 50), "min": (90, 170, 255), "spot": (255, 255, 255)}
_BAR_TOP, _BAR_BOTTOM = 0.1, 0.9  # of the height
_LEAST_SIDE = 64  # pixels of a picture that is written on


@dataclass(frozen=True)
class Measuring:
    """What is told of temperatures."""

    bar: bool = False
    """draw a colour bar in degrees into the picture; with --color thermal:PALETTE"""
    marks: str = ""
    """mark the hottest, the coldest and the middle point, with their temperatures"""
    table: Path | None = None
    """write the temperatures of every picture or frame as CSV"""

    def __post_init__(self) -> None:
        for mark in self.marks.split(",") if self.marks else ():
            if mark not in get_args(Mark):
                raise InputError(f"mark {mark!r} is unknown; choose of {', '.join(get_args(Mark))}")

    @property
    def is_drawn(self) -> bool:
        """Whether temperatures are drawn, which a picture must then have."""
        return self.bar or bool(self.marks)


@dataclass(frozen=True)
class Measures:
    """What was measured in one picture, in degrees Celsius; places are (x, y) in infrared pixels."""

    coldest: float
    hottest: float
    mean: float
    spot: float  # in the middle; NaN where it was not measured
    coldest_at: tuple[int, int]
    hottest_at: tuple[int, int]


def measure(celsius: Celsius) -> Measures | None:
    """The measures of temperatures (H, W); None where none is finite."""
    known = np.isfinite(celsius)
    if not known.any():
        return None
    low, high = (
        np.unravel_index(int(each), celsius.shape) for each in (np.nanargmin(celsius), np.nanargmax(celsius))
    )
    row, column = celsius.shape[0] // 2, celsius.shape[1] // 2
    reach = _SPOT // 2
    around = celsius[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
    spot = float(np.nanmean(around)) if np.isfinite(around).any() else float("nan")
    return Measures(
        float(celsius[low]),
        float(celsius[high]),
        float(celsius[known].mean()),
        spot,
        (int(low[1]), int(low[0])),
        (int(high[1]), int(high[0])),
    )


TABLE_HEAD = "name,coldest_C,hottest_C,mean_C,spot_C,coldest_x,coldest_y,hottest_x,hottest_y"


def table_row(name: str, measures: Measures | None) -> str:
    """One line of a CSV whose heading is TABLE_HEAD; empty cells where nothing was measured."""
    quoted = f'"{name.replace(chr(34), chr(34) * 2)}"' if any(mark in name for mark in ',"\n') else name
    if measures is None:
        return quoted + "," * 8
    values = (measures.coldest, measures.hottest, measures.mean, measures.spot)
    cells = ["" if np.isnan(value) else f"{value:.2f}" for value in values]
    cells += [str(place) for point in (measures.coldest_at, measures.hottest_at) for place in point]
    return ",".join((quoted, *cells))


def over_edges(
    level: Luma, visible: Luma, name: str, dtype: np.dtype[Any], weight: Luma | None = None
) -> Pixels:
    """A thermal palette with the fine structure of the visible picture drawn over it.

    Args:
        level: (H, W) infrared in 0..1, on the grid of ``visible``.
        visible: (H, W) luma in 0..1.
        name: of the palette.
        dtype: of the result.
        weight: (H, W), 0 where there is no infrared picture: the visible one in gray stands there.

    Returns:
        (H, W, 3) RGB.
    """
    colours = unit(palette(name))[np.minimum((level * 255 + 0.5).astype(np.int32), 255)]
    sigma = max(1.0, _EDGE_SIGMA * float(np.hypot(*visible.shape)))
    detail = visible - cv2.GaussianBlur(visible, (0, 0), sigma)
    detail = np.clip(_EDGE_GAIN * detail, -_EDGE_LIMIT, _EDGE_LIMIT)
    seen = (visible > 0).astype(np.uint8)  # beyond an embedded view all is black: its rim is no edge
    reach = 2 * round(2 * sigma) + 1
    detail *= cv2.erode(seen, np.ones((reach, reach), np.uint8), borderValue=1)
    result = colours + detail[..., None]
    if weight is not None:
        result = visible[..., None] + weight[..., None] * (result - visible[..., None])
    return quantise(np.asarray(result, np.float32), dtype)


def degrees_at(shares: tuple[float, ...], level: Luma, celsius: Celsius) -> tuple[float, ...]:
    """The temperatures that become levels of 0..1, told from a picture (H, W) of both."""
    known = np.isfinite(celsius) & (level > 0.002) & (level < 0.998)
    if np.count_nonzero(known) < 16:
        known = np.isfinite(celsius)
    shown, warm = level[known].ravel(), celsius[known].ravel()
    step = max(1, len(shown) // 100_000)
    order = np.argsort(warm[::step], kind="stable")
    warm, shown = warm[::step][order], np.maximum.accumulate(shown[::step][order])
    return tuple(float(np.interp(share, shown, warm)) for share in shares)


def draw_bar(rgb: Pixels, name: str, low: float, middle: float, high: float) -> Pixels:
    """Draw a bar of a palette at the right edge, with three temperatures; a new (H, W, 3)."""
    height, width = rgb.shape[:2]
    if min(height, width) < _LEAST_SIDE:
        return rgb
    result = _rgb8(rgb)
    top, bottom = round(_BAR_TOP * height), round(_BAR_BOTTOM * height)
    wide = max(6, round(0.025 * width))
    left = width - 2 * wide
    ramp = palette(name)[np.linspace(255, 0, bottom - top).round().astype(int)]
    result[top:bottom, left : left + wide] = ramp[:, None]
    cv2.rectangle(result, (left - 1, top - 1), (left + wide, bottom), (0, 0, 0), 1)
    for row, degrees in ((top, high), ((top + bottom) // 2, middle), (bottom, low)):
        _write(result, f"{degrees:.1f} C", (left - wide // 2, row), right=True)
    return _like(result, rgb)


def draw_marks(rgb: Pixels, celsius: Celsius, marks: str) -> Pixels:
    """Mark temperatures (H, W) in a picture: a new (H, W, 3)."""
    measures = measure(celsius)
    if measures is None or min(rgb.shape[:2]) < _LEAST_SIDE:
        return rgb
    result = _rgb8(rgb)
    height, width = celsius.shape
    places = {
        "max": (measures.hottest_at, measures.hottest),
        "min": (measures.coldest_at, measures.coldest),
        "spot": ((width // 2, height // 2), measures.spot),
    }
    arm = max(5, round(0.02 * height))
    for mark in marks.split(","):
        place, degrees = places[mark]
        for thickness, colour in ((3, (0, 0, 0)), (1, _COLOURS[mark])):
            cv2.drawMarker(result, place, colour, cv2.MARKER_CROSS, 2 * arm + thickness - 1, thickness)
        if np.isfinite(degrees):
            right = place[0] > 0.75 * width
            beside = place[0] + (-arm - 2 if right else arm + 2), place[1] - arm // 2
            _write(result, f"{degrees:.1f} C", beside, _COLOURS[mark], right)
    return _like(result, rgb)


def _write(
    rgb: NDArray[np.uint8],
    text: str,
    place: tuple[int, int],
    colour: tuple[int, int, int] = (255, 255, 255),
    right: bool = False,
) -> None:
    """Write a line in place, vertically centred, that begins (or ends: ``right``) at (x, y)."""
    scale = max(0.35, rgb.shape[0] / 900)
    (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = place[0] - wide if right else place[0]
    x = max(1, min(rgb.shape[1] - wide - 1, x))
    y = max(high + 1, min(rgb.shape[0] - 2, place[1] + high // 2))
    for thickness, ink in ((3, (0, 0, 0)), (1, colour)):
        cv2.putText(rgb, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, thickness, cv2.LINE_AA)


def _rgb8(pixels: Pixels) -> NDArray[np.uint8]:
    rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    return np.ascontiguousarray(quantise(unit(rgb), np.dtype(np.uint8)))


def _like(drawn: NDArray[np.uint8], source: Pixels) -> Pixels:
    """What was drawn, in the depth of the source; what was not keeps the source's own values."""
    if source.dtype == np.uint8:
        return drawn
    rgb = source if source.ndim == 3 else np.repeat(source[..., None], 3, axis=2)
    changed = (drawn != _rgb8(source)).any(-1, keepdims=True)
    return np.where(changed, quantise(unit(drawn), source.dtype), rgb)
