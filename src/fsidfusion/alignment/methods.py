"""Other ways to a matrix: correlation of gradient magnitudes (OpenCV), mutual information (SimpleITK)."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.alignment.models import Matrix, Model, fit_model, transform_points
from fsidfusion.alignment.sampling import shrink
from fsidfusion.alignment.search import Shot, View
from fsidfusion.errors import InputError, MissingDependency, install

_SIDES = (160, 320, 640)  # longer sides of the pyramid
_STEPS = 60  # of the optimiser on each size
_BINS = 32  # of the joint histogram
_SAMPLED = 0.2  # share of the pixels that the histogram is taken from


def by_ecc(shots: Sequence[Shot], starts: Sequence[Matrix], model: Model) -> Matrix:
    """Enhanced correlation coefficient of gradient magnitudes (Evangelidis, Psarakis 2008) over a pyramid.

    Each pair takes the start that ends best; over several pairs the median counts.

    Raises:
        InputError: where no start of any pair converges.
    """
    return _median([_best_ecc(shot, starts, model) for shot in shots], shots[0], model)


def by_mutual_information(shots: Sequence[Shot], starts: Sequence[Matrix], model: Model) -> Matrix:
    """Mattes mutual information of intensities over a pyramid; starts and pairs as in :func:`by_ecc`.

    Raises:
        InputError: SimpleITK is missing, or a homography is asked for.
    """
    if not find_spec("SimpleITK"):
        raise MissingDependency(f"`method` mi needs SimpleITK: {install('align')}")
    if model == "homography":
        raise InputError("`method` mi estimates translation, similarity or affine; choose one of them")
    return _median([_best_information(shot, starts, model) for shot in shots], shots[0], model)


def _best_ecc(shot: Shot, starts: Sequence[Matrix], model: Model) -> Matrix | None:
    views = [View(shot, side) for side in _SIDES]
    ends = [end for start in starts if (end := _climb(views, start, model))]
    return max(ends, key=lambda end: end[0])[1] if ends else None


def _climb(views: Sequence[View], matrix: Matrix, model: Model) -> tuple[float, Matrix] | None:
    """The correlation reached and its matrix, from coarse to fine; None where it diverges."""
    motion = {"translation": cv2.MOTION_TRANSLATION, "homography": cv2.MOTION_HOMOGRAPHY}.get(
        model, cv2.MOTION_AFFINE
    )
    rule = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, 1e-5)
    correlation = -1.0
    for view in views:
        image, covered = view.warped(matrix)
        seen = shrink(view.shot.visible, view.size)
        update: Any = np.eye(3 if model == "homography" else 2, 3, dtype=np.float32)
        mask = np.asarray(cv2.erode(covered, np.ones((5, 5), np.uint8)) * 255, np.uint8)
        try:
            correlation, update = cv2.findTransformECC(
                _magnitude(seen), _magnitude(image), update, motion, rule, mask, 5
            )
        except cv2.error:
            return None
        full = np.vstack((update, (0.0, 0.0, 1.0))) if len(update) == 2 else update
        points = view.grid.reshape(-1, 2)[:: max(1, view.grid.size // 2000)].astype(np.float64)
        step = _to_view(view)
        moved = transform_points(np.linalg.inv(step) @ full @ step, points)
        matrix = matrix @ fit_model(points, moved, model)
    return correlation, matrix


def _to_view(view: View) -> Matrix:
    """Full visible pixels to pixels of a view."""
    x, y = view.size[1] / view.shot.visible.shape[1], view.size[0] / view.shot.visible.shape[0]
    return np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5], [0, 0, 1]])


def _magnitude(image: NDArray[np.float32]) -> NDArray[np.float32]:
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
    return np.hypot(cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1))


def _best_information(shot: Shot, starts: Sequence[Matrix], model: Model) -> Matrix | None:
    ends = [_descend(shot, start, model) for start in starts]
    return max(ends, key=lambda end: end[0])[1]


def _descend(shot: Shot, start: Matrix, model: Model) -> tuple[float, Matrix]:
    """The information reached from one start, and its matrix."""
    import SimpleITK as sitk

    fixed, moving = (sitk.GetImageFromArray(image) for image in (shot.visible, shot.infrared))
    transform: Any = {
        "translation": lambda: sitk.TranslationTransform(2),
        "similarity": lambda: sitk.Similarity2DTransform(),
        "affine": lambda: sitk.AffineTransform(2),
    }[model]()
    before = sitk.AffineTransform(2)  # fixed: what is optimised comes ahead of it and begins at identity
    before.SetMatrix(start[:2, :2].ravel().tolist())
    before.SetTranslation(start[:2, 2].tolist())
    if model != "translation":
        height, width = shot.visible.shape
        transform.SetCenter(((width - 1) / 2, (height - 1) / 2))
    registration = sitk.ImageRegistrationMethod()
    registration.SetMetricAsMattesMutualInformation(_BINS)
    registration.SetMetricSamplingStrategy(registration.RANDOM)
    registration.SetMetricSamplingPercentage(_SAMPLED, seed=1)
    registration.SetMetricMovingMask(sitk.GetImageFromArray(shot.infrared_mask.astype(np.uint8)))
    registration.SetInterpolator(sitk.sitkLinear)
    registration.SetOptimizerAsRegularStepGradientDescent(2.0, 0.01, _STEPS)
    registration.SetOptimizerScalesFromPhysicalShift()
    registration.SetShrinkFactorsPerLevel([4, 2, 1])
    registration.SetSmoothingSigmasPerLevel([2.0, 1.0, 0.0])
    registration.SetMovingInitialTransform(before)
    registration.SetInitialTransform(transform, inPlace=True)
    try:
        registration.Execute(fixed, moving)
    except RuntimeError:  # nothing overlaps any more
        return -np.inf, start
    points = np.array([[0, 0], [100, 0], [0, 100], [100, 100]], np.float64)
    moved = np.array([transform.TransformPoint(point) for point in points.tolist()])
    return -registration.GetMetricValue(), start @ fit_model(points, moved, model)


def _median(matrices: Sequence[Matrix | None], shot: Shot, model: Model) -> Matrix:
    """The matrix of a family nearest to the median of where several take the frame."""
    found = [matrix for matrix in matrices if matrix is not None]
    if not found:
        raise InputError(
            "the pictures share no gradients that could be aligned; try `method` edges, or `points`"
        )
    if len(found) == 1:
        return found[0]
    height, width = shot.visible.shape
    x, y = np.meshgrid(np.linspace(0, width - 1, 5), np.linspace(0, height - 1, 5))
    points = np.stack((x.ravel(), y.ravel()), 1)
    moved: Any = np.median([transform_points(matrix, points) for matrix in found], axis=0)
    first: Any = found[0]
    return np.asarray(first @ fit_model(points, transform_points(np.linalg.inv(first), moved), model))
