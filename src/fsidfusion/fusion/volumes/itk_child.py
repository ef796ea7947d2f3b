"""Reading by SimpleITK in a process of its own, whose memory its readers spoil on some damaged headers."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion.images.budget import DEFLATE_RATIO, MAX_VOXELS, check_filled, check_voxels
from fsidfusion.images.child import Child

_SECONDS, _QUICKNESS = 60.0, 20e6  # of a call: to begin with, and bytes a second that a slow disk gives
_LARGEST = 8 * MAX_VOXELS  # bytes

_images = Child("fsidfusion.fusion.volumes.itk_child:read_image")
_transforms = Child("fsidfusion.fusion.volumes.itk_child:read_transform")


def whole_image(path: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    """The samples (..., k, j, i[, parts]) of a file, and its dimension, parts, direction, spacing and origin.

    Raises:
        ChildFailed: over the budget, or damaged.
    """
    present = sum(file.stat().st_size for file in path.parent.iterdir() if file.is_file())
    size = min(DEFLATE_RATIO * present, _LARGEST)  # in this file or one beside it, perhaps packed
    return _images.call(str(path), present, size=size, seconds=_SECONDS + size / _QUICKNESS)


def moved_points(path: Path) -> NDArray[np.float64]:
    """Where a transform takes the origin and the three unit vectors, (4, 3). ChildFailed for no transform."""
    return _transforms.call(str(path), size=1024, seconds=_SECONDS)[0]


def read_image(path: str, present: int) -> tuple[NDArray[Any], dict[str, Any]]:
    """As :func:`whole_image`, in this process; ``present`` are the bytes that could fill the samples."""
    import SimpleITK as sitk

    try:
        reader = sitk.ImageFileReader()
        reader.SetFileName(path)
        reader.ReadImageInformation()
        check_voxels(reader.GetSize()[:3], path)
        check_filled(math.prod(reader.GetSize()), present)
        image: Any = reader.Execute()
        samples = sitk.GetArrayFromImage(image)
    except Exception as error:  # whose message is long, with the reason at its end
        raise ValueError(" ".join(str(error).split())[-200:]) from error
    return samples, {
        "dimension": image.GetDimension(),
        "parts": image.GetNumberOfComponentsPerPixel(),
        "direction": image.GetDirection(),
        "spacing": image.GetSpacing(),
        "origin": image.GetOrigin(),
    }


def read_transform(path: str) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """As :func:`moved_points`, in this process."""
    import SimpleITK as sitk

    read: Any = sitk.ReadTransform(path)
    read = read if not isinstance(read, sitk.CompositeTransform) else read.GetBackTransform()
    points = np.vstack([np.zeros(3), np.eye(3)])
    return np.array([read.TransformPoint(point.tolist()) for point in points]), {}
