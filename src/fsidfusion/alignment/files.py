"""What an alignment is estimated from: picture files, EXIF fields of view, and files of matched points."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fsidfusion.alignment.estimate import MAX_PAIRS, Method, estimate, from_points
from fsidfusion.alignment.models import Model, Points
from fsidfusion.alignment.transform import FARTHEST, Alignment
from fsidfusion.errors import InputError
from fsidfusion.images import exif
from fsidfusion.images.budget import MAX_LINES
from fsidfusion.images.files import read_header, read_picture
from fsidfusion.images.pairs import Pair
from fsidfusion.images.text import read_text
from fsidfusion.thermal.reading import read_thermal, read_thermal_header, read_visible
from fsidfusion.thermal.scene import Thermal


def align_files(
    pairs: Sequence[Pair],
    *,
    thermal: Thermal = Thermal(),
    model: Model = "affine",
    field: bool = False,
    method: Method = "edges",
    infrared_fov: float | None = None,
    visible_fov: float | None = None,
    progress: Callable[[Pair], None] = lambda pair: None,
) -> Alignment:
    """Estimate one alignment from files of one rig; see :func:`fsidfusion.alignment.estimate.estimate`.

    Fields of view that are not given are taken from EXIF where both pictures of the first pair tell theirs.

    Args:
        pairs: of many, 16 are read, evenly spread.
        thermal: what the infrared pictures hold, and which part of them counts.
        model: family of the transform.
        field: also a smooth field.
        method: how it is estimated.
        infrared_fov: horizontal, in degrees.
        visible_fov: likewise.
        progress: called with each pair that was read.
    """
    step = max(1.0, len(pairs) / MAX_PAIRS)
    chosen = [pairs[int(place * step)] for place in range(min(len(pairs), MAX_PAIRS))]
    pictures = []
    for pair in chosen:
        infrared = read_thermal(pair.infrared, thermal).picture.pixels
        if pair.is_embedded:
            pictures.append((infrared, read_visible(pair.visible).pixels))
        else:
            pictures.append((infrared, read_picture(pair.visible).pixels))
        progress(pair)
    if infrared_fov is None and visible_fov is None and chosen and not thermal.ir_crop:
        known = field_of_view(chosen[0].infrared), field_of_view(chosen[0].visible)
        if None not in known:
            infrared_fov, visible_fov = known
    return estimate(
        pictures,
        model=model,
        field=field,
        method=method,
        infrared_fov=infrared_fov,
        visible_fov=visible_fov,
    )


def align_by_points(
    pair: Pair, points: Path, model: Model = "affine", thermal: Thermal = Thermal()
) -> Alignment:
    """The alignment of a pair's sizes by a file of matched points; see :func:`read_points`.

    ``thermal`` says which part of the infrared picture counts, in whose pixels the points are.
    """
    infrared, visible = read_thermal_header(pair.infrared, thermal=thermal), read_header(pair.visible)
    return from_points(
        *read_points(points), (visible.height, visible.width), (infrared.height, infrared.width), model
    )


def read_points(path: Path) -> tuple[Points, Points]:
    """Matched points: (N, 2) of the visible and (N, 2) of the infrared picture, in pixels.

    A line each: visible x, visible y, infrared x, infrared y, with commas or blanks between; empty lines and
    what follows a ``#`` are passed over.

    Raises:
        InputError: no such file, or a line that is not four finite numbers.
    """
    rows = []
    for number, line in enumerate(read_text(path, "file of matched points", MAX_LINES).splitlines(), start=1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != 4 or not all(abs(value) <= FARTHEST for value in row):
            raise InputError(
                f"{path}, line {number}: {line.strip()[:80]!r};"
                " expected visible x, visible y, infrared x, infrared y"
            )
        rows.append(row)
    points = np.array(rows, np.float64).reshape(-1, 4)
    return points[:, :2], points[:, 2:]


_WITH_EXIF = ("JPEG", "MPO", "PNG", "TIFF", "WEBP")


def field_of_view(path: Path) -> float | None:
    """The horizontal field of view of a file in degrees, by its EXIF; None where untold."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures
            with Image.open(path, formats=_WITH_EXIF) as image:
                return exif.field_of_view(image.getexif(), image.size[::-1])
    except Exception:  # whatever Pillow raises for a damaged file: it is told where its pixels are read
        return None
