"""Frames on canvases of one size, and the chances that training takes with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.evaluation.boxes import Boxes
from fsidfusion.studies.downstream.inputs import Frame

SEEN = 0.35  # of a box that has to stay in the canvas for it to be learnt
SMALLEST = 2.0  # pixels of a side of a box on the canvas


@dataclass(frozen=True)
class Canvas:
    """A frame scaled to fit a canvas, at its top left; below and right of it lies the mean colour."""

    pixels: Frame  # (H, W, C) of the canvas
    scale: float  # canvas pixels of a frame's pixel
    boxes: Boxes  # true ones, on the canvas


def fit(frame: Frame, boxes: Boxes, size: tuple[int, int]) -> Canvas:
    """Scale a frame and its boxes to a canvas of (height, width)."""
    height, width = frame.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels = np.empty((*size, frame.shape[2]), np.uint8)
    pixels[:] = frame.mean((0, 1)).astype(np.uint8)
    pixels[: shape[1], : shape[0]] = cv2.resize(frame, shape, interpolation=method).reshape(*shape[::-1], -1)
    return Canvas(pixels, scale, Boxes(boxes.corners * np.float32(scale), boxes.classes, boxes.scores))


@dataclass(frozen=True)
class Chances:
    """How far a training frame is changed, each time anew; the same draws for every input."""

    flip: float = 0.5
    """share that is mirrored"""
    zoom: tuple[float, float] = (0.8, 1.7)
    """factor of the size"""
    stretch: float = 1.15
    """greatest ratio of the two sides' factors"""
    gain: float = 0.3
    """natural logarithm of the greatest factor of contrast"""
    offset: float = 0.12
    """greatest change of brightness, of the full range"""


def disturb(canvas: Canvas, chances: Chances, rng: np.random.Generator) -> Canvas:
    """Mirror, zoom, shift, brighten and darken; boxes go along, and those that mostly leave are dropped."""
    height, width = canvas.pixels.shape[:2]
    zoom = np.exp(rng.uniform(*np.log(chances.zoom)))
    stretch = np.exp(rng.uniform(-0.5, 0.5) * np.log(chances.stretch))
    across, down = zoom * stretch, zoom / stretch
    x, y = (rng.uniform(min(0, room), max(0, room)) for room in (width * (1 - across), height * (1 - down)))
    if rng.random() < chances.flip:
        across, x = -across, x + width * across
    turn = np.array([[across, 0, x], [0, down, y]])
    mean = cv2.mean(canvas.pixels)[: canvas.pixels.shape[2]]
    middle = sum(mean) / len(mean)
    gain, offset = np.exp(rng.uniform(-1, 1) * chances.gain), rng.uniform(-1, 1) * chances.offset * 255
    levels = (np.arange(256) - middle) * gain + middle + offset
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    # pixel centres lie at half coordinates, which OpenCV counts as whole ones
    shifted = turn.copy()
    shifted[:, 2] += 0.5 * (turn[:, 0] + turn[:, 1]) - 0.5
    warped = cv2.warpAffine(canvas.pixels, shifted, (width, height), borderValue=mean)
    return Canvas(
        np.asarray(cv2.LUT(warped, table), np.uint8), canvas.scale, _moved(canvas.boxes, turn, height, width)
    )


def stack(canvases: Sequence[Canvas]) -> NDArray[np.uint8]:
    """(B, C, H, W)."""
    return np.ascontiguousarray(np.stack([canvas.pixels for canvas in canvases]).transpose(0, 3, 1, 2))


def _moved(boxes: Boxes, turn: NDArray[np.float64], height: int, width: int) -> Boxes:
    x = np.sort(boxes.corners[:, ::2] * turn[0, 0] + turn[0, 2], axis=1)
    y = np.sort(boxes.corners[:, 1::2] * turn[1, 1] + turn[1, 2], axis=1)
    whole = (x[:, 1] - x[:, 0]) * (y[:, 1] - y[:, 0])
    x, y = np.clip(x, 0, width), np.clip(y, 0, height)
    sides = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0]
    kept = (sides[0] * sides[1] > SEEN * whole) & (np.minimum(*sides) > SMALLEST)
    corners = np.stack((x[:, 0], y[:, 0], x[:, 1], y[:, 1]), 1).astype(np.float32)
    return Boxes(corners, boxes.classes, boxes.scores)[kept]
