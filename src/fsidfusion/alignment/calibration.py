"""An alignment from calibrated cameras: intrinsics with distortion, and how one camera stands to the other.

Files are YAML of OpenCV (``FileStorage``), of ROS (``camera_info``) or of Kalibr (``camchain``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.alignment.models import Matrix, fit_model, transform_points
from fsidfusion.alignment.transform import Alignment, Size, today
from fsidfusion.errors import InputError
from fsidfusion.images.budget import MAX_YAML
from fsidfusion.images.text import parse_yaml, read_text, reason

_CELLS = 40  # of the field along the longer side
_FITTED = 25  # points a side to which the matrix is fitted
_BEYOND = 1.15  # times the radius of the infrared view, beyond which its distortion goes on evenly
_NUMBERS = (4, 5, 8, 12, 14)  # of a distortion that OpenCV knows
_FISHEYE = ("equidistant", "fisheye", "equi")
_PLAIN = ("plumb_bob", "radtan", "rational_polynomial", "none", "")
_MATRIX = ("camera_matrix", "cameraMatrix", "K", "intrinsic_matrix", "M", "mtx")
_DISTORTION = ("distortion_coefficients", "dist_coeffs", "distCoeffs", "distortion", "D", "dist")


@dataclass(frozen=True)
class Camera:
    """A calibrated camera."""

    size: Size
    matrix: NDArray[np.float64]  # (3, 3)
    distortion: NDArray[np.float64]  # (N,) of OpenCV's order
    fisheye: bool
    rotation: NDArray[np.float64] | None = None  # (3, 3), of the other camera's coordinates to its own
    translation: NDArray[np.float64] | None = None  # (3,) metres, likewise
    rectification: NDArray[np.float64] | None = None  # (3, 3), to the common frame of a stereo pair
    baseline: float = 0.0  # metres to the right of the first camera of a stereo pair

    def rays(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The directions (N, 3), with z = 1, of pixels (N, 2)."""
        undistort = cv2.fisheye.undistortPoints if self.fisheye else cv2.undistortPoints
        flat = undistort(points.reshape(-1, 1, 2), self.matrix, self.distortion).reshape(-1, 2)
        return np.column_stack((flat, np.ones(len(flat))))

    def pixels(self, rays: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where directions (N, 3) lie in the picture: (N, 2); far outside for those behind the camera."""
        ahead = rays[:, 2] > 1e-6
        flat = np.where(ahead[:, None], rays[:, :2] / np.where(ahead, rays[:, 2], 1.0)[:, None], 1e3)
        limit = _BEYOND * self._radius()
        radius = np.linalg.norm(flat, axis=1)
        over = np.maximum(radius / limit, 1.0)  # polynomials fold back beyond the view they were fitted to
        inside = np.column_stack((flat / over[:, None], np.ones(len(flat))))
        none = np.zeros(3)
        project = cv2.fisheye.projectPoints if self.fisheye else cv2.projectPoints
        placed = project(inside.reshape(-1, 1, 3), none, none, self.matrix, self.distortion)[0].reshape(-1, 2)
        centre = self.matrix[:2, 2]
        return np.asarray(centre + (placed - centre) * over[:, None], np.float64)

    def _radius(self) -> float:
        """The largest tangent of an angle to the axis in the picture."""
        height, width = self.size
        x, y = np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 9)
        border = [(a, b) for a in x for b in (0, height - 1)] + [(a, b) for a in (0, width - 1) for b in y]
        return float(np.linalg.norm(self.rays(np.array(border, np.float64))[:, :2], axis=1).max())


@np.errstate(all="ignore")  # what numbers of any size come to is looked at in the end
def align_cameras(infrared: Camera, visible: Camera, distance: float | None = None) -> Alignment:
    """The alignment of two calibrated cameras.

    Args:
        infrared: its ``rotation`` takes coordinates of the visible camera to its own; where it has none, the
            one of ``visible`` is turned round, or both are rectified to one frame, or the axes are parallel.
        visible: likewise.
        distance: metres of what is looked at, which a translation needs; None: far away.
    """
    rotation, translation = _between(infrared, visible)
    if distance is not None and not distance > 0:
        raise InputError(f"distance {distance:g}: expected metres above 0")

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        rays = visible.rays(points)
        seen = rays * distance if distance else rays
        return infrared.pixels(seen @ rotation.T + (translation if distance else 0.0))

    points = _grid(visible.size, (_FITTED, _FITTED))
    targets = place(points)
    height, width = infrared.size
    inside = ((targets > -0.1 * width) & (targets < (1.1 * width, 1.1 * height))).all(1)
    if np.count_nonzero(inside) < 8:
        raise InputError("by these calibrations the two cameras see nothing in common; check R and T")
    matrix: Matrix = fit_model(points[inside], targets[inside], "homography")
    cell = max(visible.size) / _CELLS
    cells = (max(2, round(visible.size[0] / cell)), max(2, round(visible.size[1] / cell)))
    nodes = _grid(visible.size, cells)
    back: Matrix = np.asarray(np.linalg.inv(matrix), np.float64)
    bent = transform_points(back, place(nodes)) - nodes
    bent = np.clip(bent, -max(visible.size), max(visible.size))
    field: NDArray[np.float32] = bent.reshape(*cells, 2).astype(np.float32)
    flat = float(np.abs(field).max()) < 0.05
    error = np.linalg.norm(transform_points(matrix, points[inside]) - targets[inside], axis=1).mean()
    return Alignment(
        matrix,
        visible.size,
        infrared.size,
        "homography",
        "calibration",
        None if flat else field,
        residual=float(error) if flat else 0.0,
        date=today(),
    )


def read_camera(path: Path) -> Camera:
    """Read a calibration.

    Raises:
        InputError: no such file, no YAML, or one without intrinsics or size.
    """
    text = read_text(path, "calibration", MAX_YAML)
    text = text.partition("\n")[2] if text.startswith("%YAML:") else text
    content = parse_yaml(text.replace("!!opencv-matrix", "!!map"), str(path), "calibration")
    if isinstance(content, Mapping) and isinstance(content.get("cam0"), Mapping):  # Kalibr
        content = content["cam1"] if isinstance(content.get("cam1"), Mapping) else content["cam0"]
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds no calibration; expected YAML of OpenCV, ROS or Kalibr")
    try:
        return _camera(content)
    except Exception as error:  # an untrusted file: whatever it leads to, the file is what is wrong
        raise InputError(
            f"{path} holds no sound calibration ({reason(error)}); expected camera_matrix,"
            " distortion_coefficients, image_width and image_height"
        ) from error


def _camera(content: Mapping[str, Any]) -> Camera:
    matrix = _first(content, _MATRIX)
    if matrix is None and "intrinsics" in content:  # Kalibr: fx, fy, cx, cy
        fx, fy, cx, cy = (float(value) for value in content["intrinsics"])
        matrix = np.array(((fx, 0, cx), (0, fy, cy), (0, 0, 1)))
    if matrix is None:
        raise ValueError("no camera matrix")
    matrix = matrix.reshape(3, 3)
    if not (np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise ValueError("its focal lengths are not above 0")
    distortion = _first(content, (*_DISTORTION, "distortion_coeffs"))
    distortion = np.zeros(4) if distortion is None else distortion.ravel()
    model = str(content.get("distortion_model", "")).lower()
    if model not in _FISHEYE + _PLAIN:
        raise ValueError(f"distortion model {model!r} is unknown")
    if not np.isfinite(distortion).all():
        raise ValueError("its distortion is not finite")
    if model not in _FISHEYE and distortion.size not in _NUMBERS:
        raise ValueError(f"its distortion has {distortion.size} numbers")
    if model in _FISHEYE and distortion.size < 4:
        raise ValueError(f"its distortion has {distortion.size} numbers")
    transform = _first(content, ("T_cn_cnm1",))
    rotation, translation = _first(content, ("R",)), _first(content, ("T", "t"))
    if transform is not None:
        rotation, translation = transform.reshape(4, 4)[:3, :3], transform.reshape(4, 4)[:3, 3]
    rectification, projection = (
        _first(content, (name,)) for name in ("rectification_matrix", "projection_matrix")
    )
    baseline = 0.0
    if projection is not None and projection.size == 12 and projection.reshape(3, 4)[0, 0] > 0:
        baseline = float(-projection.reshape(3, 4)[0, 3] / projection.reshape(3, 4)[0, 0])
    return Camera(
        _size(content),
        matrix,
        distortion[:4] if model in _FISHEYE else distortion,
        model in _FISHEYE,
        None if rotation is None else _turn(rotation),
        None if translation is None else translation.reshape(3),
        None if rectification is None else rectification.reshape(3, 3),
        baseline,
    )


def _turn(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = rotation.reshape(3, 3) if rotation.size == 9 else cv2.Rodrigues(rotation.reshape(3))[0]
    if abs(float(np.linalg.det(matrix)) - 1) > 0.01:
        raise ValueError("its R is no rotation")
    return np.asarray(matrix, np.float64)


def _size(content: Mapping[str, Any]) -> Size:
    for width, height in (("image_width", "image_height"), ("width", "height"), ("cols", "rows")):
        if width in content and height in content:
            return int(content[height]), int(content[width])
    for name in ("resolution", "image_size", "imageSize", "size"):
        if name in content:
            width, height = content[name]
            return int(height), int(width)
    raise ValueError("no image_width and image_height")


def _first(content: Mapping[str, Any], names: tuple[str, ...]) -> NDArray[np.float64] | None:
    for name in names:
        value = content.get(name)
        if isinstance(value, Mapping):
            value = value.get("data")
        if value is not None:
            return np.asarray(value, np.float64)
    return None


def _between(infrared: Camera, visible: Camera) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rotation (3, 3) and translation (3,) of visible coordinates to infrared ones."""
    zero = np.zeros(3)
    if infrared.rotation is not None:
        return infrared.rotation, zero if infrared.translation is None else infrared.translation
    if visible.rotation is not None:
        back = visible.rotation.T
        return back, zero if visible.translation is None else -back @ visible.translation
    if infrared.rectification is not None and visible.rectification is not None:
        apart = np.array((infrared.baseline - visible.baseline, 0.0, 0.0))
        turn = infrared.rectification.T
        return turn @ visible.rectification, -turn @ apart
    return np.eye(3), zero


def _grid(size: Size, cells: tuple[int, int]) -> NDArray[np.float64]:
    """(N, 2): the middle of each cell of a frame, in pixels, row by row."""
    y, x = ((np.arange(number) + 0.5) * side / number - 0.5 for number, side in zip(cells, size))
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2).astype(np.float64)


def field_of_view(camera: Camera) -> float:
    """Its horizontal field of view in degrees, along the middle row."""
    height, width = camera.size
    ends = camera.rays(np.array([(0, height / 2), (width - 1, height / 2)], np.float64))[:, 0]
    return math.degrees(math.atan(ends[1]) - math.atan(ends[0]))
