"""Output mapping: from the network's fused luma to the range that is written.

The published release stretches each image between its own minimum and maximum, so one hot pixel decides the
contrast of the whole picture. The default here stretches between two percentiles, with a bounded gain so that
the noise of a dark, empty scene is not lifted.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError

RangeMode = Literal["percentile", "minmax", "none"]

LOW_PERCENTILE = 0.05
HIGH_PERCENTILE = 99.95
MAX_GAIN = 1.5
_BINS = 65536


@dataclass(frozen=True)
class Range:
    """The fused values that become black (``low``) and white (``high``)."""

    low: float
    high: float


def find_range(
    fused: NDArray[np.float32], mode: RangeMode = "percentile", max_gain: float = MAX_GAIN
) -> Range:
    """Choose the output range of one fused image.

    Args:
        fused: (H, W) network output, nominally 0..1; values outside are clipped first except for ``minmax``.
        mode: ``percentile`` stretches between the 0.05 and 99.95 percentiles with a gain of at most
            ``max_gain``; ``minmax`` between the extremes, as published; ``none`` keeps 0..1.
        max_gain: the largest slope of the percentile stretch.

    Raises:
        InputError: for an unknown mode.
    """
    if mode not in get_args(RangeMode):
        raise InputError(f"output range {mode!r} is unknown; choose one of {', '.join(get_args(RangeMode))}")
    if mode == "none" or fused.size == 0:
        return Range(0.0, 1.0)
    if mode == "minmax":
        low, high = float(fused.min()), float(fused.max())
        return Range(low, high) if high > low else Range(0.0, 1.0)
    low, high = _percentiles(fused)
    span = max(high - low, 1.0 / max_gain)
    # a span widened by the bound keeps the place of the values inside 0..1: no shift to gray, no clipping
    position = low / max(1.0 - (high - low), 1e-6) if high - low < span else 0.0
    low = low - position * (span - (high - low))
    return Range(low, low + span)


def apply_range(fused: NDArray[np.float32], range_: Range) -> NDArray[np.float32]:
    """Map ``low``..``high`` linearly to 0..1 and clip; the shape is kept."""
    scale = np.float32(1.0 / (range_.high - range_.low))
    mapped = (fused - np.float32(range_.low)) * scale
    return np.clip(mapped, 0.0, 1.0, out=mapped)


def _percentiles(fused: NDArray[np.float32]) -> tuple[float, float]:
    """Both percentiles from one 16-bit histogram, row block by row block: no sorted copy of a huge image."""
    counts = np.zeros(_BINS, np.int64)
    rows = max(1, (1 << 22) // max(1, fused.shape[1]))
    for start in range(0, fused.shape[0], rows):
        block = np.clip(fused[start : start + rows], 0.0, 1.0) * np.float32(_BINS - 1) + np.float32(0.5)
        counts += np.bincount(block.astype(np.uint16).ravel(), minlength=_BINS)
    cumulative = np.cumsum(counts)
    total = cumulative[-1]
    low = int(np.searchsorted(cumulative, total * LOW_PERCENTILE / 100.0, side="right"))
    high = int(np.searchsorted(cumulative, total * HIGH_PERCENTILE / 100.0, side="left"))
    return low / (_BINS - 1), high / (_BINS - 1)
