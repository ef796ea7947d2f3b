"""Which pixels of a thermal picture were measured, and how its numbers are stored.

Dead pixels, zero borders of registered pictures, rows of telemetry and a saturated sun are a few pixels that
are far from all others. Units, ranges and gains are chosen without them.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.images.pixels import sample_range

Mask = NDArray[np.bool_]  # (H, W)

_FULL = tuple((1 << bits) - 1 for bits in (16, 15, 14, 12, 10))  # where counts of so many bits saturate
_MARKS = (-9999.0, -99999.0, -32768.0, -32767.0)  # of whole numbers that stand for "no data"
_COLDEST, _LARGEST = -1e4 + 1.5, 1e9  # floats beyond are such marks too, and infinite ones
_ZERO_KELVIN = 273.15  # what no pixel measures, though a zero that was converted says so
_FAR = 1.0  # ranges of all other pixels between them and a level that means nothing
_ISOLATED = 9  # pixels of a defect that is filled from around it; more are a border, or the sun
_TELEMETRY_ROWS = 4  # most, at the top or at the bottom
_LEAST_SPAN = 16.0  # counts
_SMOOTH = 0.12  # roughness of a picture, at most
_ROUGH, _SMOOTHER = 0.05, 0.5  # roughness of what may be swapped bytes, and share of it once they are right


@dataclass(frozen=True)
class Validity:
    """What of a picture (H, W) was measured; counts are those of pixels."""

    unknown: Mask | None = None  # not measured; None: nowhere
    saturated: Mask | None = None  # at least as hot as can be told; None: nowhere
    filled: Mask | None = None  # dead, and given a level from around it; None: nowhere

    @property
    def note(self) -> str:
        """What was found, as one line, or ""."""
        found = []
        for mask, what in ((self.unknown, "not measured"), (self.saturated, "saturated")):
            if mask is not None:
                found.append(f"{np.count_nonzero(mask)} pixels are {what}")
        return f"{' and '.join(found)} and were left out of its range" if found else ""

    @property
    def valid(self) -> Mask | None:
        """Where a level means something; None: everywhere."""
        if self.unknown is None or self.saturated is None:
            bad = self.saturated if self.unknown is None else self.unknown
            return None if bad is None else ~bad
        return ~(self.unknown | self.saturated)

    def of(self, levels: NDArray[Any]) -> NDArray[Any]:
        """The levels that mean something, in one row (N,); all (H, W) of them where there is no other."""
        valid = self.valid
        return levels if valid is None or not valid.any() else levels[valid].reshape(1, -1)


def find_valid(levels: NDArray[Any]) -> Validity:
    """Tell what of levels (H, W) was measured.

    - NaN, infinite numbers and the usual marks of no data mean nothing;
    - nor does 0, where all other pixels are as far from it as they are among themselves, and so for the
      largest number of 10, 12, 14, 15 or 16 bits, which says that a pixel is saturated;
    - nor do up to four rows of telemetry at the top or the bottom.

    8-bit levels are all taken as measured.
    """
    if levels.dtype == np.uint8 or levels.size == 0:
        return Validity()
    lost = np.zeros(levels.shape, bool)
    if levels.dtype.kind == "f":
        lost |= ~(levels > _COLDEST) | (levels > _LARGEST)  # NaN compares false
        lost |= np.abs(levels + _ZERO_KELVIN) < 0.01
    for mark in _MARKS:
        if _fits(mark, levels.dtype):
            lost |= levels == levels.dtype.type(mark)
    extremes = (0, *_FULL) if levels.dtype.kind == "u" else (0,)
    apart = lost | np.isin(levels, extremes)
    rows = _telemetry(levels, apart)
    apart |= rows
    if not apart.any():
        return Validity()
    if not apart.all():
        rest = levels[~apart].astype(np.float64)
        low, high = sample_range(rest.reshape(1, -1))
        span = _FAR * max(high - low, _LEAST_SPAN if levels.dtype.kind != "f" else 1.0)
        lost |= rows | (apart & (levels < low - span))
        saturated = apart & ~lost & (levels > high + span)
        if levels.dtype.kind == "u" and saturated.any():
            return Validity(lost if lost.any() else None, saturated)
    return Validity(lost if lost.any() else None)


def fill_isolated(levels: NDArray[Any], validity: Validity) -> tuple[NDArray[Any], Validity]:
    """Fill dead pixels by the median around them; what is larger than a few pixels stays as it is.

    Returns:
        levels (H, W), and what of them is still not measured or saturated, or was filled.
    """
    left: list[Mask | None] = []
    valid = validity.valid
    dead_pixels = np.zeros(levels.shape, bool)
    for mask in (validity.unknown, validity.saturated):
        if mask is None:
            left.append(None)
            continue
        _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        small = stats[:, cv2.CC_STAT_AREA] <= _ISOLATED
        small[0] = False
        dead = small[parts]
        dead_pixels |= dead
        rest = mask & ~dead
        left.append(rest if rest.any() else None)
    unknown, saturated = left
    if valid is None or not dead_pixels.any():
        return levels, Validity(unknown, saturated)
    kind = levels.dtype if levels.dtype == np.uint16 else np.dtype(np.float32)
    whole = np.where(valid, levels, np.median(levels[valid]).astype(levels.dtype)).astype(kind)
    filled = np.where(dead_pixels, cv2.medianBlur(whole, 5).astype(levels.dtype), levels)
    return filled, Validity(unknown, saturated, dead_pixels)


def natural_order(levels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Counts (H, W) whose bytes were swapped, swapped back: the order in which neighbours are alike."""
    return levels.byteswap() if is_swapped(levels) else levels


