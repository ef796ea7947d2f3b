"""Fused volumes to DICOM series of Secondary Capture images (pydicom)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion import __version__
from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.dicom import FLIP
from fsidfusion.fusion.volumes.dicom_find import OPTIONAL, PATIENT
from fsidfusion.fusion.volumes.grid import Volume, Voxels, display_affine, to_display
from fsidfusion.images.atomic import Part

if TYPE_CHECKING:
    from pydicom import Dataset


_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # Secondary Capture, of one frame or many


def write_series(
    folder: Path,
    voxels: Voxels,
    grid: Volume,
    other: Volume,
    description: str,
    derivation: str,
    keep_patient: bool = False,
) -> None:
    """Write voxels as a series of Secondary Capture images with new UIDs, whole or not at all.

    On the grid of a DICOM series the slices are cut as there; on that of a NIfTI file the voxels are turned,
    exactly, so that they are axial and upright. No data of the patient is written, unless asked: then those
    of the base, with its study and its frame of reference, so that the new series is filed beside it. The
    images that each slice was made of are named by their UIDs then; else by new ones, which agree over the
    series but lead back to nobody (PS3.15 E.1, action U). What the pixels of a source may hold stays said:
    that it was once compressed with loss, and that a name may be burnt in.

    Args:
        folder: made; an earlier one there is replaced, which :func:`check_replaceable` allows or not.
        voxels: (I, J, K) uint8 or uint16 (MONOCHROME2), or (I, J, K, 3) uint8 (RGB).
        grid: the volume whose affine they have.
        other: the volume that was fused with it.
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
            f"{grid.name} is no DICOM series and holds no patient data; leave out `keep_patient`"
        )
    affine = grid.affine
    if source is None:
        voxels, affine = to_display(voxels, affine), display_affine(grid)
    common = _common(source if keep_patient else None, (grid, other))
    common.SeriesInstanceUID = generate_uid()
    common.SeriesDescription = common.ImageComments = description
    common.DerivationDescription = derivation
    renamed: dict[str, str] = {}
    part = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Part(folder, folder=True)
        for k in range(voxels.shape[2]):
            image = _capture(common, voxels[:, :, k].swapaxes(0, 1), FLIP @ affine, k)
            _add_sources(image, grid, other, k, voxels.shape[2], None if keep_patient else renamed)
            image.save_as(part.path / f"{k + 1:04d}.dcm", enforce_file_format=True)
        part.commit()
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror or error}); choose another output or make room"
        ) from error
    finally:
        if part:
            part.close()


def check_replaceable(folder: Path) -> None:
    """Check that a folder is empty or holds nothing but files .dcm, so that a series may replace it.

    Raises:
        InputError: something else is in it.
    """
    other = next((path for path in folder.iterdir() if path.suffix != ".dcm" or not path.is_file()), None)
    if other is not None:
        raise InputError(f"the folder {folder} holds {other.name}, and is not replaced; give a new folder")


def _common(source: "Dataset | None", volumes: Sequence[Volume]) -> "Dataset":
    """What all images of the series share: patient and study, empty or of the source, and their maker."""
    from pydicom import Dataset
    from pydicom.uid import generate_uid

    common = Dataset()
    for name in PATIENT:
        setattr(common, name, "")
    common.StudyInstanceUID = generate_uid()
    common.FrameOfReferenceUID = generate_uid()
    common.PositionReferenceIndicator = ""
    burnt = any(_may_be_burnt_in(header) for volume in volumes for header in volume.images)
    if source is not None:
        for name in (*PATIENT, *OPTIONAL):
            if name in source:
                common[name] = source[name]
    elif burnt:  # PS3.3 C.7.1.1: the identity of the patient counts as removed from pixels too, or not at all
        common.PatientIdentityRemoved = "NO"
    else:
        common.PatientIdentityRemoved = "YES"
        common.DeidentificationMethod = "written anew by fsidfusion without data of the patient"
    common.BurnedInAnnotation = "YES" if burnt else "NO"
    _add_lossy(common, volumes)
    common.Modality = "OT"
    common.ConversionType = "WSD"
    common.Manufacturer = "fsidfusion"
    common.SecondaryCaptureDeviceManufacturer = "fsidfusion"
    common.SecondaryCaptureDeviceSoftwareVersions = __version__
    common.SeriesNumber = None
    common.Laterality = ""  # of a paired part of the body, which is not known
    common.ImageType = ["DERIVED", "SECONDARY"]
    return common


