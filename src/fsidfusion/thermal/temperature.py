"""Temperatures: what the numbers of a file stand for, and a map of degrees Celsius as a file."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.exif import add_to_tiff
from fsidfusion.images.pixels import sample_range
from fsidfusion.thermal.gain import Levels
from fsidfusion.thermal.validity import Validity, find_valid, shifted_bits

Unit = Literal[
    "auto",
    "counts",
    "centikelvin",
    "kelvin64",
    "kelvin25",
    "decikelvin",
    "optris",
    "kelvin",
    "celsius",
    "decicelsius",
    "centicelsius",
    "millicelsius",
    "SUV",  # of PET volumes alone: standardised uptake values
]
Celsius = NDArray[np.float32]  # (H, W) degrees Celsius; NaN where nothing was measured

ZERO_CELSIUS = 273.15  # kelvin
_PLAUSIBLE = (-40.0, 160.0)  # degrees Celsius: 14-bit counts, read as centikelvin, stay below
_FLOATING = (-100.0, 3000.0)  # degrees Celsius that floats are taken for
_KELVIN = 200.0  # floats that all lie above, and below twice as much, are kelvin
_CLASSIC = 3 << 30  # bytes of samples beside which places of 32 bits reach all else
_SHIFTED = 2  # bits that are always zero: counts shifted to the top, of which no temperature is told
_SCALES = {  # unit: degrees Celsius a step, and at 0
    "centikelvin": (0.01, -ZERO_CELSIUS),
    "kelvin64": (1 / 64, -ZERO_CELSIUS),
    "kelvin25": (1 / 25, -ZERO_CELSIUS),  # FLIR's TLinear of Duo Pro R and Vue Pro R
    "decikelvin": (0.1, -ZERO_CELSIUS),
    "optris": (0.1, -100.0),  # of its radiometric TIFF: tenths of a degree above -100
    "kelvin": (1.0, -ZERO_CELSIUS),
    "celsius": (1.0, 0.0),
    "decicelsius": (0.1, 0.0),
    "centicelsius": (0.01, 0.0),
    "millicelsius": (0.001, 0.0),
}


def guess_unit(levels: Levels, validity: Validity | None = None) -> Unit:
    """The unit of levels (H, W), by those that mean something.

    Centikelvin are 16 bits that nearly all lie in -40..160 C and use their lowest bits. Floats are kelvin
    where all lie in 200..400, else degrees Celsius where they lie in -100..3000, but not in 0..1. All else is
    counts.
    """
    validity = validity or find_valid(levels)
    known = validity.of(levels)
    low, high = sample_range(known)
    if levels.dtype.kind == "f":
        if not np.isfinite(known).all() or (known.min() >= 0 and known.max() <= 1):
            return "counts"
        if low >= _KELVIN and high <= 2 * _KELVIN:
            return "kelvin"
        return "celsius" if _FLOATING[0] <= low and high <= _FLOATING[1] else "counts"
    if levels.dtype != np.uint16 or shifted_bits(levels, validity) >= _SHIFTED:
        return "counts"
    low, high = (0.01 * level - ZERO_CELSIUS for level in (low, high))
    return "centikelvin" if _PLAUSIBLE[0] <= low and high <= _PLAUSIBLE[1] else "counts"


def to_celsius(levels: Levels, unit: Unit) -> Celsius | None:
    """Levels (H, W) of a unit in degrees Celsius; None for counts, which stand for no temperature."""
    if unit == "auto":
        unit = guess_unit(levels)
    if unit == "counts":
        return None
    scale, offset = _SCALES[unit]
    return np.multiply(levels, np.float32(scale), dtype=np.float32) + np.float32(offset)


def resample(levels: Levels, height: int, width: int) -> Levels:
    """Levels (H, W) at another size, linearly, so that none is invented; by area where it shrinks."""
    shrinks = height * width < levels.shape[0] * levels.shape[1]
    return cv2.resize(levels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def write_temperature(
    path: Path, celsius: Celsius, exif: bytes | None = None, xmp: bytes | None = None
) -> None:
    """Write a map of degrees Celsius as float32 TIFF, whole or not at all; missing folders are made.

    Args:
        path: of the file.
        celsius: (H, W), NaN where nothing was measured.
        exif: what goes with it of its source, of :func:`fsidfusion.images.exif.carried`.
        xmp: likewise, of :func:`fsidfusion.images.exif.carried_xmp`.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as stream:
            tifffile.imwrite(
                stream,
                celsius.astype(np.float32, copy=False),
                photometric="minisblack",
                compression="zlib",
                description="temperature in degrees Celsius; NaN: not measured",
                metadata=None,
            )
            if (exif or xmp) and celsius.nbytes < _CLASSIC:
                add_to_tiff(stream, exif, xmp)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another output") from error


def read_temperature(path: Path) -> Celsius:
    """Read what :func:`write_temperature` wrote: (H, W) float32 degrees Celsius."""
    return np.asarray(tifffile.imread(path), np.float32)
