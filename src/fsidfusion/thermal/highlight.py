"""Hot targets in colour over a fused picture, and nothing else changed."""

import re
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.pixels import Pixels, luma, quantise, sample_range, unit
from fsidfusion.thermal.gain import Levels

STRENGTH = 0.85  # of the colour well inside a target
EDGE = 2.5  # pixels inward from the rim of a target in which the colour comes up
_COLOURS = (
    np.array([(210, 20, 10), (255, 110, 0), (255, 225, 60)], np.float32) / 255
)  # from threshold to hottest
_SHADE = 0.45  # of a colour where the fused picture is black
_TEXT = re.compile(r"(-?\d+(?:\.\d+)?)(C|%|)")


@dataclass(frozen=True)
class Threshold:
    """From where on a pixel is hot."""

    value: float
    unit: Literal["C", "%", ""]  # degrees Celsius, percent of the picture's own range, or raw levels


def parse_threshold(text: str) -> Threshold:
    """Read ``35C``, ``80%`` (of the way from the coldest to the hottest level) or ``9000`` (a raw level).

    Raises:
        InputError: anything else, or percent outside 0..100.
    """
    match = _TEXT.fullmatch(text)
    if not match:
        raise InputError(f"highlight {text!r} is unknown; expected 35C (degrees), 80% or 9000 (a raw level)")
    threshold = Threshold(float(match[1]), match[2])  # type: ignore[arg-type]
    if threshold.unit == "%" and not 0 <= threshold.value <= 100:
        raise InputError(f"highlight {text} is no share; expected 0% to 100%")
    return threshold


def highlight(fused: Pixels, levels: Levels, threshold: Threshold) -> Pixels:
    """Colour the pixels that are at least as hot as a threshold, from red over orange to yellow.

    The colour comes up from the rim of a target inwards, and keeps the light and dark of the fused picture;
    pixels that are not hot are not touched.

    Args:
        fused: (H, W) or (H, W, 3), any depth.
        levels: (H, W) of the same scene: degrees Celsius, or counts; NaN where nothing was measured.
        threshold: in the unit of the levels, or percent.

    Returns:
        (H, W, 3) RGB of the type of ``fused``.
    """
    known = levels[np.isfinite(levels)] if levels.dtype.kind == "f" else levels
    rgb = fused if fused.ndim == 3 else np.repeat(fused[..., None], 3, axis=2)
    if known.size == 0:
        return rgb
    low, high = sample_range(known.reshape(1, -1))
    start = threshold.value
    if threshold.unit == "%":
        start = low + threshold.value / 100 * (high - low)
    hot = levels >= start  # false for NaN
    if not hot.any() or (threshold.unit == "%" and high <= low):
        return rgb
    framed = cv2.copyMakeBorder(hot.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1]
    share = np.float32(STRENGTH) * np.clip(depth / np.float32(EDGE), 0.0, 1.0)
    heat = np.nan_to_num((levels.astype(np.float32) - start) / max(float(known.max()) - start, 1e-6))
    tint = _ramp(np.clip(heat, 0.0, 1.0)) * (_SHADE + (1 - _SHADE) * luma(rgb))[..., None]
    blended = unit(rgb) * (1 - share[..., None]) + tint * share[..., None]
    return np.where(hot[..., None], quantise(blended, rgb.dtype), rgb)


def _ramp(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) 0..1 -> (H, W, 3) colours."""
    place = np.linspace(0.0, 1.0, len(_COLOURS))
    return np.stack([np.interp(heat, place, channel) for channel in _COLOURS.T], -1).astype(np.float32)
