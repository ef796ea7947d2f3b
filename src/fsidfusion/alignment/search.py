"""Matching of edge directions: a wide search first, then patches that move together.

Throughout, a map takes pixels of the visible frame to pixels of the infrared one, so that the infrared
picture is sampled where the visible one needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.alignment.features import Features, Mask, edge_directions, grown, picture_mask
from fsidfusion.alignment.models import Matrix, Model, fit_model, transform_points
from fsidfusion.alignment.sampling import sample, sample_field, shrink
from fsidfusion.images.pixels import Pixels, luma
from fsidfusion.thermal.gain import apply_gain, is_raw, parse_gain

FIELD_CELLS = 20  # of the residual field along the longer side
_GAIN = parse_gain("linear")  # for raw counts, which fill a part of their range only
COARSE_SIDE = 160  # longer side, in pixels, of the pictures in the wide search
_SAME_PLACE = 0.03  # of the longer side: shifts up to there are the same place
_MIN_OVERLAP = 0.35  # of the smaller picture, in the wide search
_COUPLING = (
    0.002,
    0.005,
    0.01,
    0.03,
    0.1,
    0.3,
)  # score a squared pixel, rising: patches move ever more together
_CELL = 8  # pixels between patches
_PATCH = 8.0  # pixels: their Gaussian radius


@dataclass(frozen=True)
class Shot:
    """One pair, as luma with masks; raw counts are stretched."""

    infrared: NDArray[np.float32]  # (h, w)
    visible: NDArray[np.float32]  # (H, W)
    infrared_mask: Mask
    visible_mask: Mask

    @classmethod
    def of(cls, infrared: Pixels, visible: Pixels) -> "Shot":
        """From pixels of any depth."""
        shown = (apply_gain(pixels, _GAIN) if is_raw(pixels) else pixels for pixels in (infrared, visible))
        ours, theirs = map(luma, shown)
        return cls(ours, theirs, picture_mask(infrared), picture_mask(visible))


class View:
    """The visible frame of a pair at one size: its features, and those of the infrared under a map."""

    def __init__(self, shot: Shot, side: int) -> None:
        """``side`` is the longer one in pixels; the frame is never enlarged."""
        self.shot = shot
        height, width = shot.visible.shape
        self.scale = max(1.0, max(height, width) / side)  # full pixels in one of this view
        self.size = (max(1, round(height / self.scale)), max(1, round(width / self.scale)))
        self.mask = grown(shrink(shot.visible_mask, self.size), 2)
        self.features = edge_directions(shrink(shot.visible, self.size), self.mask)

    @cached_property
    def grid(self) -> NDArray[np.float32]:
        """(H, W, 2): the full visible pixel at the centre of each pixel of this view."""
        height, width = self.size
        rows, columns = self.shot.visible.shape[0] / height, self.shot.visible.shape[1] / width
        x, y = (np.arange(width) + 0.5) * columns - 0.5, (np.arange(height) + 0.5) * rows - 0.5
        return np.stack(np.meshgrid(x, y), -1).astype(np.float32)

    def infrared(self, matrix: Matrix, field: NDArray[Any] | None = None) -> tuple[Features, Mask]:
        """Features and mask of the infrared picture in this view."""
        image, covered = self.warped(matrix, field)
        mask = grown(covered, 3)
        return edge_directions(image, mask), mask

    def warped(self, matrix: Matrix, field: NDArray[Any] | None = None) -> tuple[NDArray[np.float32], Mask]:
        """The infrared luma in this view, and where there is any."""
        points = (
            self.grid
            if field is None
            else self.grid + sample_field(field, self.grid, self.shot.visible.shape)
        )
        image, mask = self.shot.infrared, self.shot.infrared_mask
        step = self.scale * float(
            np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
        )  # infrared pixels in one of the view
        places = transform_points(matrix, points)
        if step > 1.5:  # against aliasing
            height, width = image.shape
            size = max(1, round(height / step)), max(1, round(width / step))
            image, mask = shrink(image, size), shrink(mask, size)
            places = (places + 0.5) * np.array((size[1] / width, size[0] / height)) - 0.5
        places = np.asarray(places, np.float32)
        covered = sample(mask, places, outside=0.0) > 0.99
        return sample(image, places), covered.astype(np.float32)


def wide_search(
    shots: Sequence[Shot],
    start: Matrix,
    angles: Sequence[float],
    scales: Sequence[float],
    reach: tuple[float, float],
    side: int = COARSE_SIDE,
    most: int = 4,
    peaks: int = 1,
) -> list[Matrix]:
    """The best rotations, scales and shifts around ``start``, each shift found by Fourier correlation.

    Args:
        shots: pairs of one rig, whose correlations are added.
        start: visible to infrared pixels.
        angles: in degrees.
        scales: of the infrared picture, as factors on that of ``start``.
        reach: longest shift down and across, as shares of the visible frame.
        side: longer side of the visible frame, in pixels, at which it is searched.
        most: so many are returned.
        peaks: places of each rotation and scale.

    Returns:
        different matrices, visible to infrared pixels, best first.
    """
    views = [View(shot, side) for shot in shots]
    padded, (down, across), window = _shifts(views[0], start, reach)
    same = max(3, round(_SAME_PLACE * side))
    fixed = [_Spectrum(view.features, view.mask, padded) for view in views]
    found: list[tuple[float, Matrix]] = []
    for angle in angles:
        for scale in scales:
            matrix = start @ _turn(shots[0].visible.shape, angle, scale)
            total = np.zeros((2 * down + 1, 2 * across + 1))
            for view, spectrum in zip(views, fixed):
                total += spectrum.correlate(_Spectrum(*view.infrared(matrix), padded))[window]
            for _ in range(peaks):
                row, column = np.unravel_index(int(total.argmax()), total.shape)
                shift = np.eye(3)
                shift[:2, 2] = (column - across) * views[0].scale, (row - down) * views[0].scale
                found.append((float(total[row, column]), matrix @ shift))
                total[max(0, row - same) : row + same + 1, max(0, column - same) : column + same + 1] = -1
    found.sort(key=lambda item: -item[0])
    return _different([matrix for _, matrix in found], shots[0].visible.shape, most)


def next_best(shots: Sequence[Shot], matrix: Matrix, reach: tuple[float, float], side: int) -> float:
    """The best score of a map that is shifted away from its place, less its score there: below 0 where it
    stands out.

    Args:
        shots: pairs of one rig, whose scores are averaged.
        matrix: visible to infrared pixels.
        reach: longest shift down and across, as shares of the visible frame.
        side: longer side of the visible frame, in pixels, at which it is compared.
    """
    views = [View(shot, side) for shot in shots]
    padded, (down, across), window = _shifts(views[0], matrix, reach)
    total = np.zeros((2 * down + 1, 2 * across + 1))
    for view in views:
        spectrum = _Spectrum(view.features, view.mask, padded)
        total += spectrum.correlate(_Spectrum(*view.infrared(matrix), padded))[window]
    y, x = np.mgrid[-down : down + 1, -across : across + 1]
    near = max(3.0, _SAME_PLACE * max(views[0].size))
    here = np.hypot(y, x) <= near
    return float(total[~here].max() - total[here].max()) / len(views)


def _shifts(view: View, start: Matrix, reach: tuple[float, float]) -> tuple[list[int], tuple[int, int], Any]:
    """Padded sides of a transform, the longest shifts, and the window of all of them in a correlation.

    Padding keeps what is shifted out of the frame at one side from coming in at the other.
    """
    down, across = (int(share * side) for share, side in zip(reach, view.size))
    _, mask = view.infrared(start)
    padded = []
    for axis, (side, shift) in enumerate(zip(view.size, (down, across))):
        filled = np.flatnonzero(mask.any(1 - axis))
        first, last = (int(filled[0]), int(filled[-1])) if filled.size else (0, side - 1)
        slack = side // 8  # for the rotations and scales around the start
        room = max(0, shift + slack - first, last + shift + slack - side)
        padded.append(cv2.getOptimalDFTSize(min(2 * side, side + room)))
    window = np.ix_(np.arange(-down, down + 1), np.arange(-across, across + 1))
    return padded, (down, across), window


class _Spectrum:
    """The Fourier transforms that a masked normalised correlation needs (Padfield 2012)."""

    def __init__(self, features: Features, mask: Mask, size: Sequence[int]) -> None:
        self.area = float(mask.sum())
        planes = (*features, (features**2).sum(0), mask)
        self.features, (self.power,), (self.mask,) = np.split(
            np.fft.rfft2(np.stack(planes), tuple(size)), (len(features), len(features) + 1)
        )
        self.size = tuple(size)

    def correlate(self, moving: "_Spectrum") -> NDArray[np.float64]:
        """The score of each shift d: this at x against ``moving`` at x + d."""
        products = np.stack(
            (
                (self.features.conj() * moving.features).sum(0),
                self.power.conj() * moving.mask,
                self.mask.conj() * moving.power,
                self.mask.conj() * moving.mask,
            )
        )
        match, ours, theirs, overlap = np.fft.irfft2(products, self.size)
        enough = overlap > _MIN_OVERLAP * min(self.area, moving.area) + 1
        scale = np.sqrt(np.maximum(ours * theirs, 0.0)) + 1e-3 * overlap.max() + 1e-6
        return np.asarray(np.where(enough, match / scale, -1.0))


def refine(shots: Sequence[Shot], matrix: Matrix, model: Model, sides: Sequence[int], radius: int) -> Matrix:
    """Improve a matrix by patches that are matched in a small window and held together by the model.

    The matching and the fit take turns, with a rising price on patches that leave the model (Steinbruecker et
    al. 2009; Siebert, Hansen and Heinrich 2021), so that patches without edges, or along one edge only, go
    with the others.

    Args:
        shots: pairs of one rig, whose scores are added.
        matrix: visible to infrared pixels.
        model: family of the correction.
        sides: longer sides of the pictures, from coarse to fine.
        radius: of the window, in pixels of each size.
    """
    for side in sides:
        views = [View(shot, side) for shot in shots]
        scores = _patch_scores(views, matrix, None, radius)
        places = _patch_places(views[0], scores)
        points = places.reshape(-1, 2).astype(np.float64)
        moves = np.zeros_like(points)
        for price in _COUPLING:
            best, weights = _best_moves(scores, moves.reshape(*places.shape) / views[0].scale, price)
            if np.count_nonzero(weights) < 8:
                break
            update = fit_model(
                points, points + best.reshape(-1, 2) * views[0].scale, model, weights.reshape(-1)
            )
            moves = transform_points(update, points) - points
        else:
            matrix = matrix @ update
    return matrix / matrix[2, 2]


def refine_field(
    shots: Sequence[Shot], matrix: Matrix, sides: Sequence[int], radius: int, stiffness: float
) -> NDArray[np.float32]:
    """A smooth field of displacements (h, w, 2), in visible pixels, to apply before ``matrix``.

    As :func:`refine`, with smoothing by a Gaussian of ``stiffness`` cells in the place of the model.
    """
    height, width = shots[0].visible.shape
    cell = max(height, width) / FIELD_CELLS
    field = np.zeros((max(2, round(height / cell)), max(2, round(width / cell)), 2), np.float32)
    for side in sides:
        views = [View(shot, side) for shot in shots]
        scores = _patch_scores(views, matrix, field, radius)
        places = _patch_places(views[0], scores)
        known = sample_field(field, places, (height, width)) / views[0].scale
        sigma = stiffness * cell / (_CELL * views[0].scale)
        moves = np.zeros(places.shape, np.float32)
        for price in _COUPLING:
            best, weights = _best_moves(scores, moves, price)
            moves = _smooth(best + known, weights, sigma) - known
        total = moves + known
        field = cv2.resize(total * views[0].scale, field.shape[1::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(field, np.float32)


def _patch_scores(
    views: Sequence[View], matrix: Matrix, field: NDArray[Any] | None, radius: int
) -> NDArray[np.float32]:
    """(rows, columns, 2 r + 1, 2 r + 1): how well each patch matches at each move, over all views."""
    height, width = views[0].size
    rows, columns = max(1, height // _CELL), max(1, width // _CELL)
    total = np.zeros((rows, columns, 2 * radius + 1, 2 * radius + 1), np.float32)
    rim = ((0, 0), (radius, radius), (radius, radius))
    for view in views:
        features, mask = view.infrared(matrix, field)
        padded, covered = np.pad(features, rim), np.pad(mask, rim[1:])
        power = (padded**2).sum(0)
        own = (view.features**2).sum(0)
        typical = float(own.mean() + power.mean()) / 2 + 1e-6
        for down in range(2 * radius + 1):
            for across in range(2 * radius + 1):
                window = slice(down, down + height), slice(across, across + width)
                planes = cv2.merge(
                    (
                        np.einsum("chw,chw->hw", view.features, padded[:, window[0], window[1]]),
                        own * covered[window],
                        power[window] * view.mask,
                    )
                )
                match, ours, theirs = cv2.split(_patches(planes, columns, rows))
                total[:, :, down, across] += match / (np.sqrt(ours * theirs) + 0.3 * typical)
    return np.asarray(total / len(views), np.float32)


def _patches(planes: NDArray[Any], columns: int, rows: int) -> NDArray[Any]:
    small = cv2.resize(planes, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), _PATCH / _CELL))


def _patch_places(view: View, scores: NDArray[Any]) -> NDArray[np.float32]:
    """(rows, columns, 2): the full visible pixel at the centre of each patch."""
    height, width = view.shot.visible.shape
    rows, columns = scores.shape[:2]
    x, y = (np.arange(columns) + 0.5) * width / columns - 0.5, (np.arange(rows) + 0.5) * height / rows - 0.5
    return np.stack(np.meshgrid(x, y), -1).astype(np.float32)


def _best_moves(
    scores: NDArray[np.float32], moves: NDArray[Any], price: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The move of each patch that scores best less ``price`` times its squared distance from ``moves``.

    Returns:
        (rows, columns, 2) moves with fractions, and (rows, columns) how much each patch has to say.
    """
    radius = scores.shape[2] // 2
    steps = np.arange(-radius, radius + 1, dtype=np.float32)
    dx = steps[None, None, None, :] - np.float32(moves[..., 0, None, None])
    dy = steps[None, None, :, None] - np.float32(moves[..., 1, None, None])
    value = scores - np.float32(price) * (dx * dx + dy * dy)
    flat = value.reshape(*value.shape[:2], -1)
    row, column = np.unravel_index(flat.argmax(-1), value.shape[2:])
    inner_row, inner_column = (np.clip(each, 1, 2 * radius - 1) for each in (row, column))
    i, j = np.indices(row.shape)
    centre = value[i, j, inner_row, inner_column]

    def fraction(before: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
        bend = 2 * centre - before - after
        return np.clip(np.where(bend > 1e-6, (after - before) / (2 * np.maximum(bend, 1e-6)), 0), -0.5, 0.5)

    x = column + fraction(
        value[i, j, inner_row, inner_column - 1], value[i, j, inner_row, inner_column + 1]
    ) * (column == inner_column)
    y = row + fraction(value[i, j, inner_row - 1, inner_column], value[i, j, inner_row + 1, inner_column]) * (
        row == inner_row
    )
    weights = np.maximum(scores.max((2, 3)) - scores.mean((2, 3)), 0)
    return np.stack((x - radius, y - radius), -1).astype(np.float32), np.asarray(weights**2, np.float32)


def _smooth(moves: NDArray[Any], weights: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    """Weighted Gaussian mean of moves (rows, columns, 2); where nothing weighs, what is around counts."""
    weights = weights + 1e-3 * float(weights.mean()) + 1e-9
    planes = np.dstack((moves * weights[..., None], weights)).astype(np.float32)
    blurred = cv2.GaussianBlur(planes, (0, 0), max(sigma, 0.5), borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred[..., :2] / blurred[..., 2:], np.float32)


def _turn(size: Sequence[int], angle: float, scale: float) -> Matrix:
    """Rotation by degrees and scaling about the centre of a frame (H, W)."""
    centre = (size[1] - 1) / 2, (size[0] - 1) / 2
    return np.vstack((cv2.getRotationMatrix2D(centre, angle, scale), (0.0, 0.0, 1.0)))


def _different(matrices: Sequence[Matrix], size: Sequence[int], most: int) -> list[Matrix]:
    """The first matrices that differ from those before by over 3 % of the frame at some corner."""
    height, width = size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    chosen: list[Matrix] = []
    for matrix in matrices:
        unit = max(height, width) * float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
        moved = transform_points(matrix, corners)
        if all(np.abs(transform_points(other, corners) - moved).max() > 0.03 * unit for other in chosen):
            chosen.append(matrix)
            if len(chosen) == most:
                break
    return chosen


def residual(shots: Sequence[Shot], matrix: Matrix, field: NDArray[Any] | None, side: int) -> float:
    """How far, in visible pixels, patches would still move if each could by itself: the weighted mean."""
    views = [View(shot, side) for shot in shots]
    scores = _patch_scores(views, matrix, field, 4)
    best, weights = _best_moves(scores, np.zeros((*scores.shape[:2], 2)), _COUPLING[2])
    lengths = np.linalg.norm(best, axis=-1) * views[0].scale
    return float(np.average(lengths, weights=weights + 1e-12))
