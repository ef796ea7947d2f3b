"""From scanner units to brightness and colour: CT windows, robust scaling, colour maps."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.grid import Volume, Voxels

Colormap = Literal["hot", "rainbow", "gray"]

WINDOWS = {"brain": (80.0, 40.0), "bone": (2000.0, 500.0)}  # width and level in Hounsfield units
AIR = -200.0  # a CT in Hounsfield units holds values below it wherever it shows air
LOW_PERCENTILE = 1.0  # of all voxels
HIGH_PERCENTILE = 99.5  # of the voxels above the mean, which are body rather than air
_SAMPLED = 1 << 22  # voxels from which percentiles of larger volumes are taken

_ANCHORS = {  # RGB in equal steps from no uptake to the most
    "gray": ((0, 0, 0), (255, 255, 255)),
    "hot": (
        (0, 0, 0), (128, 0, 0), (255, 0, 0), (255, 128, 0), (255, 255, 0), (255, 255, 128), (255, 255, 255),
    ),
    "rainbow": ((0, 0, 0), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0)),
}  # fmt: skip


def parse_window(window: str) -> tuple[float, float]:
    """Width and level of ``brain``, ``bone``, or ``W,L``.

    Raises:
        InputError: none of these, or a width that is not positive.
    """
    if window in WINDOWS:
        return WINDOWS[window]
    try:
        width, level = map(float, window.split(","))
    except ValueError:
        width, level = -1.0, 0.0
    if not (np.isfinite([width, level]).all() and width > 0):
        raise InputError(
            f"window {window!r} is unknown; give brain, bone, or width and level such as --window 400,40"
        )
    return width, level


def apply_window(ct: Volume, window: str) -> NDArray[np.float32]:
    """Map level - width / 2 .. level + width / 2 linearly to 0..1 and clip.

    Raises:
        InputError: :func:`parse_window`, or a window in which nothing of the volume lies.
    """
    width, level = parse_window(window)
    low, high = level - width / 2, level + width / 2
    least, most = float(ct.voxels.min()), float(ct.voxels.max())
    if most <= low or least >= high:
        raise InputError(
            f"the window {window} shows {low:g}..{high:g}, but {ct.name} holds {least:g}..{most:g};"
            " give --window W,L in its own units, or leave it out"
        )
    return _to_unit(ct.voxels, low, high)


def is_hounsfield(ct: Volume) -> bool:
    """Whether a CT looks as if it were in Hounsfield units: air is in it."""
    return float(ct.voxels.min()) < AIR


def scale_robust(volume: Volume) -> NDArray[np.float32]:
    """Map a volume of any unit to 0..1 by two percentiles, so that single bright voxels do not darken it.

    Black is the 1 % percentile of all voxels, white the 99.5 % percentile of those above the mean.

    Raises:
        InputError: a flat volume.
    """
    step = max(1, round((volume.voxels.size / _SAMPLED) ** (1 / 3)))
    sample = volume.voxels[::step, ::step, ::step]
    body = sample[sample > sample.mean()]
    low = float(np.percentile(sample, LOW_PERCENTILE))
    high = float(np.percentile(body, HIGH_PERCENTILE)) if body.size else low
    if high <= low:
        raise InputError(f"{volume.name} is flat (all voxels are about {low:g}); give a volume with content")
    return _to_unit(volume.voxels, low, high)


def apply_colormap(values: NDArray[np.float32], colormap: Colormap) -> NDArray[np.uint8]:
    """Colour values 0..1: ``(...)`` to ``(..., 3)`` RGB; black is no uptake in every map."""
    anchors = np.array(_ANCHORS[colormap], np.float64)
    places = np.linspace(0, 255, len(anchors))
    planes = [np.interp(np.arange(256), places, channel) for channel in anchors.T]
    table = np.rint(np.stack(planes, axis=1)).astype(np.uint8)
    return table[(np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)]


def _to_unit(voxels: Voxels, low: float, high: float) -> NDArray[np.float32]:
    scaled = (voxels.astype(np.float32) - np.float32(low)) * np.float32(1 / (high - low))
    return np.clip(scaled, 0.0, 1.0, out=scaled)
