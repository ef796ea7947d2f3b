"""From scanner units to brightness: windows, and levels that single voxels cannot move."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.grid import Volume, Voxels

Modality = Literal["mri", "ct", "pet", "spect", "dose"]

UPTAKE: tuple[Modality, ...] = ("pet", "spect", "dose")  # maps that are shown in colour, from 0 up
WINDOWS = {"brain": (80.0, 40.0), "bone": (2000.0, 500.0)}  # width and level in Hounsfield units
AIR = -200.0  # a CT in Hounsfield units holds values below it wherever it shows air
LOW_PERCENTILE = 1.0  # of all voxels
HIGH_PERCENTILE = 99.5  # of the voxels above the mean, which are body rather than air
TOLD = 1e-3  # share of the voxels above a level that is said
FAR = 3.0  # how many times the high percentile a peak is before that is said
BORNE_OUT = 5  # voxels of 27 that must reach a peak
_SAMPLED = 1 << 22  # voxels from which percentiles of larger volumes are taken
_BRIGHTEST = 1 << 16  # voxels around which a peak is looked for


@dataclass(frozen=True)
class Level:
    """The values that become 0 and 1, in the unit of the volume."""

    low: float
    high: float
    unit: str = ""  # empty where it is not known
    origin: str = ""  # how they were found, for reports

    def apply(self, voxels: Voxels) -> NDArray[np.float32]:
        """Map ``low``..``high`` linearly to 0..1 and clip."""
        scaled = (voxels.astype(np.float32) - np.float32(self.low)) * np.float32(1 / (self.high - self.low))
        return np.clip(scaled, 0.0, 1.0, out=scaled)

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{number(self.low)}..{number(self.high)}{unit}" + (f" ({self.origin})" if self.origin else "")


def number(value: float) -> str:
    """A value with four digits, without an exponent up to ten millions."""
    text = f"{value:.4g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e7 else text


def parse_window(window: str) -> tuple[float, float]:
    """The low and the high end of ``brain``, ``bone``, ``LOW..HIGH``, or ``WIDTH,LEVEL``.

    Raises:
        InputError: none of these, or ends that are not finite or not in order.
    """
    try:
        if window in WINDOWS or "," in window:
            width, level = WINDOWS[window] if window in WINDOWS else map(float, window.split(","))
            low, high = level - width / 2, level + width / 2
        else:
            low, high = map(float, window.split(".."))
    except ValueError:
        low, high = 0.0, -1.0
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(
            f"window {window!r} is unknown; give brain, bone, LOW..HIGH such as `window`=0..8, or width and"
            " level such as `window` 400,40"
        )
    return low, high


def choose_level(volume: Volume, modality: Modality, window: str | None = None) -> tuple[Level, list[str]]:
    """The level of a volume, and what should be said of it.

    A window that is asked for is taken as it is. Otherwise a CT in Hounsfield units has the bone window; PET,
    SPECT and dose begin at 0 and end at their :func:`peak`; anything else goes from the 1 % percentile of all
    voxels to the 99.5 % percentile of those above the mean.

    Raises:
        InputError: an unknown window, one in which nothing of the volume lies, or a flat volume.
    """
    least, most = float(volume.voxels.min()), float(volume.voxels.max())
    unit = volume.unit or ("HU" if modality == "ct" and is_hounsfield(volume) else "")
    if window is not None:
        low, high = parse_window(window)
        if most <= low or least >= high:
            raise InputError(
                f"the window {window} shows {low:g}..{high:g}, but {volume.name} holds {least:g}..{most:g};"
                " give `window` LOW..HIGH in its own units, or leave it out"
            )
        level = Level(low, high, unit, f"window {window}" if window in WINDOWS else "as asked")
        return level, [] if modality == "ct" else _clipped(volume, level)
    if modality == "ct" and is_hounsfield(volume):
        low, high = parse_window("bone")
        return Level(low, high, unit, "bone window"), []
    low, high = _percentiles(volume)
    if modality not in UPTAKE:
        _check_range(volume, low, high)
        return Level(low, high, volume.unit, "by percentiles"), []
    top = peak(volume.voxels)
    _check_range(volume, 0.0, top)
    notes = []
    level = Level(0.0, top, volume.unit, "from 0 to the peak")
    if 0 < high * FAR < top:
        notes.append(
            f"the {modality.upper()} is shown from 0 to its peak {number(top)}, {top / high:.0f} times the"
            f" {HIGH_PERCENTILE} % percentile; `window`=0..{number(high)} shows more of the rest"
        )
    if most > 1.5 * top:
        notes.append(
            f"single voxels of the {modality.upper()} reach {number(most)}, beyond the {number(top)} that"
            " is shown"
        )
    return level, notes


def peak(voxels: Voxels) -> float:
    """The largest value that ``BORNE_OUT`` voxels of some 3x3x3 neighbourhood reach.

    Single voxels, pairs and lines of outliers do not move it; a lesion of two voxels each way does. Sought
    around the brightest ``_BRIGHTEST`` voxels.
    """
    count = min(voxels.size, _BRIGHTEST)
    brightest = np.argpartition(voxels.ravel(), voxels.size - count)[voxels.size - count :]
    places = np.stack(np.unravel_index(brightest, voxels.shape), axis=1)
    around = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(27, 3)
    size = np.array(voxels.shape)
    top = -np.inf
    for start in range(0, count, 1 << 14):
        near = places[start : start + (1 << 14), None] + around
        inside = ((near >= 0) & (near < size)).all(axis=-1)
        near = np.clip(near, 0, size - 1)
        values = np.where(inside, voxels[tuple(np.moveaxis(near, -1, 0))], -np.inf)
        top = max(top, float(np.partition(values, 27 - BORNE_OUT, axis=1)[:, 27 - BORNE_OUT].max()))
    return top if np.isfinite(top) else float(voxels.max())


def is_hounsfield(ct: Volume) -> bool:
    """Whether a CT looks as if it were in Hounsfield units: air is in it."""
    return float(ct.voxels.min()) < AIR


def _percentiles(volume: Volume) -> tuple[float, float]:
    """The low and the high one; a few bright voxels move neither."""
    step = max(1, round((volume.voxels.size / _SAMPLED) ** (1 / 3)))
    sample = volume.voxels[::step, ::step, ::step]
    mean = np.minimum(sample, np.percentile(sample, 99.9)).mean()
    body = sample[sample > mean]
    low = float(np.percentile(sample, LOW_PERCENTILE))
    return low, float(np.percentile(body, HIGH_PERCENTILE)) if body.size else low


def _check_range(volume: Volume, low: float, high: float) -> None:
    if high <= low:
        raise InputError(f"{volume.name} is flat (all voxels are about {low:g}); give a volume with content")


def _clipped(volume: Volume, level: Level) -> list[str]:
    """A note about what is brighter than a level, of all that is above its low end."""
    inside = int(np.count_nonzero(volume.voxels > level.low))
    share = np.count_nonzero(volume.voxels > level.high) / max(1, inside)
    if share < TOLD:
        return []
    return [
        f"{share:.1%} of the voxels of {volume.name} above {level.low:g} are beyond {level.high:g} and look"
        " alike"
    ]
