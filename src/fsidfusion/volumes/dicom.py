"""DICOM series to volumes (pydicom).

Places come from Image Position and Image Orientation (Patient), which are in coordinates of the patient
however he lay in the scanner (HFS, FFP, ...); DICOM's axes point left and back, ours right and front.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import UserError
from fsidfusion.images import FORMATS
from fsidfusion.volumes.grid import Volume, check_affine, check_values

if TYPE_CHECKING:
    from pydicom import Dataset

UNEQUAL = 0.02  # of the slice spacing; steps that differ by more from the others are unequal
ASTRAY = 0.1  # of the slice spacing; slices further from the line through the first and last are no stack
_SAME_DIRECTION = 1e-3  # difference of direction cosines
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # between the axes of DICOM and RAS+


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
        UserError: no DICOM files; several series (each is listed) or none that ``series`` names; several
            frames in a file; slices of different size or direction, several at one place (a 4-D series), one
            alone, or unequally spaced; no geometry; pixels that are neither MONOCHROME2 nor RGB, that are
            compressed without a decoder here, cut short, or not finite.
    """
    slices = _sorted(folder, _choose(folder, _headers(folder), series))
    first = slices[0][1]
    affine = _affine(folder, slices)
    rgb = int(first.SamplesPerPixel) == 3
    shape = (int(first.Columns), int(first.Rows), len(slices))
    voxels = np.empty((*shape, 3), np.uint8) if rgb else np.empty(shape, np.float32)
    padding = np.zeros(() if rgb else shape, np.bool_)
    for k, (path, _) in enumerate(slices):
        pixels, padded = _pixels(path)
        voxels[:, :, k] = pixels.swapaxes(0, 1)
        if padded is not None:
            padding[:, :, k] = padded.T
    if padding.any():
        voxels[padding] = voxels[~padding].min() if not padding.all() else 0
    check_values(voxels, str(folder))
    return Volume(folder.name or str(folder), voxels, check_affine(affine, str(folder)), first)


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
        except (
            Exception
        ) as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
            raise UserError(f"{path} is damaged ({_line(error)}); copy or export it again") from error
        if "Rows" in header:  # a DICOMDIR or a report has none
            found.append((path, header))
    if not found:
        raise UserError(f"{folder} holds no DICOM images; give the folder of one series")
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
        raise UserError(f"{folder} holds {len(groups)} series: {listed}; choose one with --series UID")
    chosen = [
        group
        for uid, group in groups.items()
        if uid.endswith(series) or str(group[0][1].get("SeriesNumber")) == series
    ]
    exact = groups.get(series)
    if exact is None and len(chosen) != 1:
        raise UserError(
            f"--series {series} names {len(chosen)} of the {len(groups)} series in {folder}: {listed};"
            " give the UID of one"
        )
    return exact or chosen[0]


def _describe_series(uid: str, headers: "Sequence[Dataset]") -> str:
    first = headers[0]
    text = f"{first.get('Modality', '')} {first.get('SeriesDescription', '')}".strip() or "no description"
    return f"{uid} (number {first.get('SeriesNumber') or 'none'}, {text}, {len(headers)} files)"


def _sorted(folder: Path, slices: "Sequence[tuple[Path, Dataset]]") -> "list[tuple[Path, Dataset]]":
    """Slices along their normal, all of one kind and with all that is needed."""
    first = slices[0][1]
    for path, header in slices:
        _check_header(path, header)
        if (header.Rows, header.Columns) != (first.Rows, first.Columns):
            sizes = [f"{h.Columns}x{h.Rows}" for h in (first, header)]
            raise UserError(
                f"slices of {folder} differ in size ({sizes[0]}, {path.name} {sizes[1]}); leave scouts out"
            )
        turned = np.abs(np.subtract(header.ImageOrientationPatient, first.ImageOrientationPatient)).max()
        scaled = np.abs(np.subtract(header.PixelSpacing, first.PixelSpacing)).max()
        if turned > _SAME_DIRECTION or scaled > _SAME_DIRECTION:
            raise UserError(
                f"slices of {folder} differ in direction or pixel spacing ({slices[0][0].name}, {path.name});"
                " leave scouts and other stacks out"
            )
    normal = np.cross(*np.reshape(np.asarray(first.ImageOrientationPatient, np.float64), (2, 3)))
    return sorted(slices, key=lambda item: float(normal @ np.asarray(item[1].ImagePositionPatient, float)))


