"""Degradations of a source picture, seeded: what weather, fire, lamps, darkness and cheap sensors do to it.

``degrade(image, kind, strength, seed)`` takes one picture, (H, W) gray or (H, W, 3) colour, float, 0..1, and
gives it back degraded, in its shape and range, as float32. ``strength`` 0 changes nothing, 1 is the worst;
what it scales is said at each function. The same picture, kind, strength and seed give the same result.
Haze, smoke, glare, dark and noise happen to the visible source, those of ``INFRARED`` to the infrared one.

They are models for tests and training, not renderings: without depth, distance is a slanted plane.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from fsidfusion.errors import InputError

Picture = NDArray[np.float32]  # (H, W) or (H, W, 3), 0..1
Light = NDArray[np.floating[Any]]  # of any shape
STRENGTH = 0.6  # where none is given: people are hard to see, and not yet gone
INFRARED = ("stripes",)


def degrade(image: ArrayLike, kind: str, strength: float = STRENGTH, seed: int = 0) -> Picture:
    """``image`` under one of ``DEGRADATIONS``.

    Args:
        image: (H, W) or (H, W, 3), float, 0..1.
        kind: haze, smoke, glare, dark, noise or stripes.
        strength: 0 (nothing) .. 1 (worst).
        seed: of all that is random in it, not negative.

    Raises:
        InputError: an unknown kind, a strength outside 0..1, another shape, or levels outside 0..1.
    """
    picture = np.asarray(image, np.float32)
    if kind not in DEGRADATIONS:
        raise InputError(f"degradation {kind!r} is unknown; choose one of {', '.join(DEGRADATIONS)}")
    if not 0 <= strength <= 1:
        raise InputError(f"the strength of {kind} is {strength:g}; expected 0 (nothing) to 1 (worst)")
    if picture.size == 0 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise InputError(f"a picture of shape {picture.shape} cannot be degraded; give (H, W) or (H, W, 3)")
    if not (picture.min() >= 0 and picture.max() <= 1):
        raise InputError("the levels of a picture to degrade must be 0..1; divide 8-bit levels by 255")
    if strength == 0:
        return picture.copy()
    rng = np.random.default_rng([seed, list(DEGRADATIONS).index(kind)])
    return np.clip(DEGRADATIONS[kind](picture, strength, rng), 0, 1).astype(np.float32)


def haze(image: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Fog or haze: I = J t + A (1 - t), t = exp(-beta d) (Koschmieder 1924; Narasimhan and Nayar, 2002).

    The distance d falls from 1 at the top of the picture to 0.35 at its bottom, and drifts by a fifth; beta
    is such that t at d = 1 is 1 - 0.95 ``strength``. A, the airlight, is 0.7 to 0.95, in colour bluish.
    """
    height, width = image.shape[:2]
    distance = np.linspace(1, 0.35, height, dtype=np.float32)[:, None]
    distance = distance * (1 + 0.2 * (2 * clouds((height, width), rng, 0.6) - 1))
    t = np.exp(math.log(1 - 0.95 * strength) * distance)
    airlight = rng.uniform(0.7, 0.95) * np.array([0.97, 1.0, 1.03] if image.ndim == 3 else 1.0, np.float32)
    return veil(image, np.minimum(airlight, 1), _for(image, 1 - t))


def smoke(image: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Smoke: the veil of ``haze`` with t in billows and lit unevenly.

    Clouds of fractal noise cover about two thirds of the picture; in their cores t falls to
    1 - 0.97 ``strength``. The airlight varies by a tenth around 0.45 to 0.95 with the folds of the cloud.
    """
    shape = image.shape[:2]
    folds = clouds(shape, rng, 0.5)
    cover = np.clip((folds - 0.3) / 0.35, 0, 1)
    cover = cover * cover * (3 - 2 * cover)  # smooth edges
    airlight = rng.uniform(0.45, 0.95) + 0.2 * (clouds(shape, rng, 0.2) - 0.5)
    return veil(image, _for(image, airlight), _for(image, 0.97 * strength * cover))


def glare(image: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Glare of one to three lamps: light falls with the square of the angle from each (CIE 146, 2002).

    A lamp adds ``strength`` / (1 + (r / r0)^2), r0 a tenth to a quarter of the shorter side; it stands in the
    upper three quarters. Where sum and scene exceed white, the picture is saturated.
    """
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    light = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        y, x = rng.uniform(0, 0.75) * height, rng.uniform(0, 1) * width
        reach = rng.uniform(0.1, 0.25) * min(height, width)
        light += strength / (1 + ((rows - y) ** 2 + (columns - x) ** 2) / reach**2)
    return image + _for(image, light)


def dark(image: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Darkness: 1 - 0.95 ``strength`` of the light reaches the sensor, whose noise stays.

    The light is scaled where it is linear (level^2.2), then come photon and read noise as in ``noise``.
    """
    exposed = image**2.2 * (1 - 0.95 * strength)
    return noise(exposed ** np.float32(1 / 2.2), 0.5 * strength, rng)


def noise(image: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Noise of a sensor: Gaussian, of variance a J + b (Foi et al., 2008), apart in each channel.

    a = 0.02 ``strength``, b = (0.08 ``strength``)^2.
    """
    deviation = np.sqrt(0.02 * strength * image + (0.08 * strength) ** 2)
    return image + deviation * rng.standard_normal(image.shape, np.float32)


def stripes(image: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Fixed pattern of a microbolometer's read-out: I = J (1 + g) + o, gain g and offset o for each column.

    Both are Gaussian, of deviation 0.1 ``strength`` and 0.08 ``strength`` (Hardie et al., 2000, per column).
    """
    width = image.shape[1]
    gain, offset = strength * np.array([[0.1], [0.08]]) * rng.standard_normal((2, width))
    gain, offset = (_for(image, v[None].astype(np.float32)) for v in (gain, offset))
    return image * (1 + gain) + offset


DEGRADATIONS: dict[str, Callable[[Picture, float, np.random.Generator], Picture]] = {
    "haze": haze,
    "smoke": smoke,
    "glare": glare,
    "dark": dark,
    "noise": noise,
    "stripes": stripes,
}


def clouds(shape: tuple[int, int], rng: np.random.Generator, persistence: float) -> Picture:
    """Fractal noise (H, W), 0..1: up to six octaves of smooth random grids, each half as wide as the last and
    ``persistence`` as strong; the widest has two to three cells along the shorter side."""
    height, width = shape
    cell = min(height, width) / rng.uniform(2, 3)
    total, weight = np.zeros(shape, np.float32), 1.0
    for _ in range(6):
        if cell < 2:
            break
        size = (math.ceil(height / cell) + 3, math.ceil(width / cell) + 3)
        grid = Image.fromarray(rng.random(size, np.float32))
        left, top = rng.uniform(1, 2, 2)
        box = (left, top, left + width / cell, top + height / cell)
        total += weight * np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC, box))
        cell, weight = cell / 2, weight * persistence
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def veil(scene: Light, airlight: Light | float, cover: Light) -> Light:
    """Light J of a scene seen through a cloud that covers 1 - t of it: I = J t + A (1 - t); any shapes that
    broadcast."""
    return scene + cover * (airlight - scene)


def _for(image: Picture, field: Picture) -> Picture:
    """A field (H, W) in the shape that broadcasts with ``image``."""
    return field if image.ndim == 2 else field[..., None]
