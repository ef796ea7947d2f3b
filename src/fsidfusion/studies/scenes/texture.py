"""Noise that roughens surfaces, and stripes without jagged edges."""

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]  # float32 where nothing else is said

TILE = 512  # side of a noise tile, pixels; tiles repeat without a seam


@cache
def noise_tile(roughness: float, seed: int = 0) -> Array:
    """Periodic noise (512, 512), mean 0, deviation 1, amplitude falling as frequency**-roughness."""
    white = np.random.default_rng(seed).standard_normal((TILE, TILE))
    fy, fx = np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = np.inf
    tile = np.fft.irfft2(np.fft.rfft2(white) * frequency**-roughness, s=(TILE, TILE))
    return (tile / tile.std()).astype(np.float32)


def wrap(x: Array, period: float) -> Array:
    """x modulo a positive period; much faster than `np.mod`."""
    return x - period * np.floor(x * (1 / period))


def rgb(red: float, green: float, blue: float) -> Array:
    """A colour as (3, 1, 1), to be multiplied with maps (h, w)."""
    return np.array([red, green, blue], np.float32)[:, None, None]


def sample_noise(tile: Array, x: Array, y: Array) -> Array:
    """Read a tile at float positions x, y (h, w) in tile pixels, wrapped, linear between pixels."""
    x, y = (np.ascontiguousarray(a, np.float32) for a in np.broadcast_arrays(wrap(x, TILE), wrap(y, TILE)))
    return cv2.remap(tile, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def noise_patch(rng: np.random.Generator, roughness: float, shape: tuple[int, ...], grain: float) -> Array:
    """A random piece (h, w) of the noise tile, one tile pixel being `grain` patch pixels wide."""
    x0, y0 = rng.uniform(0, TILE, 2)
    xs = (np.arange(shape[1], dtype=np.float32) / grain + np.float32(x0))[None]
    ys = (np.arange(shape[0], dtype=np.float32) / grain + np.float32(y0))[:, None]
    return sample_noise(noise_tile(roughness), xs, ys)


def smoothstep(x: Array) -> Array:
    """0 below 0, 1 above 1, and the cubic with flat ends between."""
    x = np.minimum(np.maximum(x, 0), 1)
    return x * x * (3 - 2 * x)


def band(x: Array, low: ArrayLike, high: ArrayLike, footprint: ArrayLike) -> Array:
    """How much of a pixel `footprint` wide around x lies in low..high: an anti-aliased stripe, 0..1."""
    inverse = 1 / np.asarray(footprint, np.float32)
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    covered = np.minimum(x * inverse + 0.5, high * inverse) - np.maximum(x * inverse - 0.5, low * inverse)
    return np.minimum(np.maximum(covered, 0), 1)
