"""Automatic gain control: from raw counts or temperatures to the range that is fused.

A thermal camera delivers 14 or 16 bits of which a scene fills a small part, with a few pixels far above the
rest. Every mode here is one mapping: linear between two levels, then through curves of equalisation, one for
the picture (plateau) or one for each tile of it (CLAHE). So all of them can be followed through a video.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.pixels import Luma, Pixels, luma, quantise, recolour, sample_range, strips
from fsidfusion.thermal.validity import Mask

Levels = NDArray[Any]  # (H, W): uint8 or uint16 counts, or float32 degrees Celsius
Mode = Literal["auto", "off", "linear", "plateau", "clahe", "window"]

RAW_SHARE = 1 / 4  # of the range of 16 bits, which 14 bits fill at most: less is taken as raw counts
PLATEAU = 2.0  # most pixels of one level that count, as a multiple of the mean over the levels that occur
LINEAR_SHARE = 0.25  # of a plateau curve: no contrast falls below a quarter of that of the linear mapping
CLIP = 3.0  # largest slope of a tile's curve
TILES, LEAST_TILE = 8, 24  # tiles a side, and pixels of their side
SMOOTHING = 0.5  # seconds in which the gain goes 63 % of the way to that of the scene
CUT = 0.12  # mean change of the mapped picture from one frame to the next that begins another scene
_PLAIN: dict[str, Mode] = {mode: mode for mode in get_args(Mode) if mode != "window"}
_LEAST_SPAN = {"u1": 16.0, "u2": 64.0, "f4": 1.0}  # levels or degrees; what fills less is mostly noise
_BINS = 2048
_THUMBNAIL = (32, 24)
_WINDOW = re.compile(r"window:(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)(C?)")


@dataclass(frozen=True)
class Gain:
    """A mode, and the levels of a window."""

    mode: Mode
    low: float = 0.0
    high: float = 0.0
    celsius: bool = False  # the window is given in degrees Celsius, else in counts


@dataclass(frozen=True)
class Mapping:
    """``low`` to 0 and ``high`` to 1, then through curves (rows, columns, _BINS + 1) from 0 up to 1."""

    low: float
    high: float
    curves: NDArray[np.float32] | None = None  # of tiles that cover the picture evenly; None: linear

    def towards(self, target: "Mapping", share: float) -> "Mapping":
        """A mapping on the way to another one of the same kind; each level goes that share of its way."""
        low, high = self.low + share * (target.low - self.low), self.high + share * (target.high - self.high)
        if self.curves is None and target.curves is None:
            return Mapping(low, high)
        if self.curves is None or target.curves is None or self.curves.shape != target.curves.shape:
            return target
        levels = np.linspace(low, high, _BINS + 1)
        mixed = (1 - share) * self._curves_at(levels) + share * target._curves_at(levels)
        return Mapping(low, high, mixed.astype(np.float32))

    def _curves_at(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """The curves at some levels (N,): (rows, columns, N)."""
        assert self.curves is not None
        edges = np.linspace(self.low, self.high, _BINS + 1)
        flat = self.curves.reshape(-1, _BINS + 1)
        return np.stack([np.interp(levels, edges, curve) for curve in flat]).reshape(
            *self.curves.shape[:2], len(levels)
        )


def parse_gain(text: str) -> Gain:
    """Read ``auto``, ``off``, ``linear``, ``plateau``, ``clahe``, ``window:20..40C``, ``window:7000..9000``.

    Raises:
        InputError: anything else, or a window whose end is not above its start.
    """
    if text in _PLAIN:
        return Gain(_PLAIN[text])
    match = _WINDOW.fullmatch(text)
    if not match:
        raise InputError(
            f"gain control {text!r} is unknown; expected auto, off, linear, plateau, clahe,"
            " window:20..40C (degrees) or window:7000..9000 (counts)"
        )
    low, high = float(match[1]), float(match[2])
    if low >= high:
        raise InputError(f"{text} ends at {high:g}, which is not above its start {low:g}; swap them")
    return Gain("window", low, high, celsius=bool(match[3]))


def is_raw(levels: Levels, valid: Mask | None = None) -> bool:
    """Whether 16-bit samples are probably raw counts: those that are valid fill a quarter of the range."""
    if levels.dtype != np.uint16:
        return False
    low, high = sample_range(levels if valid is None or not valid.any() else levels[valid].reshape(1, -1))
    return 0 < high - low <= RAW_SHARE * 65535


def find_mapping(levels: Levels, gain: Gain, valid: Mask | None = None) -> Mapping:
    """The mapping of one picture by itself.

    - ``linear``: between the 0.05 and 99.95 percentiles.
    - ``window``: between two given levels.
    - ``plateau``: histogram equalisation in which a level counts for no more than a plateau of pixels, so
      that a large even background does not take the contrast from small objects (V. E. Vickers, Plateau
      equalization algorithm for real-time display of high-quality infrared imagery, Optical Engineering
      35(7), 1996). A share of the linear mapping is mixed in, as cameras do.
    - ``clahe``: contrast limited adaptive histogram equalisation (K. Zuiderveld, Graphics Gems IV, 1994).

    Args:
        levels: (H, W), finite where they are valid.
        gain: any mode but ``auto`` and ``off``; the window in the unit of the levels.
        valid: (H, W), where a level means something; None: everywhere.

    Raises:
        InputError: a window that no level lies in.
    """
    if valid is not None and not valid.any():
        valid = None
    known = levels if valid is None else levels[valid].reshape(1, -1)
    if gain.mode == "window":
        least, most = float(known.min()), float(known.max())
        if gain.high <= least or gain.low >= most:
            unit = " C" if gain.celsius else ""
            raise InputError(
                f"window {gain.low:g}..{gain.high:g}{unit} lies outside the picture, which holds"
                f" {least:.6g}..{most:.6g}{unit}; choose one that overlaps"
            )
        return Mapping(gain.low, gain.high)
    low, high, flatness = _limits(known)
    if gain.mode == "linear":
        return Mapping(low, high)
    grid = (1, 1)
    if gain.mode == "clahe":
        rows, columns = (max(1, min(TILES, side // LEAST_TILE)) for side in levels.shape)
        grid = rows, columns
    counts = _tile_histograms(levels, low, high, grid, valid)
    return Mapping(
        low, high, _clahe_curves(counts) if gain.mode == "clahe" else _plateau_curves(counts, flatness)
    )


def apply_mapping(levels: Levels, mapping: Mapping) -> Luma:
    """Map levels (H, W) to 0..1, float32; what lies outside ``low``..``high`` is clipped, NaN becomes 0.

    Where there are several curves, each pixel lies between the centres of four tiles and is mapped by the
    curves of them all, weighted bilinearly.
    """
    result = np.zeros(levels.shape, np.float32)
    for part in strips(*levels.shape):
        unit = _unit(levels[part], mapping.low, mapping.high)
        if mapping.curves is None:
            result[part] = unit
            continue
        rows, columns = mapping.curves.shape[:2]
        curves = mapping.curves.ravel()
        unit *= np.float32(_BINS)
        bins = np.minimum(unit.astype(np.int32), _BINS - 1)
        unit -= bins
        for row, row_weight in _neighbours(levels.shape[0], rows):
            for column, column_weight in _neighbours(levels.shape[1], columns):
                index = (row[part, None] * columns + column) * (_BINS + 1) + bins
                below, above = curves[index], curves[index + 1]
                result[part] += (below + (above - below) * unit) * (row_weight[part, None] * column_weight)
    return np.clip(result, 0.0, 1.0, out=result)


def apply_gain(pixels: Pixels, gain: Gain, valid: Mask | None = None) -> Pixels:
    """One picture through its own mapping; of RGB the luma is mapped, and the chroma is kept.

    Args:
        pixels: (H, W) levels, or (H, W, 3) RGB (uint8, uint16, or floating 0..1).
        gain: any mode but ``auto``; ``off`` gives the pixels back as they are.
        valid: (H, W), as for :func:`find_mapping`.

    Returns:
        float32 in 0..1, of the shape of ``pixels``.

    Raises:
        InputError: as :func:`find_mapping`.
    """
    if gain.mode == "off":
        return pixels
    floating = pixels.dtype.kind == "f"
    levels = pixels
    if floating or pixels.ndim == 3:
        levels = quantise(luma(pixels), np.dtype(np.uint16) if floating else pixels.dtype)
    mapped = apply_mapping(levels, find_mapping(levels, gain, valid))
    return mapped if pixels.ndim == 2 else recolour(mapped, pixels)


class SteadyGain:
    """The gain of a video: it follows the scene slowly, and at a cut it jumps."""

    def __init__(self, gain: Gain, smoothing: float = SMOOTHING) -> None:
        """``gain``: any mode but ``auto`` and ``off``; ``smoothing`` is in seconds."""
        self._gain, self._smoothing = gain, smoothing
        self._mapping: Mapping | None = None
        self._seconds = 0.0
        self._before: Luma | None = None  # a small picture of the levels

    def __call__(self, levels: Levels, seconds: float, valid: Mask | None = None) -> Luma:
        """Map the levels (H, W) of the frame that is shown from ``seconds`` on to 0..1.

        Only levels that are ``valid`` (H, W) move the gain; None: all.

        Raises:
            InputError: a window that no level of the first frame lies in.
        """
        known, before = self._mapping, self._before
        whole = levels
        if valid is not None and valid.any():
            whole = np.where(valid, levels, np.median(levels[valid]).astype(levels.dtype))
        small = np.asarray(cv2.resize(whole, _THUMBNAIL, interpolation=cv2.INTER_AREA), np.float32)
        if known is None or before is None:
            known = find_mapping(levels, self._gain, valid)
        elif self._gain.mode != "window":
            change = _unit(small, known.low, known.high) - _unit(before, known.low, known.high)
            share = 1 - math.exp(-max(0.0, seconds - self._seconds) / self._smoothing)
            cut = float(np.abs(change).mean()) > CUT
            known = known.towards(find_mapping(levels, self._gain, valid), 1.0 if cut else share)
        self._mapping, self._before, self._seconds = known, small, seconds
        return apply_mapping(levels, known)


def _limits(levels: Levels) -> tuple[float, float, float]:
    """The percentiles of the linear mapping, moved apart in a flat picture, and how flat it is: 0..1."""
    low, high = sample_range(levels)
    least = _LEAST_SPAN[levels.dtype.str[1:]]
    missing = max(0.0, least - (high - low))
    return low - missing / 2, high + missing / 2, min(1.0, max(0.0, 2 - (high - low) / least))


def _unit(levels: Levels, low: float, high: float) -> Luma:
    scaled = levels.astype(np.float32)
    scaled -= np.float32(low)
    scaled *= np.float32(1.0 / (high - low))
    np.clip(scaled, 0.0, 1.0, out=scaled)
    return np.nan_to_num(scaled, copy=False) if levels.dtype.kind == "f" else scaled


def _tile_histograms(
    levels: Levels, low: float, high: float, grid: tuple[int, int], valid: Mask | None = None
) -> NDArray[np.float64]:
    """(rows, columns, _BINS) valid pixels of each level in each tile; of a tile without any, all alike."""
    rows, columns = grid
    counts = np.zeros(rows * columns * _BINS, np.int64)
    row = np.arange(levels.shape[0]) * rows // levels.shape[0]
    column = np.arange(levels.shape[1]) * columns // levels.shape[1]
    for part in strips(*levels.shape):
        bins = (_unit(levels[part], low, high) * np.float32(_BINS)).astype(np.int64)
        np.minimum(bins, _BINS - 1, out=bins)
        bins += (row[part, None] * columns + column) * _BINS
        counted = bins.ravel() if valid is None else bins[valid[part]]
        counts += np.bincount(counted, minlength=len(counts))
    # counts that are integers leave gaps between the levels that occur: spread each over its own width
    width = 1 if levels.dtype.kind == "f" else max(1, math.ceil(_BINS / (high - low)))
    each = counts.reshape(rows * columns, _BINS).astype(np.float64)
    each[each.sum(-1) == 0] = 1.0
    spread = cv2.blur(each, (width, 1), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(spread, np.float64).reshape(rows, columns, _BINS)


def _plateau_curves(counts: NDArray[np.float64], flatness: float) -> NDArray[np.float32]:
    occurring = max(1, np.count_nonzero(counts > 0))
    clipped = np.minimum(counts, PLATEAU * counts.sum() / occurring)
    linear = np.linspace(0.0, 1.0, _BINS + 1)
    share = max(LINEAR_SHARE, flatness)  # levels that noise alone fills are not spread
    return ((1 - share) * _cumulative(clipped) + share * linear).astype(np.float32)


def _clahe_curves(counts: NDArray[np.float64]) -> NDArray[np.float32]:
    mean = counts.sum(-1, keepdims=True) / _BINS
    clipped = np.minimum(counts, CLIP * mean)
    return _cumulative(clipped + mean - clipped.mean(-1, keepdims=True)).astype(np.float32)


def _cumulative(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of pixels below each edge of the levels: (..., _BINS) -> (..., _BINS + 1), from 0 to 1."""
    edges = np.concatenate((np.zeros((*counts.shape[:-1], 1)), np.cumsum(counts, -1)), -1)
    return edges / edges[..., -1:]


def _neighbours(pixels: int, tiles: int) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Along one side: for each pixel the tile before and the tile after it, each with its weight."""
    if tiles == 1:
        return [(np.zeros(pixels, np.int64), np.ones(pixels, np.float32))]
    place = np.clip((np.arange(pixels) + 0.5) * tiles / pixels - 0.5, 0.0, tiles - 1.0)
    first = np.minimum(place.astype(np.int64), tiles - 2)
    share = (place - first).astype(np.float32)
    return [(first, 1 - share), (first + 1, share)]
