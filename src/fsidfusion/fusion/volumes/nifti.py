"""NIfTI files to volumes and back (nibabel)."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.grid import Volume, Voxels, check_affine, check_values
from fsidfusion.images.atomic import whole_file

SUFFIXES = (".nii", ".nii.gz")


def is_nifti(path: Path) -> bool:
    """Whether the name is that of a NIfTI file."""
    return path.name.lower().endswith(SUFFIXES)


def read_nifti(path: Path) -> Volume:
    """Read a NIfTI file of one volume, with the scaling of its header applied.

    Returns:
        float32 voxels, or uint8 RGB of an RGB24 file; the affine of the sform, else of the qform.

    Raises:
        InputError: missing, damaged or no NIfTI file; several volumes in it (4-D); complex or RGBA voxels; no
            geometry, or one in another unit than millimetres; voxels that are NaN or infinite.
    """
    import nibabel

    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path")
    try:
        image: Any = nibabel.load(path)
        header = image.header.copy()
        shape, kind = image.shape, header.get_data_dtype()
        unit = header.get_xyzt_units()[0]
        single = len(shape) >= 3 and all(n == 1 for n in shape[3:]) and min(shape) > 0
        if single and kind.kind in "iuf":
            voxels = np.asarray(image.dataobj, np.float32).reshape(shape[:3])
        elif single and kind.names == ("R", "G", "B"):
            stored = np.ascontiguousarray(image.dataobj.get_unscaled())
            voxels = stored.view(np.uint8).reshape(*shape[:3], 3)
    except MemoryError:
        raise
    except Exception as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
        line = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{path} is no sound NIfTI file ({line}); convert it again from its source"
        ) from error
    if not single:
        raise InputError(
            f"{path} has the shape {'x'.join(map(str, shape))}, expected one 3-D volume;"
            " take one volume out of a series, or its mean"
        )
    if kind.kind not in "iuf" and kind.names != ("R", "G", "B"):
        raise InputError(f"{path} has voxels of the type {kind}, expected numbers or RGB; convert it")
    if not header["sform_code"] and not header["qform_code"]:
        raise InputError(
            f"{path} states no geometry (sform_code and qform_code are 0); convert it again from its source"
        )
    if unit not in ("mm", "unknown"):
        raise InputError(f"{path} gives its geometry in {unit}, expected mm; convert it")
    affine = check_affine(np.asarray(image.affine, np.float64), str(path))
    check_values(voxels, str(path))
    return Volume(path.name, voxels, affine, header)


def write_nifti(path: Path, voxels: Voxels, grid: Volume, description: str) -> None:
    """Write voxels on the grid of a volume, whole or not at all.

    A grid that came from a NIfTI file keeps its sform and qform with their codes to the bit. Free text and
    extensions of its header, which may name a patient, are not copied.

    Args:
        path: .nii or .nii.gz.
        voxels: (I, J, K) uint8 or uint16, or (I, J, K, 3) uint8, which becomes RGB24.
        grid: the volume whose affine they have.
        description: up to 79 ASCII characters for the field descrip.

    Raises:
        InputError: the file cannot be written.
    """
    import nibabel

    stored: Any = voxels
    if voxels.ndim == 4:
        colours = np.dtype([(channel, np.uint8) for channel in "RGB"])
        stored = np.ascontiguousarray(voxels).view(colours).reshape(voxels.shape[:3])
    second = isinstance(grid.header, nibabel.Nifti2Header)
    kind: Any = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    image: Any = kind(stored, grid.affine, dtype=stored.dtype)
    header = image.header
    if isinstance(grid.header, nibabel.Nifti1Header):  # the base of the other
        for field in ("sform_code", "qform_code", "pixdim", "srow_x", "srow_y", "srow_z"):
            header[field] = grid.header[field]
        for field in ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"):
            header[field] = grid.header[field]
        header["pixdim"][4:] = 0
    else:
        image.set_sform(grid.affine, code="scanner")
        image.set_qform(grid.affine, code="scanner", strip_shears=True)
    header.set_xyzt_units("mm")
    header["descrip"] = description.encode("ascii")
    if voxels.ndim == 3:
        header["cal_max"] = np.iinfo(voxels.dtype).max
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as stream:
            if path.name.lower().endswith(".gz"):
                with gzip.GzipFile("", "wb", 6, stream, mtime=0) as packed:
                    image.to_stream(packed)
            else:
                image.to_stream(stream)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); choose another output or make room"
        ) from error