def may_show_a_name(volume: Volume) -> bool:
    """Whether a name may be burnt into the pixels of a DICOM series."""
    return any(_may_be_burnt_in(header) for header in volume.images)


def _may_be_burnt_in(header: "Dataset") -> bool:
    """It says so; or it is a screenshot that does not say that nothing is."""
    told = str(header.get("BurnedInAnnotation") or "")
    captured = str(header.get("SOPClassUID") or "").startswith(_CAPTURE)
    return told == "YES" or (captured and told != "NO")


def _add_lossy(common: "Dataset", volumes: Sequence[Volume]) -> None:
    """Once compressed with loss, an image is never called lossless again (PS3.3 C.7.6.1.1.5)."""
    headers = [header for volume in volumes for header in volume.images]
    lossy = [header for header in headers if str(header.get("LossyImageCompression") or "") == "01"]
    if not lossy:
        known = headers and all(str(header.get("LossyImageCompression") or "") == "00" for header in headers)
        if known:
            common.LossyImageCompression = "00"
        return
    common.LossyImageCompression = "01"
    for name in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        value = next((header[name].value for header in lossy if header.get(name)), None)
        if value is not None:
            setattr(common, name, value)


def _add_sources(
    image: "Dataset", grid: Volume, other: Volume, k: int, count: int, renamed: dict[str, str] | None
) -> None:
    """The image of the base at a slice, and those of the other volume, which all slices may be made of.

    ``renamed`` holds the new UIDs of images that must not be told, and is added to; None tells the true ones.
    """
    from pydicom import Dataset
    from pydicom.uid import generate_uid

    ours = grid.images[k : k + 1] if len(grid.images) == count else grid.images
    seen = set()
    sequence = []
    for header in (*ours, *other.images):
        uids = str(header.get("SOPClassUID") or ""), str(header.get("SOPInstanceUID") or "")
        if all(uids) and uids not in seen:
            seen.add(uids)
            item = Dataset()
            kind, instance = uids
            if renamed is not None:
                instance = renamed.setdefault(instance, str(generate_uid()))
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = kind, instance
            item.PurposeOfReferenceCodeSequence = [
                _code("121322", "Source image for image processing operation")
            ]
            sequence.append(item)
    if sequence:
        image.SourceImageSequence = sequence


def _code(value: str, meaning: str) -> "Dataset":
    """An item of a code sequence, of DICOM's own codes."""
    from pydicom import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code


def _orientation(directions: NDArray[np.float64]) -> list[str]:
    """Patient Orientation: where rows and columns point, largest part first, in DICOM's axes."""
    result = []
    for vector in directions:
        order = np.argsort(-np.abs(vector))
        parts = [("LR", "PA", "HF")[axis][int(vector[axis] < 0)] for axis in order if abs(vector[axis]) > 0.1]
        result.append("".join(parts))
    return result


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
    image.PatientOrientation = _orientation((affine[:3, :2] / steps).T)
    image.PixelSpacing = _decimals(steps[::-1])
    image.SliceThickness = image.SpacingBetweenSlices = _decimals([gap])[0]
    kind = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    image.set_pixel_data(np.ascontiguousarray(pixels), kind, 8 * pixels.dtype.itemsize)
    return image


def _decimals(values: Any) -> list[Any]:
    """Numbers as decimal strings, which hold 16 characters."""
    from pydicom.valuerep import DS

    return [DS(float(value), auto_format=True) for value in np.ravel(values)]
