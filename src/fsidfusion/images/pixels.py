"""Arithmetic on pixels: luma, chroma, depth and size.

Pixels are (H, W) gray or (H, W, 3) RGB, uint8, uint16 or floating 0..1; luma is Y of full-range BT.601, 0..1.
Callers go through a picture strip by strip, so that a huge one needs little more memory than itself.
"""

import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError

Pixels = NDArray[Any]  # (H, W) or (H, W, 3); uint8, uint16, or floating 0..1
PixelsLike = Any  # what as_pixels takes: an array, a torch tensor, a PIL image
Luma = NDArray[np.float32]  # (H, W), nominally 0..1

_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601
_STRIP_PIXELS = 1 << 20
_DARK = np.float32(0.15)  # luma below which faint chroma is doubted, as far as the pixel is lifted
_CHROMA_NOISE = np.float32(0.06)  # of black pixels


def strips(height: int, width: int) -> Iterator[slice]:
    """Slices of rows that cover an image, about a million pixels each."""
    step = max(1, _STRIP_PIXELS // max(1, width))
    return (slice(start, min(start + step, height)) for start in range(0, height, step))


def unit(pixels: Pixels) -> NDArray[np.float32]:
    """Pixels of any depth as float32 in 0..1; the shape is kept."""
    scale = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    return np.divide(pixels, np.float32(scale), dtype=np.float32)


def luma(pixels: Pixels) -> Luma:
    """Y = 0.299 R + 0.587 G + 0.114 B in 0..1, unrounded: (H, W[, 3]) of any depth -> (H, W) float32."""
    values = unit(pixels)
    return values if values.ndim == 2 else np.minimum(values @ _WEIGHTS, np.float32(1.0))


def recolour(level: Luma, rgb: Pixels) -> NDArray[np.float32]:
    """Give a fused luma the chroma of an RGB picture.

    Carrying Cb and Cr over to a new luma Y' is R' = Y' + (R - Y), and so for G and B. Where that leaves 0..1,
    the chroma of the pixel is scaled down just as far as it fits: Y' stays exact and the hue is kept, where
    clipping would change both. The faint chroma of nearly black pixels is noise of the sensor and of JPEG:
    where the new luma lifts them, it is left behind (a Wiener-like coring), not shown as blotches.

    Args:
        level: (H, W) fused luma in 0..1.
        rgb: (H, W, 3), any depth.

    Returns:
        (H, W, 3) float32 in 0..1 whose luma is ``level``.
    """
    planes = [
        unit(plane) for plane in cv2.split(rgb)
    ]  # contiguous planes: several times faster than (H, W, 3)
    source = sum(plane * weight for plane, weight in zip(planes, _WEIGHTS))
    for plane in planes:
        plane -= source
    tiny = np.float32(1e-6)  # gray pixels have no chroma to scale
    highest, lowest = (each(each(planes[0], planes[1]), planes[2]) for each in (np.maximum, np.minimum))
    fits = np.minimum((1.0 - level) / np.maximum(highest, tiny), level / np.maximum(-lowest, tiny))
    np.minimum(fits, np.float32(1.0), out=fits)
    doubt = np.minimum(level, _DARK)
    doubt -= source
    np.maximum(doubt, np.float32(0.0), out=doubt)
    if doubt.any():
        doubt *= _CHROMA_NOISE / _DARK
        doubt *= doubt
        strength = np.maximum(highest, -lowest)
        strength *= strength
        doubt += strength + tiny * tiny
        strength /= doubt
        fits *= strength
    for plane in planes:
        plane *= fits
        plane += level
    return np.asarray(cv2.merge(planes), np.float32)


def quantise(values: NDArray[np.float32], dtype: np.dtype[Any]) -> Pixels:
    """0..1, clipped, to the full range of ``dtype``, rounded to nearest (floating types stay 0..1)."""
    values = np.clip(values, 0.0, 1.0)
    if dtype.kind == "f":
        return values.astype(dtype, copy=False)
    return (values * np.float32(np.iinfo(dtype).max) + np.float32(0.5)).astype(dtype)


def is_gray(pixels: Pixels) -> bool:
    """Whether pixels are (H, W), or RGB with three equal channels."""
    return pixels.ndim == 2 or all(
        bool((strip[..., :2] == strip[..., 2:]).all())
        for strip in map(pixels.__getitem__, strips(*pixels.shape[:2]))
    )


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Resample to (height, width), by area where it shrinks and cubics where it grows; the depth is kept."""
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    result = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.clip(result, 0.0, 1.0) if result.dtype.kind == "f" else result


def sample_range(pixels: Pixels) -> tuple[float, float]:
    """The 0.05 and 99.95 percentiles of all samples, in units of the samples."""
    step = max(
        1, math.isqrt(pixels.shape[0] * pixels.shape[1] // _STRIP_PIXELS)
    )  # a million pixels are enough
    low, high = np.percentile(pixels[::step, ::step], (0.05, 99.95))
    return float(low), float(high)


def as_pixels(image: PixelsLike, name: str) -> Pixels:
    """An array, a torch tensor or a PIL image as pixels that every step of the package can work on.

    Byte order and strides are made plain here, once: OpenCV ignores the one, and other libraries the other.

    Args:
        image: (H, W) or (H, W, 3); of a tensor also (1, H, W) and (3, H, W); PIL images of modes L, RGB and
            their kin, whose transparency is left out.
        name: of the parameter, for messages.

    Returns:
        a C-contiguous array in the machine's byte order.

    Raises:
        InputError: something else, or as :func:`check_pixels`.
    """
    kind = type(image).__module__.partition(".")[0]
    if kind == "PIL":
        mode = image.mode
        gray = mode in ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "F")
        image = np.asarray(
            image
            if mode in ("L", "RGB", "F") or mode.startswith("I;16")
            else image.convert("L" if gray else "RGB")
        )
    elif kind == "torch":
        image = image.detach().cpu()
        if str(image.dtype) == "torch.bfloat16":
            image = image.float()
        image = image.numpy()
        if image.ndim == 3 and image.shape[0] in (1, 3) and image.shape[2] != 3:
            image = image[0] if image.shape[0] == 1 else np.moveaxis(image, 0, 2)
    elif not isinstance(image, np.ndarray):
        raise InputError(
            f"{name} is of type {type(image).__name__}, expected an array, a torch tensor or a PIL image:"
            " (H, W) gray or (H, W, 3) RGB"
        )
    if isinstance(image, np.ma.MaskedArray):
        raise InputError(f"{name} is a masked array; fill its masked pixels first")
    if image.dtype.kind in "uf":
        image = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    check_pixels(image, name)
    return image


def check_pixels(pixels: Pixels, name: str) -> None:
    """Check that an array can be fused.

    Raises:
        InputError: a shape that is not (H, W) or (H, W, 3), no pixels, a type that is not uint8, uint16 or
            floating, or floating values that are NaN or outside 0..1.
    """
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise InputError(f"{name} has the shape {pixels.shape}, expected (H, W) gray or (H, W, 3) RGB")
    if pixels.size == 0:
        raise InputError(f"{name} has the shape {pixels.shape}, which holds no pixel; expected at least 1x1")
    if pixels.dtype.kind != "f" and pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{name} has the type {pixels.dtype}, expected uint8, uint16, or floats in 0..1; convert it"
        )
    if pixels.dtype.kind == "f":
        low, high = float(pixels.min()), float(pixels.max())  # NaN propagates through both
        if np.isnan(low):
            raise InputError(f"{name} holds NaN; replace these pixels by values in 0..1")
        if low < 0.0 or high > 1.0:
            raise InputError(
                f"{name} holds floats in {low:g}..{high:g}, expected 0..1; scale them or give uint8/uint16"
            )
