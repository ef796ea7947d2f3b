"""An alignment: what it is, how it acts on points, and its file."""

import json
import math
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from fsidfusion.alignment.models import Matrix, transform_points
from fsidfusion.alignment.sampling import sample_field
from fsidfusion.errors import InputError
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.budget import MAX_LINES
from fsidfusion.images.text import read_json

FORMAT = "fsidfusion alignment 1"
FARTHEST = 1e9  # pixels, beyond which nothing is placed
_ASPECT_SLACK = 0.01  # relative difference of aspect ratios that still are the same camera at another size

Size = tuple[int, int]  # (height, width)


@dataclass(frozen=True)
class Alignment:
    """Where each pixel of the visible picture lies in the infrared one.

    A visible pixel p lies at ``matrix (p + field(p)) + shift``. Pixels are (x, y), (0, 0) is the centre of
    the first one.
    """

    matrix: Matrix  # (3, 3), visible to infrared pixels
    visible_size: Size
    infrared_size: Size
    model: str  # family of the matrix
    method: str  # edges, ecc, mi, points or calibration
    field: NDArray[np.float32] | None = None  # (h, w, 2) visible pixels; cells divide the visible frame
    shift: tuple[float, float] = (0.0, 0.0)  # infrared pixels: the parallax at a working distance
    distance: float | None = None  # metres, of that shift
    score: float | None = None  # correlation of edge directions, at most 1
    score_without: float | None = None  # of the pictures merely resized
    residual: float | None = None  # visible pixels: how far patches, or matched points, are off on average
    pairs: int = 1  # that it was estimated from
    date: str = ""  # ISO

    def place(self, points: NDArray[Any]) -> NDArray[np.float32]:
        """Visible pixels (..., 2) to infrared pixels (..., 2)."""
        points = np.asarray(points, np.float32)
        if self.field is not None:
            points = points + sample_field(self.field, points, self.visible_size)
        return np.asarray(transform_points(self.matrix, points) + np.asarray(self.shift), np.float32)

    def fitted(self, visible_size: Size, infrared_size: Size) -> "Alignment":
        """The same for pictures of other sizes of the same two cameras.

        Raises:
            InputError: an aspect ratio that differs by over 1 %: another camera, or a crop.
        """
        ours, theirs = (self.visible_size, self.infrared_size), (visible_size, infrared_size)
        if ours == theirs:
            return self
        for name, saved, given in zip(("visible", "infrared"), ours, theirs):
            if abs(math.log(given[0] * saved[1] / (given[1] * saved[0]))) > _ASPECT_SLACK:
                raise InputError(
                    f"the alignment is for {name} pictures of {saved[1]}x{saved[0]}, this one is"
                    f" {given[1]}x{given[0]}, of another shape; estimate one for this camera"
                )
        visible, infrared = (
            (new[1] / old[1], new[0] / old[0]) for old, new in zip(ours, theirs)
        )  # factors on x and y
        matrix = _scaling(infrared) @ self.matrix @ np.linalg.inv(_scaling(visible))
        return replace(
            self,
            matrix=matrix / matrix[2, 2],
            visible_size=visible_size,
            infrared_size=infrared_size,
            field=None if self.field is None else (self.field * np.array(visible)).astype(np.float32),
            shift=(self.shift[0] * infrared[0], self.shift[1] * infrared[1]),
        )

    def at_distance(self, metres: float) -> "Alignment":
        """The same with its parallax shift for another distance: it falls off as 1 / distance.

        Raises:
            InputError: no distance was saved with the shift, or one that is not positive.
        """
        if self.distance is None:
            raise InputError(
                "the alignment has no parallax shift with a distance; save one (`shift`, `distance`)"
            )
        if not metres > 0:
            raise InputError(f"distance {metres:g}: expected metres above 0")
        factor = self.distance / metres
        return replace(self, shift=(self.shift[0] * factor, self.shift[1] * factor), distance=metres)

    def with_shift(self, shift: tuple[float, float], distance: float | None = None) -> "Alignment":
        """The same with the parallax shift (x, y) in infrared pixels of things at a distance in metres.

        Raises:
            InputError: a distance that is not positive.
        """
        if distance is not None and not distance > 0:
            raise InputError(f"distance {distance:g}: expected metres above 0")
        return replace(self, shift=shift, distance=distance)

    def summary(self) -> str:
        """What it is, in a few words, for people."""
        pairs = (
            ""
            if self.method in ("points", "calibration")
            else f" over {self.pairs} pair{'s' if self.pairs > 1 else ''}"
        )
        words = [f"{self.model}{' and field' if self.field is not None else ''} by {self.method}{pairs}"]
        if self.score is not None and self.score_without is not None:
            words.append(f"score {self.score:.3f}, without {self.score_without:.3f}")
        if self.residual is not None:
            words.append(f"residual {self.residual:.2f} pixels")
        if any(self.shift):
            at = "" if self.distance is None else f" at {self.distance:g} m"
            words.append(f"shift {self.shift[0]:g},{self.shift[1]:g} pixels{at}")
        return "; ".join(words)


