"""DICOM series to volumes (pydicom).

Places come from Image Position and Image Orientation (Patient), which are in coordinates of the patient
however he lay in the scanner (HFS, FFP, ...); DICOM's axes point left and back, ours right and front.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import FusionError, InputError, MissingDependency
from fsidfusion.fusion.volumes.grid import Volume, Voxels, check_affine, check_values
from fsidfusion.images.files import FORMATS

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

UNEQUAL = 0.02  # of the slice spacing; steps that differ by more from the others are unequal
ASTRAY = 0.1  # of the slice spacing; slices further from the line through the first and last are no stack
_SAME_DIRECTION = 1e-3  # difference of direction cosines, or of millimetres between pixels
_SAME_PLACE = 1e-3  # mm
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # between the axes of DICOM and RAS+

PATIENT = (  # of the patient and the study; every image has them, though they may be empty
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
OPTIONAL = (
    "SpecificCharacterSet",
    "IssuerOfPatientID",
    "PatientAge",
    "StudyDescription",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
)
_LISTED = ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality")


@dataclass(frozen=True)
class _Slice:
    """What the header of one image says."""

    path: Path
    header: "Dataset"
    rows: int
    columns: int
    rgb: bool
    place: NDArray[np.float64]  # (3,) of the first pixel, mm
    directions: NDArray[np.float64]  # (2, 3) along a row, along a column
    spacing: NDArray[np.float64]  # (2,) between rows, between columns, mm


def holds_dicom(folder: Path) -> bool:
    """Whether a folder holds DICOM files, told by their content."""
    return any(_is_dicom(path) for path in folder.iterdir())


def read_series(folder: Path, series: str | None = None) -> Volume:
    """Read one series of single-frame files from a folder, sorted by position.

    Args:
        folder: its sub-folders are not looked into; files that are not DICOM are passed over.
        series: the UID of the series to take, its ending, or its number; asked for only where the folder
            holds several.

    Returns:
        float32 voxels (columns, rows, slices) with rescale slope and intercept applied, padding as the least
        value; or uint8 RGB.

    Raises:
        InputError: no DICOM files; several series (each is listed) or none that ``series`` names; several
            frames in a file; slices of different size or direction, several at one place (a 4-D series), one
            alone, or unequally spaced; no geometry; pixels that are neither MONOCHROME2 nor RGB, that are
            compressed without a decoder here, cut short, or not finite.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that bend the standard, as those of many scanners do
        slices = _sorted(folder, [_parse(*item) for item in _choose(folder, _headers(folder), series)])
        affine = check_affine(_affine(folder, slices), str(folder))
        voxels = _stack(slices)
    check_values(voxels, str(folder))
    return Volume(folder.name or str(folder), voxels, affine, slices[0].header)


def _is_dicom(path: Path) -> bool:
    if path.suffix.lower() in FORMATS or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _headers(folder: Path) -> "list[tuple[Path, Dataset]]":
    """Files of images and their data sets without pixels."""
    from pydicom import dcmread
    from pydicom.uid import MediaStorageDirectoryStorage

    found: list[tuple[Path, Dataset]] = []
    for path in sorted(folder.iterdir()):
        if not _is_dicom(path):
            continue
        try:
            header = dcmread(path, stop_before_pixels=True)
            kind = header.get("SOPClassUID") or header.file_meta.MediaStorageSOPClassUID
            if kind != MediaStorageDirectoryStorage and "SeriesInstanceUID" not in header:
                raise ValueError("its header is cut short")
            for name in (*_LISTED, *PATIENT, *OPTIONAL):
                header.get(name)  # values are decoded when they are first asked for
        except (
            Exception
        ) as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
            raise InputError(f"{path} is damaged ({_line(error)}); copy or export it again") from error
        if "Rows" in header:  # a DICOMDIR or a report has none
            found.append((path, header))
    if not found:
        raise InputError(f"{folder} holds no DICOM images; give the folder of one series")
    return found


def _choose(
    folder: Path, headers: "Sequence[tuple[Path, Dataset]]", series: str | None
) -> "list[tuple[Path, Dataset]]":
    groups: dict[str, list[tuple[Path, Dataset]]] = {}
    for path, header in headers:
        groups.setdefault(str(header.SeriesInstanceUID), []).append((path, header))
    if len(groups) == 1:
        return next(iter(groups.values()))
    listed = "; ".join(_describe_series(uid, [h for _, h in group]) for uid, group in groups.items())
    if series is None:
        raise InputError(f"{folder} holds {len(groups)} series: {listed}; choose one with --series UID")
    chosen = [
        group
        for uid, group in groups.items()
        if uid.endswith(series) or str(group[0][1].get("SeriesNumber")) == series
    ]
    exact = groups.get(series)
    if exact is None and len(chosen) != 1:
        raise InputError(
            f"--series {series} names {len(chosen)} of the {len(groups)} series in {folder}: {listed};"
            " give the UID of one"
        )
    return exact or chosen[0]


def _describe_series(uid: str, headers: "Sequence[Dataset]") -> str:
    first = headers[0]
    words = f"{first.get('Modality', '')} {first.get('SeriesDescription', '')}".split()
    text = " ".join(words) or "no description"
    return f"{uid} (number {first.get('SeriesNumber') or 'none'}, {text}, {len(headers)} files)"


