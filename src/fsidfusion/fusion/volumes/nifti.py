"""NIfTI files to volumes and back, and FreeSurfer volumes (nibabel)."""

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np

from fsidfusion.errors import InputError, NotEnoughMemory
from fsidfusion.fusion.volumes.grid import Volume, Voxels, check_affine, check_values, choose_frames
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.budget import DEFLATE_RATIO, check_filled, check_voxels

SUFFIXES = (".nii", ".nii.gz")  # that are written
READ = (*SUFFIXES, ".hdr", ".img", ".img.gz", ".mgz", ".mgh")


def is_nifti(path: Path) -> bool:
    """Whether the name is that of a NIfTI file, as it is written."""
    return path.name.lower().endswith(SUFFIXES)


def is_readable(path: Path) -> bool:
    """Whether the name is that of a NIfTI file, a NIfTI pair, or a FreeSurfer volume."""
    return path.name.lower().endswith(READ)


def read_nifti(path: Path, frame: str | None = None) -> Volume:
    """Read a NIfTI file or pair, or a FreeSurfer volume, with the scaling of its header applied.

    Args:
        path: one of ``READ``; of a pair either file.
        frame: which volume of a 4-D file, counted from 1, or ``mean``.

    Returns:
        float32 voxels, or uint8 RGB of an RGB24 file; the affine of the sform, else of the qform.

    Raises:
        InputError: missing, damaged or of another kind; several volumes without ``frame``; complex or RGBA
            voxels; no geometry, or one in another unit than millimetres; infinite voxels.
    """
    import nibabel

    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path")
    try:
        image: Any = nibabel.load(path)
        header = image.header.copy()
        shape, kind = image.shape, header.get_data_dtype()
    except Exception as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
        raise _unsound(path, error) from error
    nifti = isinstance(header, nibabel.Nifti1Header)
    if not nifti and not isinstance(header, nibabel.freesurfer.mghformat.MGHHeader):
        raise InputError(
            f"{path} is in the old Analyze format, which does not say which side is left; convert it again"
            " from its source"
        )
    check_voxels(shape[:3], str(path))
    data = Path(image.file_map["image"].filename or path)
    packed = data.name.lower().endswith((".gz", ".mgz"))
    try:
        claimed = math.prod(map(int, shape)) * kind.itemsize
        check_filled(claimed, data.stat().st_size, DEFLATE_RATIO if packed else 1)
    except (OSError, ValueError) as error:
        raise _unsound(path, error) from error
    chosen = _frames(path, shape, frame)
    if kind.kind not in "iuf" and kind.names != ("R", "G", "B"):
        raise InputError(f"{path} has voxels of the type {kind}, expected numbers or RGB; convert it")
    try:
        notes = _check_geometry(path, header) if nifti else []
    except KeyError as error:  # a code that the format does not know
        raise _unsound(path, error) from error
    try:
        if kind.kind in "iuf":
            proxy = image.dataobj
            parts = [proxy[(slice(None),) * 3 + index] for index in chosen]
            voxels = np.asarray(parts[0], np.float32).reshape(shape[:3])
            for number, part in enumerate(parts[1:], start=2):  # their mean
                voxels = voxels + (np.asarray(part, np.float32) - voxels) / np.float32(number)
        else:
            stored = np.ascontiguousarray(image.dataobj.get_unscaled()[(slice(None),) * 3 + chosen[0]])
            voxels = stored.view(np.uint8).reshape(*shape[:3], 3)
        affine = check_affine(np.asarray(image.affine, np.float64), str(path))
    except MemoryError as error:
        size = "x".join(map(str, shape))
        raise NotEnoughMemory(
            f"{path} ({size} voxels) does not fit into the memory; crop it, or take a larger machine"
        ) from error
    except InputError:
        raise
    except Exception as error:  # as above
        raise _unsound(path, error) from error
    if len(chosen) > 1:
        notes.append(f"{path} is the mean of {len(chosen)} volumes")
    voxels = voxels if voxels.flags.writeable else voxels.copy()
    notes += check_values(voxels, str(path))
    return Volume(path.name, voxels, affine, header if nifti else None, "", tuple(notes))


def _frames(path: Path, shape: tuple[int, ...], frame: str | None) -> list[tuple[int, ...]]:
    """Indices beyond the third axis of the volumes that are asked for."""
    if len(shape) < 3 or min(shape, default=0) == 0:
        raise InputError(f"{path} has the shape {'x'.join(map(str, shape))}, expected a 3-D volume")
    if len(shape) == 3:
        choose_frames(str(path), 1, frame)
        return [()]
    numbers = choose_frames(str(path), int(np.prod(shape[3:], dtype=np.int64)), frame)
    return [tuple(int(n) for n in np.unravel_index(number, shape[3:], "F")) for number in numbers]


def _check_geometry(path: Path, header: Any) -> list[str]:
    """Check that a NIfTI header places its voxels; a note where its two ways to say so differ in sides."""
    unit = header.get_xyzt_units()[0]
    if not header["sform_code"] and not header["qform_code"]:
        raise InputError(
            f"{path} states no geometry (sform_code and qform_code are 0); convert it again from its source"
        )
    if unit not in ("mm", "unknown"):
        raise InputError(f"{path} gives its geometry in {unit}, expected mm; convert it")
    if header["sform_code"] and header["qform_code"]:
        sides = [np.sign(np.linalg.det(form[:3, :3])) for form in (header.get_sform(), header.get_qform())]
        if sides[0] * sides[1] < 0:
            return [
                f"sform and qform of {path} are mirror images: left and right are uncertain; sform is used"
            ]
    return []


def _unsound(path: Path, error: Exception) -> InputError:
    line = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(f"{path} is no sound NIfTI file ({line}); convert it again from its source")


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