def today() -> str:
    """The date that a new alignment carries."""
    return date.today().isoformat()


def write_alignment(path: Path, alignment: Alignment) -> None:
    """Write a JSON file, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    content = {"format": FORMAT, **asdict(alignment)}
    content["matrix"] = alignment.matrix.tolist()
    content["field"] = (
        None if alignment.field is None else np.round(alignment.field, 3).astype(float).tolist()
    )
    for name in ("score", "score_without", "residual"):
        known = content[name] is not None and math.isfinite(content[name])
        content[name] = round(float(content[name]), 4) if known else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as stream:
            stream.write((json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another output") from error


def read_alignment(path: Path) -> Alignment:
    """Read what :func:`write_alignment` wrote.

    Raises:
        InputError: no such file, or one that holds no sound alignment.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; write one with 'fsidfusion align'")
    stored = read_json(path, _Stored, "alignment", MAX_LINES)
    try:
        return stored.alignment()
    except ValueError as error:
        raise InputError(f"{path} holds no sound alignment ({error}); estimate it again") from error


def read_align(choice: str, crop: bool = False) -> Alignment | Literal["auto"] | None:
    """What ``--align`` asks for: none, ``auto``, or an alignment from a file.

    Raises:
        InputError: as :func:`read_alignment`, or ``crop`` without an alignment.
    """
    if choice == "none":
        if crop:
            raise InputError("`crop` goes with `align` auto or `align` FILE; give one, or leave it out")
        return None
    return "auto" if choice == "auto" else read_alignment(Path(choice))


_Side = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Pixels = Annotated[float, msgspec.Meta(ge=-FARTHEST, le=FARTHEST)]
_Row = tuple[_Pixels, _Pixels, _Pixels]


class _Stored(msgspec.Struct):
    """The file of an alignment."""

    format: Literal["fsidfusion alignment 1"]
    matrix: tuple[_Row, _Row, _Row]
    visible_size: tuple[_Side, _Side]
    infrared_size: tuple[_Side, _Side]
    model: str
    method: str
    field: list[list[tuple[_Pixels, _Pixels]]] | None
    shift: tuple[_Pixels, _Pixels]
    distance: float | None
    score: float | None
    score_without: float | None
    residual: float | None
    pairs: Annotated[int, msgspec.Meta(ge=1)]
    date: str

    def alignment(self) -> Alignment:
        """What it describes. ValueError where no picture can be placed by it."""
        values = {name: getattr(self, name) for name in self.__struct_fields__ if name != "format"}
        matrix = np.array(self.matrix, np.float64)
        if abs(np.linalg.det(matrix)) < 1e-12 or abs(matrix[2, 2]) < 1e-9:
            raise ValueError("its matrix cannot be inverted")
        height, width = self.visible_size
        corners = np.array([(x, y, 1.0) for x in (0, width) for y in (0, height)])
        if np.ptp(np.sign(corners @ matrix[2])):
            raise ValueError("its perspective runs through the picture")
        if self.distance is not None and not self.distance > 0:
            raise ValueError("its distance is not positive")
        field = None
        if self.field is not None:
            if not self.field or not self.field[0] or len({len(row) for row in self.field}) > 1:
                raise ValueError("its field is no table")
            field = np.array(self.field, np.float32)
        return Alignment(**{**values, "matrix": matrix, "field": field})


def _scaling(factors: tuple[float, float]) -> Matrix:
    """Scaling of pixel coordinates whose origin is the centre of the first pixel."""
    x, y = factors
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
