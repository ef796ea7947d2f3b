"""How infrared fields of a fifth to a third of the visible frame are placed: found, refused, or wrong.

The infrared picture is cut from one that fills the frame, at random places, turned and scaled a little; the
truth is the cut. Published pairs are off by some pixels themselves, so there what is estimated from the whole
pair is a second truth, and the nearer one counts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fsidfusion.alignment.estimate import estimate
from fsidfusion.alignment.models import Matrix, transform_points
from fsidfusion.alignment.sampling import pixel_grid
from fsidfusion.alignment.transform import Alignment
from fsidfusion.errors import FusionError, InputError
from fsidfusion.images.files import read_picture
from fsidfusion.images.pairs import match_pairs
from fsidfusion.images.pixels import Pixels
from fsidfusion.studies.scenes import render_scene

SHARES = (5, 4, 3)  # the frame is so many times as wide
WITHIN = 2.0  # visible pixels: a median error up to there counts as found
_VISIBLE_FOV = 70.0  # degrees
_TURN, _SCALE = 1.5, 0.02  # standard deviations: degrees, and of the logarithm of the scale
_RIM = 8  # pixels of the frame that no field begins in
_GRID = 12  # points a side, over which errors are taken


@dataclass(frozen=True)
class Placed:
    """What became of one field."""

    name: str
    share: int  # the frame is so many times as wide
    error: float | None  # visible pixels, the median over the field; None: refused
    refused: str = ""  # why


def measure_pairs(
    infrared: Path, visible: Path, number: int, seed: int, progress: Callable[[object], None]
) -> list[Placed]:
    """Fields cut from ``number`` pairs of two folders, in random order. InputError where there are none."""
    pairs = match_pairs([infrared], [visible]).pairs
    order = np.random.default_rng(seed).permutation(len(pairs))
    chosen = [pairs[index] for index in order[:number]]
    read = ((p.name, read_picture(p.infrared).pixels, read_picture(p.visible).pixels) for p in chosen)
    return [
        _placed(name, ours, theirs, SHARES[index % 3], seed + index, True, progress)
        for index, (name, ours, theirs) in enumerate(read)
    ]


def measure_scenes(number: int, seed: int, progress: Callable[[object], None]) -> list[Placed]:
    """Likewise from rendered scenes, whose truth is exact."""
    placed = []
    for index in range(number):
        scene = render_scene(1000 * seed + index, (480, 640))
        share = SHARES[index % 3]
        name = f"scene {index}"
        placed.append(_placed(name, scene.infrared, scene.visible, share, seed + index, False, progress))
    return placed


def to_markdown(tables: dict[str, Sequence[Placed]]) -> str:
    """A table of what became of the fields, and a line for each that was accepted further off."""
    lines = [
        "| fields | placed | within 2 pixels | 2 to 8 pixels | over 8 pixels | median | refused |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, rows in tables.items():
        errors = np.array([row.error for row in rows if row.error is not None])
        cells = (
            f"{len(errors)} of {len(rows)}",
            int((errors <= WITHIN).sum()),
            int(((errors > WITHIN) & (errors <= 8)).sum()),
            int((errors > 8).sum()),
            f"{np.median(errors):.1f}" if errors.size else "",
            len(rows) - len(errors),
        )
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    far = [
        f"{row.name} (1/{row.share}) {row.error:.1f}"
        for rows in tables.values()
        for row in rows
        if row.error is not None and row.error > WITHIN
    ]
    return "\n".join((*lines, "", *([f"Further off: {', '.join(far)} pixels.", ""] if far else [])))


def _placed(
    name: str,
    infrared: Pixels,
    visible: Pixels,
    share: int,
    seed: int,
    is_nominal: bool,
    progress: Callable[[object], None],
) -> Placed:
    random = np.random.default_rng(seed)
    height, width = infrared.shape[:2]
    size = round(width / share * 0.75), round(width / share)
    if min(height, width) < max(size) // 2 + 2 * _RIM or height <= size[0] + 2 * _RIM:
        raise InputError(f"{name} has {width}x{height} pixels, too few for a field of 1/{share}")
    corner = random.uniform(_RIM, (width - size[1] - _RIM, height - size[0] - _RIM))
    matrix = _cut(corner, size, random.normal(0, _TURN), math.exp(random.normal(0, _SCALE)))
    part = cv2.warpAffine(
        infrared, matrix[:2], size[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    narrow = math.degrees(2 * math.atan(math.tan(math.radians(_VISIBLE_FOV / 2)) / share))
    try:
        found = estimate([(np.asarray(part), visible)], infrared_fov=narrow, visible_fov=_VISIBLE_FOV)
    except FusionError as refusal:
        progress(name)
        return Placed(name, share, None, str(refusal))
    error = _error(found, matrix, size, None)
    if is_nominal:
        try:
            own = estimate([(infrared, visible)], field=True)
        except FusionError:
            own = None
        error = min(error, _error(found, matrix, size, own))
    progress(name)
    return Placed(name, share, error)


def _cut(corner: np.ndarray, size: tuple[int, int], degrees: float, scale: float) -> Matrix:
    """Visible pixels to those of a field (h, w) that lies at a corner (x, y), turned and scaled."""
    cos, sin = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    middle = np.array((size[1] - 1, size[0] - 1)) / 2
    turn = np.array([[cos, -sin], [sin, cos]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turn, middle - turn @ (corner + middle)
    return matrix


def _error(found: Alignment, matrix: Matrix, size: tuple[int, int], own: Alignment | None) -> float:
    """The median distance over the field, in visible pixels, from the cut, after the pair's own alignment."""
    cells = pixel_grid((_GRID, _GRID)).reshape(-1, 2) / (_GRID - 1) * (size[1] - 1, size[0] - 1)
    seen = transform_points(np.asarray(np.linalg.inv(matrix), np.float64), cells)
    whole = seen if own is None else own.place(seen.astype(np.float32)[None])[0]
    there = found.place(seen.astype(np.float32)[None])[0]
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:2, :2]))))
    return float(np.median(np.linalg.norm(there - transform_points(matrix, whole), axis=1))) / scale
