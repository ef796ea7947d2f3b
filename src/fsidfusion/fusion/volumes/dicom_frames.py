"""Frames of DICOM files: where each lies and how its pixels are read, whatever the kind of file.

Single-frame images say it in their header; enhanced multi-frame ones in functional groups; those of nuclear
medicine in the Detector Information Sequence; a dose in the Grid Frame Offset Vector.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import FusionError, InputError, MissingDependency, NotEnoughMemory, install
from fsidfusion.fusion.volumes.dicom_find import one_line
from fsidfusion.fusion.volumes.dicom_pixels import stored_samples
from fsidfusion.images.budget import DEFLATE_RATIO, check_filled, check_voxels

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

GRAY = ("MONOCHROME1", "MONOCHROME2")
_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
_NUCLEAR = "1.2.840.10008.5.1.4.1.1.20"
_UNITS = {"BQML": "Bq/ml", "CNTS": "counts", "PROPCNTS": "counts", "CPS": "counts/s"}
_CODES = {"Bq/ml": "BQML", "{SUVbw}g/ml": "GML", "g/ml{SUVbw}": "GML"}  # of real world values, in UCUM
_TIMES = (  # what tells the volumes of a 4-D series apart, in this order
    "TemporalPositionIdentifier",
    "FrameReferenceTime",
    "TriggerTime",
    "EchoTime",
    "DiffusionBValue",
    "AcquisitionNumber",
    "AcquisitionTime",
    "ContentTime",
)
_VECTORS = ("EnergyWindowVector", "DetectorVector", "RRIntervalVector", "TimeSlotVector", "TimeSliceVector")


@dataclass(frozen=True)
class Frame:
    """One slice of one file."""

    path: Path
    header: "Dataset"
    index: int | None  # of a multi-frame file
    size: tuple[int, int]  # rows, columns
    rgb: bool
    place: NDArray[np.float64]  # (3,) of the first pixel, mm, in DICOM's axes
    directions: NDArray[np.float64]  # (2, 3) along a row, along a column
    spacing: NDArray[np.float64]  # (2,) between rows, between columns, mm
    thickness: float  # mm; 1 where it is not stated
    scale: tuple[float, float] | None = None  # slope and intercept; None where the header has them
    times: tuple[Any, ...] = ()  # as _TIMES, or of the vectors and indices of a multi-frame file

    @property
    def name(self) -> str:
        """For messages."""
        return self.path.name if self.index is None else f"{self.path.name} (frame {self.index + 1})"


def frames_of(path: Path, header: "Dataset") -> list[Frame]:
    """All frames of a file.

    Raises:
        InputError: no geometry, projections, frames without places of their own, pixels of an unknown kind or
            compressed without a decoder here, or a damaged header.
    """
    try:
        kind = str(header.get("PhotometricInterpretation"))
        if kind not in (*GRAY, "RGB", "PALETTE COLOR") and not kind.startswith("YBR"):
            raise InputError(
                f"{path} has pixels of the kind {kind[:40]!r}, expected MONOCHROME or RGB; convert it"
            )
        _check_decoder(path, header.file_meta.TransferSyntaxUID)
        groups = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
        kinds = {_NUCLEAR: _nuclear, _DOSE: _dose}
        read = _enhanced if any(map(header.get, groups)) else kinds.get(str(header.get("SOPClassUID")))
        count = int(header.get("NumberOfFrames") or 1)
        if count > 1 and read is None:
            name = header.SOPClassUID.name if "SOPClassUID" in header else "unknown kind"
            raise InputError(
                f"{path} holds {count} frames without places of their own ({name}); convert it to NIfTI, or"
                " export the original images of the scanner"
            )
        _check_size(path, header)
        if read is not None:
            return read(path, header)
        return [_frame(path, header, header, header, header, times=_values(header, _TIMES))]
    except FusionError:
        raise
    except Exception as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
        raise InputError(f"{path} is damaged ({one_line(error)}); copy or export it again") from error


def stated_unit(header: "Dataset") -> str:
    """The unit of the pixels as it is written here: HU, Bq/ml, SUVbw, Gy, another one, or empty."""
    if str(header.get("Modality")) == "CT":
        return "HU" if str(header.get("RescaleType") or "HU") in ("HU", "US") else ""
    if str(header.get("SOPClassUID")) == _DOSE:
        return "Gy" if str(header.get("DoseUnits")) == "GY" else ""
    units = str(header.get("Units") or "") or _mapped_unit(header)
    if units == "GML" and str(header.get("SUVType") or "BW") == "BW":
        return "SUVbw"
    return _UNITS.get(units, units.lower())


def _mapped_unit(header: "Dataset") -> str:
    """The unit of an enhanced PET, which its real world values have, as others state it."""
    shared = (header.get("SharedFunctionalGroupsSequence") or [{}])[0]
    first = (header.get("PerFrameFunctionalGroupsSequence") or [{}])[0]
    mapping = first.get("RealWorldValueMappingSequence") or shared.get("RealWorldValueMappingSequence")
    codes = mapping[0].get("MeasurementUnitsCodeSequence") if mapping else None
    return _CODES.get(str(codes[0].get("CodeValue")), "") if codes else ""


def read_frames(frames: Sequence[Frame]) -> list[tuple[NDArray[Any], NDArray[np.bool_] | None]]:
    """The pixels of frames of one file, which is decoded once.

    Returns:
        for each (rows, columns) float32 in the unit of the scanner, or (rows, columns, 3) uint8, and where
        padding is, if any.

    Raises:
        InputError: it cannot be decoded.
    """
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    first = frames[0]
    image = first.header
    try:
        stored = stored_samples(first.path, image)
        palette = str(image.PhotometricInterpretation) == "PALETTE COLOR"
        if palette:
            stored = apply_color_lut(stored, image)
        shape = (*first.size, 3) if first.rgb else first.size
        result: list[tuple[NDArray[Any], NDArray[np.bool_] | None]] = []
        for frame in frames:
            many = stored.ndim == len(shape) + 1
            pixels = stored[frame.index or 0] if many else stored
            if pixels.shape != shape:
                raise ValueError(f"it holds {stored.shape} samples")
            if frame.rgb:
                excess = 8 * stored.itemsize if palette else int(image.BitsStored)
                result.append(((pixels >> max(0, excess - 8)).astype(np.uint8), None))
                continue
            pixels = _stored_values(pixels, image)
            if frame.scale is None:
                values = apply_modality_lut(pixels, image).astype(np.float32)
            else:
                values = pixels.astype(np.float32) * np.float32(frame.scale[0]) + np.float32(frame.scale[1])
            result.append((values, _padding(pixels, image)))
    except MemoryError as error:
        raise NotEnoughMemory(
            f"{first.path} does not fit into the memory; fuse a part of it, or on a larger machine"
        ) from error
    except Exception as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
        raise InputError(
            f"{first.path} cannot be decoded ({one_line(error)}); copy or export it again"
        ) from error
    return result


def is_inverted(header: "Dataset") -> bool:
    """Whether stored values fall as brightness grows; those in Hounsfield units mean what they say."""
    return str(header.get("PhotometricInterpretation")) == "MONOCHROME1" and stated_unit(header) != "HU"


def _stored_values(pixels: NDArray[Any], image: "Dataset") -> NDArray[Any]:
    """Stored values without what old writers keep in unused high bits; MONOCHROME1 turned about."""
    bits = int(image.BitsStored)
    signed = int(image.PixelRepresentation) == 1
    if bits < 8 * pixels.itemsize and not signed:
        pixels = pixels & np.array((1 << bits) - 1, pixels.dtype)
    if is_inverted(image):
        pixels = (-1 if signed else (1 << bits) - 1) - pixels.astype(np.int64)
    return pixels


def _padding(pixels: NDArray[Any], image: "Dataset") -> NDArray[np.bool_] | None:
    """Where values are the padding value, or between it and the limit of its range."""
    value, limit = image.get("PixelPaddingValue"), image.get("PixelPaddingRangeLimit")
    if value is None:
        return None
    low, high = sorted((int(value), int(value if limit is None else limit)))
    return np.asarray((pixels >= low) & (pixels <= high))


def _frame(
    path: Path,
    header: "Dataset",
    position: Any,
    orientation: Any,
    measures: Any,
    index: int | None = None,
    scale: tuple[float, float] | None = None,
    times: tuple[Any, ...] = (),
) -> Frame:
    """A frame whose place is told by up to three data sets."""
    geometry = []
    for source, tag, length in (
        (position, "ImagePositionPatient", 3),
        (orientation, "ImageOrientationPatient", 6),
        (measures, "PixelSpacing", 2),
    ):
        values = None if source is None else source.get(tag)
        if values is None or np.size(values) != length:
            raise InputError(
                f"{path} has no geometry ({tag} is missing); export the original images of the scanner"
            )
        geometry.append(np.asarray(values, np.float64))
    place, directions, spacing = geometry
    gap = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 1.0
    rgb = str(header.PhotometricInterpretation) not in GRAY
    size = int(header.Rows), int(header.Columns)
    thickness = abs(float(gap)) or 1.0
    return Frame(
        path, header, index, size, rgb, place, directions.reshape(2, 3), spacing, thickness, scale, times
    )


def _enhanced(path: Path, header: "Dataset") -> list[Frame]:
    """Functional groups, of each frame or shared by all."""
    shared = (header.get("SharedFunctionalGroupsSequence") or [{}])[0]
    groups = header.get("PerFrameFunctionalGroupsSequence") or []
    frames = []
    for index, group in enumerate(groups):

        def find(name: str, group: Any = group) -> Any:
            sequence = group.get(name) or shared.get(name)
            return sequence[0] if sequence else None

        values, content, echo = map(
            find, ("PixelValueTransformationSequence", "FrameContentSequence", "MREchoSequence")
        )
        diffusion = find("MRDiffusionSequence")
        slope = None
        mapped = find("RealWorldValueMappingSequence")
        if values is None and mapped is not None and "RealWorldValueSlope" in mapped:
            slope = float(mapped.RealWorldValueSlope), float(mapped.get("RealWorldValueIntercept") or 0)
        if values is not None and "RescaleSlope" in values:
            slope = float(values.RescaleSlope), float(values.get("RescaleIntercept") or 0)
        times = (
            content and content.get("TemporalPositionIndex"),
            echo and echo.get("EffectiveEchoTime"),
            diffusion and diffusion.get("DiffusionBValue"),
            content and content.get("FrameReferenceDateTime"),
            content and content.get("FrameAcquisitionNumber"),
        )
        position, orientation = find("PlanePositionSequence"), find("PlaneOrientationSequence")
        measures = find("PixelMeasuresSequence")
        frames.append(_frame(path, header, position, orientation, measures, index, slope, times))
    return frames


def _nuclear(path: Path, header: "Dataset") -> list[Frame]:
    """A reconstruction of nuclear medicine; slices follow each other from the place of the first."""
    kind = [str(word) for word in header.get("ImageType") or ()]
    if "TOMO" in kind and "RECON TOMO" not in kind:
        raise InputError(f"{path} holds projections (TOMO), no slices; give the reconstruction")
    detectors = header.get("DetectorInformationSequence") or [header]
    first = detectors[0] if "ImagePositionPatient" in detectors[0] else header
    count = int(header.get("NumberOfFrames") or 1)
    slices = np.atleast_1d(header.get("SliceVector") or np.arange(1, count + 1))
    gap = float(header.get("SpacingBetweenSlices") or header.get("SliceThickness") or 0)
    if len(slices) != count or (count > 1 and not gap):
        raise InputError(f"{path} does not say where its {count} frames lie; export the original images")
    vectors = [np.atleast_1d(header.get(name) or 0) for name in _VECTORS]
    times = [tuple(int(v[k]) if len(v) == count else 0 for v in vectors) for k in range(count)]
    start = _frame(path, header, first, first, header, index=0)
    normal = np.cross(*start.directions)
    return [
        Frame(
            path,
            header,
            k if count > 1 else None,
            start.size,
            start.rgb,
            start.place + (int(slices[k]) - 1) * gap * normal,
            start.directions,
            start.spacing,
            start.thickness,
            None,
            times[k],
        )
        for k in range(count)
    ]


def _dose(path: Path, header: "Dataset") -> list[Frame]:
    """Planes of a dose, at offsets from the first or, in axial planes, at their places along z."""
    count = int(header.get("NumberOfFrames") or 1)
    offsets = np.atleast_1d(np.asarray(header.get("GridFrameOffsetVector") or [0.0], np.float64))
    if len(offsets) != count:
        raise InputError(f"{path} gives {len(offsets)} offsets for {count} planes of dose; export it again")
    start = _frame(path, header, header, header, header)
    if offsets[0] != 0:
        offsets = offsets - offsets[0]
    normal = np.cross(*start.directions)
    thickness = float(np.median(np.abs(np.diff(offsets)))) if count > 1 else start.thickness
    scale = float(header.get("DoseGridScaling") or 1), 0.0
    return [
        Frame(
            path,
            header,
            k if count > 1 else None,
            start.size,
            start.rgb,
            start.place + offsets[k] * normal,
            start.directions,
            start.spacing,
            thickness or 1.0,
            scale,
        )
        for k in range(count)
    ]


def _values(header: "Dataset", names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(header.get(name) for name in names)


def _check_size(path: Path, header: "Dataset") -> None:
    """Refuse pixels that are over the budget, or that the file cannot hold."""
    shape = int(header.Rows), int(header.Columns), int(header.get("NumberOfFrames") or 1)
    if min(shape) < 1:
        raise ValueError(f"it claims {shape[1]}x{shape[0]} pixels in {shape[2]} frames")
    check_voxels(shape, str(path))
    bits = int(header.get("BitsAllocated") or 1) * int(header.get("SamplesPerPixel") or 1)
    syntax = header.file_meta.TransferSyntaxUID
    packed = syntax.is_compressed or syntax.is_deflated
    check_filled(math.prod(shape) * bits // 8, path.stat().st_size, DEFLATE_RATIO if packed else 1)


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
            f" {install('medical')}, or export it uncompressed"
        )