def is_swapped(levels: NDArray[np.uint16]) -> bool:
    """Whether the two bytes of counts (H, W) stand in the wrong order."""
    if min(levels.shape) < 2:
        return False
    stored = _roughness(levels)
    return stored > _ROUGH and _roughness(levels.byteswap()) < _SMOOTHER * stored


def is_smooth(levels: NDArray[np.uint16]) -> bool:
    """Whether (H, W) words look like a picture: neighbours are alike."""
    return min(levels.shape) >= 2 and _roughness(levels) < _SMOOTH


def shifted_bits(levels: NDArray[Any], validity: Validity) -> int:
    """By how many bits counts were shifted to the top of their 16; 0 for numbers that use the lowest."""
    known = validity.of(levels).ravel()
    if levels.dtype != np.uint16 or known.size == 0 or known.min() == known.max():
        return 0
    bits = int(np.bitwise_or.reduce(known))
    return (bits & -bits).bit_length() - 1


def _roughness(levels: NDArray[np.uint16]) -> float:
    """The mean step between neighbours, as a share of the spread: 0 smooth, about 0.4 noise."""
    step = max(1, levels.shape[0] // 64)
    rows = levels[::step].astype(np.int32)
    low, high = np.percentile(rows, (5, 95))
    spread = max(float(high - low), 64.0)
    return float(np.minimum(np.abs(np.diff(rows, axis=1)), spread).mean() / spread)


def _telemetry(levels: NDArray[Any], apart: Mask) -> Mask:
    """Rows at the top and the bottom of which a third is far from all that lies between them."""
    found = np.zeros(levels.shape, bool)
    height = levels.shape[0]
    if height < 8 * _TELEMETRY_ROWS:
        return found
    inside = levels[2 * _TELEMETRY_ROWS : -2 * _TELEMETRY_ROWS]
    known = inside[~apart[2 * _TELEMETRY_ROWS : -2 * _TELEMETRY_ROWS]]
    if known.size == 0:
        return found
    low, high = sample_range(known.reshape(1, -1))
    span = _FAR * max(high - low, _LEAST_SPAN)
    for rows in (range(_TELEMETRY_ROWS), range(height - 1, height - 1 - _TELEMETRY_ROWS, -1)):
        strange = [np.mean((levels[row] < low - span) | (levels[row] > high + span)) > 1 / 3 for row in rows]
        if all(strange):  # thicker than telemetry: sky, border or sun
            continue
        for row, is_strange in zip(rows, strange):
            if not is_strange:
                break
            found[row] = True
    return found


def _fits(mark: float, dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or np.iinfo(dtype).min <= mark <= np.iinfo(dtype).max
