"""NRRD and MetaImage files to volumes (SimpleITK)."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from fsidfusion.errors import InputError, MissingDependency, install
from fsidfusion.fusion.volumes.grid import Volume, check_affine, check_values, choose_frames
from fsidfusion.fusion.volumes.itk_child import whole_image
from fsidfusion.images.child import ChildFailed

READ = (".nrrd", ".nhdr", ".mha", ".mhd")
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # between the axes of ITK and RAS+


def is_itk(path: Path) -> bool:
    """Whether the name is that of an NRRD or MetaImage file."""
    return path.suffix.lower() in READ


def read_itk(path: Path, frame: str | None = None) -> Volume:
    """Read an NRRD or MetaImage file.

    Args:
        path: one of ``READ``.
        frame: which volume of a 4-D file, counted from 1, or ``mean``.

    Returns:
        float32 voxels, or uint8 RGB where a voxel has three components of 8 bits.

    Raises:
        InputError: missing or damaged; several volumes without ``frame``; voxels of other components; an NRRD
            file without a space, whose sides are unknown; infinite voxels.
    """
    simpleitk()
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path")
    try:
        array, said = whole_image(path)
    except ChildFailed as error:
        raise InputError(f"{path} is no sound volume ({error}); convert it again from its source") from error
    if path.suffix.lower() in (".nrrd", ".nhdr") and not _states_space(path):
        raise InputError(
            f"{path} states no space, so its sides are unknown; convert it again from its source"
        )
    dimension, parts = said["dimension"], said["parts"]
    if dimension not in (3, 4) or parts not in (1, 3) or (parts == 3 and array.dtype != np.uint8):
        raise InputError(
            f"{path} has {dimension} dimensions and {parts} {array.dtype} values a voxel, expected a volume"
            " of numbers or of RGB; convert it"
        )
    notes: list[str] = []
    numbers = choose_frames(str(path), len(array) if dimension == 4 else 1, frame)
    if dimension == 4 and len(numbers) > 1:
        array, notes = array.mean(axis=0, dtype=np.float32), [f"{path} is the mean of {len(numbers)} volumes"]
    elif dimension == 4:
        array = array[numbers[0]]
    order = (2, 1, 0, 3)[: array.ndim]
    voxels = np.ascontiguousarray(array.transpose(order), None if parts == 3 else np.float32)
    affine = np.eye(4)
    directions = np.reshape(said["direction"], (dimension, dimension))[:3, :3]
    affine[:3, :3] = directions * np.array(said["spacing"][:3])
    affine[:3, 3] = said["origin"][:3]
    notes += check_values(voxels, str(path))
    return Volume(path.name, voxels, check_affine(_FLIP @ affine, str(path)), notes=tuple(notes))


def simpleitk() -> Any:
    """The package.

    Raises:
        InputError: it is not installed.
    """
    if not find_spec("SimpleITK"):
        raise MissingDependency(f"this needs SimpleITK: {install('medical')}")
    import SimpleITK

    return SimpleITK


def _states_space(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(1 << 16).split(b"\n\n")[0].replace(b"\r", b"").lower()
    return b"\nspace:" in head