def _check_header(path: Path, header: "Dataset") -> None:
    from pydicom.pixels import get_decoder

    for tag, length in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
        values = header.get(tag)
        if values is None or np.size(values) != length:
            raise UserError(
                f"{path} has no geometry ({tag} is missing); export the original images of the scanner"
            )
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise UserError(
            f"{path} holds {header.NumberOfFrames} frames, expected single-frame files; convert it to NIfTI"
        )
    kind = header.get("PhotometricInterpretation")
    if kind not in ("MONOCHROME2", "RGB") and not str(kind).startswith("YBR"):
        raise UserError(f"{path} has pixels of the kind {kind}, expected MONOCHROME2 or RGB; convert it")
    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return
    try:
        known = get_decoder(syntax).is_available
    except NotImplementedError:
        known = False
    if not known:
        raise UserError(
            f"{path} is compressed as {syntax.name} ({syntax}), for which no decoder is installed:"
            " pip install python-gdcm, or export it uncompressed"
        )


def _affine(folder: Path, slices: "Sequence[tuple[Path, Dataset]]") -> NDArray[np.float64]:
    """From (column, row, slice) to millimetres, RAS+; sheared where the gantry was tilted."""
    if len(slices) == 1:
        raise UserError(f"{folder} holds one slice, expected two or more of one series; fuse it as a picture")
    places = np.array([header.ImagePositionPatient for _, header in slices], np.float64)
    first = slices[0][1]
    directions = np.reshape(np.asarray(first.ImageOrientationPatient, np.float64), (2, 3))
    normal = np.cross(*directions)
    gaps = np.diff(places @ normal)
    typical = float(np.median(gaps))
    levels = 1 + int(np.count_nonzero(gaps > 1e-3))
    if levels < len(slices):
        raise UserError(
            f"{folder} holds {len(slices)} slices at {levels} places: several volumes (times, echoes, 4-D);"
            " leave one volume in it"
        )
    worst = int(np.argmax(np.abs(gaps - typical)))
    if abs(gaps[worst] - typical) > UNEQUAL * typical:
        names = [slices[worst + side][0].name for side in (0, 1)]
        raise UserError(
            f"the slices of {folder} are unequally spaced: {gaps[worst]:.4g} mm from {names[0]} to"
            f" {names[1]}, elsewhere {typical:.4g} mm; add what is missing, or resample it to a NIfTI file"
        )
    step = (places[-1] - places[0]) / (len(slices) - 1)
    strayed = np.linalg.norm(places - places[0] - np.arange(len(slices))[:, None] * step, axis=1)
    if strayed.max() > ASTRAY * typical:
        name = slices[int(strayed.argmax())][0].name
        raise UserError(f"the slices of {folder} do not lie in one stack ({name}); leave other stacks out")
    affine = np.eye(4)
    down, across = map(float, first.PixelSpacing)  # between rows, between columns
    affine[:3] = np.column_stack([directions[0] * across, directions[1] * down, step, places[0]])
    return np.asarray(FLIP @ affine, np.float64)


def _pixels(path: Path) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """(H, W) float32 in the units of the scanner, or (H, W, 3) uint8; and where padding is, if any."""
    from pydicom import dcmread
    from pydicom.pixels import apply_modality_lut

    try:
        image = dcmread(path)
        stored = image.pixel_array
        if stored.ndim == 3:
            return (stored >> max(0, int(image.BitsStored) - 8)).astype(np.uint8), None
        values = apply_modality_lut(stored, image).astype(np.float32)
    except MemoryError:
        raise
    except Exception as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
        raise UserError(f"{path} cannot be decoded ({_line(error)}); copy or export it again") from error
    padding = image.get("PixelPaddingValue")
    return values, None if padding is None else stored == padding


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
