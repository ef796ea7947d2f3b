"""What is in a folder of DICOM files: each series in one line, and how it is named to be taken."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import FusionError, MissingDependency, install, is_installed
from fsidfusion.fusion.volumes.dicom_find import ROLES, Series, list_series
from fsidfusion.fusion.volumes.dicom_frames import Frame, frames_of

SHORTEST = 6  # characters of the ending of a UID that is shown
TILTED = 5.0  # degrees between a plane and the axes of the patient from which they are said
_PLANES = ("sagittal", "coronal", "axial")  # by the axis nearest to the normal
_NEAR = 1e-3  # mm between slices at one place


@dataclass(frozen=True)
class Listed:
    """A series as a person chooses it."""

    ending: str  # of its UID, which `series` takes: no other series here ends so
    number: str
    modality: str  # the tag
    role: str  # the input it is for: mri, ct, pet, spect, dose; empty for none
    description: str
    slices: int  # places; files or frames where they have none
    volumes: int  # at each place: times, echoes
    plane: str
    spacing: str  # mm: columns x rows x slices
    folder: str  # of its first file
    problem: str = ""  # why it cannot be read, where that can be told from the headers
    uid: str = ""

    def record(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


HEADS = ("series", "number", "modality", "slices", "plane", "spacing mm", "description", "folder")


def describe_series(path: Path) -> list[Listed]:
    """All series of images below a folder, of a file, or of a DICOMDIR, in the order of their numbers.

    Raises:
        InputError: no DICOM images, or a damaged file.
        MissingDependency: pydicom is not installed.
    """
    if not is_installed("pydicom"):
        raise MissingDependency(f"series need pydicom: {install('medical')}")
    found = list_series(path)
    endings = shortest_endings([one.uid for one in found])
    root = path if path.is_dir() else path.parent
    listed = [_describe(one, ending, root) for one, ending in zip(found, endings)]
    return sorted(listed, key=lambda one: (not one.number.isdigit(), one.number.zfill(9), one.uid))


def shortest_endings(uids: Sequence[str]) -> list[str]:
    """Of each the shortest ending, of at least SHORTEST characters, that no other has."""
    result = []
    for uid in uids:
        length = SHORTEST
        while length < len(uid) and sum(other.endswith(uid[-length:]) for other in uids) > 1:
            length += 1
        result.append(uid[-length:])
    return result


def to_rows(listed: Sequence[Listed]) -> list[tuple[str, ...]]:
    """Cells for HEADS."""
    rows: list[tuple[str, ...]] = []
    for one in listed:
        kind = f"{one.modality} (--{one.role})" if one.role else one.modality or "none"
        count = f"{one.slices} x {one.volumes}" if one.volumes > 1 else str(one.slices)
        text = "; ".join(part for part in (one.description or "none", one.problem) if part)
        rows.append((one.ending, one.number or "none", kind, count, one.plane, one.spacing, text, one.folder))
    return rows


def _describe(series: Series, ending: str, root: Path) -> Listed:
    first_path, first = series.images[0]
    folder = first_path.parent
    place = str(folder.relative_to(root)) if folder.is_relative_to(root) else str(folder)
    slices, volumes, plane, spacing, problem = len(series.images), 1, "unknown", "unknown", ""
    try:
        frames = [frame for image in series.images for frame in frames_of(*image)]
        slices, volumes, plane, spacing = _geometry(frames)
        if len(frames) != slices * volumes or len({frame.size for frame in frames}) > 1:
            problem = f"{len(frames)} images of several stacks, or of volumes that are not all whole"
    except FusionError as error:
        problem = str(error).removeprefix(f"{first_path} ")
    return Listed(
        ending,
        str(first.get("SeriesNumber") or ""),
        series.modality,
        ROLES.get(series.modality, ""),
        " ".join(str(first.get("SeriesDescription") or "").split()),
        slices,
        volumes,
        plane,
        spacing,
        place,
        problem,
        series.uid,
    )


def _geometry(frames: Sequence[Frame]) -> tuple[int, int, str, str]:
    """Places, volumes at each, the plane, and the spacing of a stack."""
    first = frames[0]
    normal: NDArray[np.float64] = np.cross(*first.directions)
    heights = np.sort([float(normal @ frame.place) for frame in frames])
    gaps = np.diff(heights)
    places = 1 + int(np.count_nonzero(gaps > _NEAR))
    gap = float(np.median(gaps[gaps > _NEAR])) if places > 1 else first.thickness
    axis = int(np.argmax(np.abs(normal)))
    tilt = float(np.degrees(np.arccos(min(1.0, abs(float(normal[axis]))))))
    plane = _PLANES[axis] + (f", tilted {tilt:.0f}°" if tilt > TILTED else "")
    steps = (first.spacing[1], first.spacing[0], gap)
    return places, max(1, len(frames) // places), plane, "x".join(f"{step:.3g}" for step in steps)
