"""Arithmetic on boxes: overlap, suppression, and what a detector learns on its grid of cells.

Boxes are corners (N, 4) x0, y0, x1, y1 in pixels, x1 and y1 exclusive. A cell of stride S at row i, column j
has its centre at ((j + 0.5) S, (i + 0.5) S).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsidfusion.evaluation.boxes import Boxes

SPREAD = 0.54  # of a box that its bell covers, along each side (TTFNet)
LONGEST = 8.0  # log of the longest distance in strides, so that no exponential overflows


def generalised_overlap(ours: Tensor, theirs: Tensor) -> Tensor:
    """GIoU of boxes pair by pair: (..., 4), (..., 4) -> (...) in -1..1.

    Rezatofighi et al., "Generalized intersection over union", 2019.
    """
    shared = _area(
        torch.maximum(ours[..., :2], theirs[..., :2]), torch.minimum(ours[..., 2:], theirs[..., 2:])
    )
    hull = _area(torch.minimum(ours[..., :2], theirs[..., :2]), torch.maximum(ours[..., 2:], theirs[..., 2:]))
    union = _area(ours[..., :2], ours[..., 2:]) + _area(theirs[..., :2], theirs[..., 2:]) - shared
    return shared / union.clamp_min(1e-6) - (hull - union) / hull.clamp_min(1e-6)


def encode(corners: Tensor, stride: int) -> Tensor:
    """Boxes as a cell predicts them: log distances, in strides, from its centre to the four sides.

    Args:
        corners: (..., 4, H, W), for each cell a box that holds the cell's centre.
        stride: pixels of a cell's side.
    """
    x, y = _centres(corners, stride)
    left, top, right, bottom = corners.unbind(-3)
    return torch.stack((x - left, y - top, right - x, bottom - y), -3).div(stride).log()


def decode(coded: Tensor, stride: int) -> Tensor:
    """The inverse of :func:`encode`: (..., 4, H, W) predictions to corners of the same shape."""
    x, y = _centres(coded, stride)
    left, top, right, bottom = coded.clamp(-LONGEST, LONGEST).exp().mul(stride).unbind(-3)
    return torch.stack((x - left, y - top, x + right, y + bottom), -3)


@dataclass(frozen=True)
class Targets:
    """What the cells of a frame, or of a batch of them, should say."""

    heat: NDArray[np.float32]  # (classes, H, W): 1 at the cell of a box's centre, a bell around it
    corners: NDArray[np.float32]  # (4, H, W): the box that a cell belongs to
    weights: NDArray[np.float32]  # (H, W): how much its box counts; 0 where there is none


def draw_targets(boxes: Boxes, classes: int, height: int, width: int, stride: int) -> Targets:
    """Targets of one frame of ``height`` x ``width`` cells.

    Liu et al., "Training-time-friendly network for real-time object detection", 2020: bells as wide and as
    high as the box; every cell under a bell learns the box, weighted by the bell and by the log of the box's
    area. Smaller boxes lie above larger ones.
    """
    targets = Targets(
        np.zeros((classes, height, width), np.float32),
        np.zeros((4, height, width), np.float32),
        np.zeros((height, width), np.float32),
    )
    sides = (boxes.corners[:, 2:] - boxes.corners[:, :2]) / stride
    centres = (boxes.corners[:, 2:] + boxes.corners[:, :2]) / (2 * stride)
    for place in np.argsort(-sides.prod(1), kind="stable"):
        column, row = np.minimum(centres[place].astype(int), (width - 1, height - 1))
        reach = (sides[place] / 2 * SPREAD).astype(int)
        columns = slice(max(0, column - reach[0]), min(width, column + reach[0] + 1))
        rows = slice(max(0, row - reach[1]), min(height, row + reach[1] + 1))
        across, down = (
            np.exp(-0.5 * ((np.arange(span.start, span.stop) - centre) * 6 / (2 * half + 1)) ** 2)
            for span, centre, half in ((columns, column, reach[0]), (rows, row, reach[1]))
        )
        bell = np.outer(down, across).astype(np.float32)
        heat = targets.heat[boxes.classes[place], rows, columns]
        np.maximum(heat, bell, out=heat)
        targets.corners[:, rows, columns] = boxes.corners[place][:, None, None]
        size = np.log1p(sides[place].prod())
        targets.weights[rows, columns] = bell / bell.sum() * size
    return targets


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp_min(0).prod(-1)


def _centres(grid: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """x (W,) and y (H, 1) of the centres of the cells of a (..., H, W) grid."""
    height, width = grid.shape[-2:]
    x = (torch.arange(width, device=grid.device) + 0.5) * stride
    y = (torch.arange(height, device=grid.device) + 0.5) * stride
    return x, y[:, None]