def _parse(path: Path, header: "Dataset") -> _Slice:
    """The header as numbers; InputError for what cannot be used."""
    try:
        geometry = []
        for tag, length in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
            values = header.get(tag)
            if values is None or np.size(values) != length:
                raise InputError(
                    f"{path} has no geometry ({tag} is missing); export the original images of the scanner"
                )
            geometry.append(np.asarray(values, np.float64))
        frames = int(header.get("NumberOfFrames") or 1)
        if frames > 1:
            raise InputError(
                f"{path} holds {frames} frames, expected single-frame files; convert it to NIfTI"
            )
        kind = str(header.PhotometricInterpretation)
        if kind not in ("MONOCHROME2", "RGB") and not kind.startswith("YBR"):
            raise InputError(f"{path} has pixels of the kind {kind}, expected MONOCHROME2 or RGB; convert it")
        _check_decoder(path, header.file_meta.TransferSyntaxUID)
        place, directions, spacing = geometry
        size = int(header.Rows), int(header.Columns)
        return _Slice(path, header, *size, kind != "MONOCHROME2", place, directions.reshape(2, 3), spacing)
    except FusionError:
        raise
    except Exception as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
        raise InputError(f"{path} is damaged ({_line(error)}); copy or export it again") from error


def _check_decoder(path: Path, syntax: "UID") -> None:
    from pydicom.pixels import get_decoder

    if not syntax.is_compressed:
        return
    try:
        known = get_decoder(syntax).is_available
    except NotImplementedError:
        known = False
    if not known:
        raise MissingDependency(
            f"{path} is compressed as {syntax.name} ({syntax}), for which no decoder is installed:"
            " pip install python-gdcm, or export it uncompressed"
        )


def _sorted(folder: Path, slices: Sequence[_Slice]) -> list[_Slice]:
    """Slices of one size, kind and direction along their normal."""
    first = slices[0]
    for item in slices:
        if (item.rows, item.columns, item.rgb) != (first.rows, first.columns, first.rgb):
            sizes = [f"{s.columns}x{s.rows}{' RGB' if s.rgb else ''}" for s in (first, item)]
            raise InputError(
                f"slices of {folder} differ in size ({sizes[0]}, {item.path.name} {sizes[1]});"
                " leave scouts out"
            )
        turned = np.abs(item.directions - first.directions).max()
        scaled = np.abs(item.spacing - first.spacing).max()
        if turned > _SAME_DIRECTION or scaled > _SAME_DIRECTION:
            raise InputError(
                f"slices of {folder} differ in direction or pixel spacing ({first.path.name},"
                f" {item.path.name}); leave scouts and other stacks out"
            )
    normal = np.cross(*first.directions)
    return sorted(slices, key=lambda item: float(normal @ item.place))


def _affine(folder: Path, slices: Sequence[_Slice]) -> NDArray[np.float64]:
    """From (column, row, slice) to millimetres, RAS+; sheared where the gantry was tilted."""
    if len(slices) == 1:
        raise InputError(
            f"{folder} holds one slice, expected two or more of one series; fuse it as a picture"
        )
    first = slices[0]
    places = np.array([item.place for item in slices])
    gaps = np.diff(places @ np.cross(*first.directions))
    typical = float(np.median(gaps))
    levels = 1 + int(np.count_nonzero(gaps > _SAME_PLACE))
    if levels < len(slices):
        raise InputError(
            f"{folder} holds {len(slices)} slices at {levels} places: several volumes (times, echoes, 4-D);"
            " leave one volume in it"
        )
    worst = int(np.argmax(np.abs(gaps - typical)))
    if abs(gaps[worst] - typical) > UNEQUAL * typical:
        names = [slices[worst + side].path.name for side in (0, 1)]
        raise InputError(
            f"the slices of {folder} are unequally spaced: {gaps[worst]:.4g} mm from {names[0]} to"
            f" {names[1]}, elsewhere {typical:.4g} mm; add what is missing, or resample it to a NIfTI file"
        )
    step = (places[-1] - places[0]) / (len(slices) - 1)
    strayed = np.linalg.norm(places - places[0] - np.arange(len(slices))[:, None] * step, axis=1)
    if strayed.max() > ASTRAY * typical:
        name = slices[int(strayed.argmax())].path.name
        raise InputError(f"the slices of {folder} do not lie in one stack ({name}); leave other stacks out")
    affine = np.eye(4)
    along, across = first.directions[0] * first.spacing[1], first.directions[1] * first.spacing[0]
    affine[:3] = np.column_stack([along, across, step, places[0]])
    return np.asarray(FLIP @ affine, np.float64)


def _stack(slices: Sequence[_Slice]) -> Voxels:
    """The pixels of all slices, (columns, rows, slices) float32 or with three channels of uint8."""
    first = slices[0]
    shape = (first.columns, first.rows, len(slices))
    voxels = np.empty((*shape, 3), np.uint8) if first.rgb else np.empty(shape, np.float32)
    padding = np.zeros(() if first.rgb else shape, np.bool_)
    for k, item in enumerate(slices):
        pixels, padded = _pixels(item)
        voxels[:, :, k] = pixels.swapaxes(0, 1)
        if padded is not None:
            padding[:, :, k] = padded.T
    if padding.any():
        voxels[padding] = voxels[~padding].min() if not padding.all() else 0
    return voxels


def _pixels(item: _Slice) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """(H, W) float32 in the units of the scanner, or (H, W, 3) uint8; and where padding is, if any."""
    from pydicom import dcmread
    from pydicom.pixels import apply_modality_lut

    try:
        image = dcmread(item.path)
        stored = image.pixel_array
        if stored.shape[:2] != (item.rows, item.columns) or stored.ndim != 2 + item.rgb:
            raise ValueError(f"it holds {stored.shape} samples")
        if item.rgb:
            return (stored >> max(0, int(image.BitsStored) - 8)).astype(np.uint8), None
        values = apply_modality_lut(stored, image).astype(np.float32)
    except MemoryError:
        raise
    except Exception as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
        raise InputError(
            f"{item.path} cannot be decoded ({_line(error)}); copy or export it again"
        ) from error
    padding = image.get("PixelPaddingValue")
    return values, None if padding is None else stored == padding


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
