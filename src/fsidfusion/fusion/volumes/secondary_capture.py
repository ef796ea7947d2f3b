"""Fused volumes to DICOM series of Secondary Capture images (pydicom)."""

import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion import __version__
from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.dicom import FLIP, OPTIONAL, PATIENT
from fsidfusion.fusion.volumes.grid import Volume, Voxels, display_affine, to_display

if TYPE_CHECKING:
    from pydicom import Dataset


def write_series(
    folder: Path, voxels: Voxels, grid: Volume, description: str, derivation: str, keep_patient: bool = False
) -> None:
    """Write voxels as a series of Secondary Capture images with new UIDs, whole or not at all.

    On the grid of a DICOM series the slices are cut as there; on that of a NIfTI file the voxels are turned,
    exactly, so that they are axial and upright. No data of the patient is written, unless asked: then those
    of the MRI, with its study and its frame of reference, so that the new series is filed beside it.

    Args:
        folder: made; an earlier one there is replaced, which :func:`check_replaceable` allows or not.
        voxels: (I, J, K) uint8 or uint16 (MONOCHROME2), or (I, J, K, 3) uint8 (RGB).
        grid: the volume whose affine they have.
        description: of the series and the comment of each image, up to 64 characters.
        derivation: what was fused and how.
        keep_patient: copy the patient and the study.

    Raises:
        InputError: the folder cannot be written, or patient data asked for that are not there.
    """
    from pydicom.uid import generate_uid

    source = grid.header if hasattr(grid.header, "SeriesInstanceUID") else None
    if keep_patient and source is None:
        raise InputError(
            f"{grid.name} is no DICOM series and holds no patient data; leave out --keep-patient"
        )
    affine = grid.affine
    if source is None:
        voxels, affine = to_display(voxels, affine), display_affine(grid)
    common = _common(source if keep_patient else None)
    common.SeriesInstanceUID = generate_uid()
    common.SeriesDescription = common.ImageComments = description
    common.DerivationDescription = derivation
    part, earlier = (folder.with_name(f".fsidfusion-{secrets.token_hex(6)}.part") for _ in range(2))
    try:
        part.mkdir(parents=True)
        for k in range(voxels.shape[2]):
            image = _capture(common, voxels[:, :, k].swapaxes(0, 1), FLIP @ affine, k)
            image.save_as(part / f"{k + 1:04d}.dcm", enforce_file_format=True)
        if folder.exists():
            folder.replace(earlier)
        part.replace(folder)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror or error}); choose another output or make room"
        ) from error
    finally:
        if earlier.exists() and not folder.exists():  # stopped between the two
            earlier.replace(folder)
        for path in (part, earlier):
            shutil.rmtree(path, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """Check that a folder is empty or holds nothing but files .dcm, so that a series may replace it.

    Raises:
        InputError: something else is in it.
    """
    other = next((path for path in folder.iterdir() if path.suffix != ".dcm" or not path.is_file()), None)
    if other is not None:
        raise InputError(f"the folder {folder} holds {other.name}, and is not replaced; give a new folder")


def _common(source: "Dataset | None") -> "Dataset":
    """What all images of the series share: patient and study, empty or of the source, and their maker."""
    from pydicom import Dataset
    from pydicom.uid import generate_uid

    common = Dataset()
    for name in PATIENT:
        setattr(common, name, "")
    common.StudyInstanceUID = generate_uid()
    common.FrameOfReferenceUID = generate_uid()
    common.PositionReferenceIndicator = ""
    if source is None:
        common.PatientIdentityRemoved = "YES"
        common.DeidentificationMethod = "written anew by fsidfusion without data of the patient"
    else:
        for name in (*PATIENT, *OPTIONAL):
            if name in source:
                common[name] = source[name]
    common.Modality = "OT"
    common.ConversionType = "WSD"
    common.SecondaryCaptureDeviceManufacturer = "fsidfusion"
    common.SecondaryCaptureDeviceSoftwareVersions = __version__
    common.SeriesNumber = None
    common.ImageType = ["DERIVED", "SECONDARY"]
    return common


def _capture(common: "Dataset", pixels: NDArray[Any], affine: NDArray[np.float64], k: int) -> "Dataset":
    """One image, (H, W) or (H, W, 3), at slice ``k`` of an affine in DICOM's axes."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    image = Dataset()
    image.update(common)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = SecondaryCaptureImageStorage
    image.SOPInstanceUID = generate_uid()
    image.InstanceNumber = k + 1
    steps = np.linalg.norm(affine[:3, :2], axis=0)
    normal = np.cross(*(affine[:3, :2] / steps).T)
    gap = abs(float(normal @ affine[:3, 2]))
    image.ImagePositionPatient = _decimals(affine[:3, 3] + k * affine[:3, 2])
    image.ImageOrientationPatient = _decimals((affine[:3, :2] / steps).T)
    image.PixelSpacing = _decimals(steps[::-1])
    image.SliceThickness = image.SpacingBetweenSlices = _decimals([gap])[0]
    kind = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    image.set_pixel_data(np.ascontiguousarray(pixels), kind, 8 * pixels.dtype.itemsize)
    return image


def _decimals(values: Any) -> list[Any]:
    """Numbers as decimal strings, which hold 16 characters."""
    from pydicom.valuerep import DS

    return [DS(float(value), auto_format=True) for value in np.ravel(values)]
