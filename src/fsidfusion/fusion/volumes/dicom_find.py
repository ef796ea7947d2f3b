"""DICOM files below a folder: which series are there, and the one that is meant."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.windows import Modality
from fsidfusion.images.budget import MAX_INFLATED, inflated_size
from fsidfusion.images.encode import READABLE

if TYPE_CHECKING:
    from pydicom import Dataset

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
ROLES: dict[str, Modality] = {  # of modalities, as DICOM names them
    "MR": "mri",
    "CT": "ct",
    "PT": "pet",
    "NM": "spect",
    "ST": "spect",
    "RTDOSE": "dose",
}
_META = 132 + 12  # bytes before the group of meta information that its length counts
_LISTED = ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality", "SOPInstanceUID")
_FIRST_TAGS = tuple(  # little-endian, of data sets without a preamble
    bytes((group, 0, element, 0))
    for group, element in ((8, 0), (8, 1), (8, 5), (8, 8), (8, 0x12), (8, 0x16), (8, 0x18), (2, 0))
)


@dataclass(frozen=True)
class Series:
    """The images of one series, each once."""

    uid: str
    images: "tuple[tuple[Path, Dataset], ...]"  # files and their data sets without pixels
    note: str = ""  # why it was taken, where there was a choice

    @property
    def modality(self) -> str:
        """The tag, such as MR."""
        return str(self.images[0][1].get("Modality") or "")

    def __str__(self) -> str:
        first = self.images[0][1]
        text = " ".join(f"{self.modality} {first.get('SeriesDescription') or ''}".split()) or "no description"
        count = len(self.images)
        files = "1 file" if count == 1 else f"{count} files"
        return f"{self.uid} (number {first.get('SeriesNumber') or 'none'}, {text}, {files})"


def holds_dicom(folder: Path) -> bool:
    """Whether a folder or one below it holds DICOM files, told by their content."""
    return any(is_dicom(path) for path in _files(folder))


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: by its preamble, or, without one, by the first element of its data set."""
    if path.suffix.lower() in READABLE or not path.is_file():
        return False
    with path.open("rb") as stream:
        start = stream.read(132)
    return start[128:] == b"DICM" or (start[:4] in _FIRST_TAGS and len(start) == 132)


def list_series(path: Path) -> list[Series]:
    """All series of images in a folder and those below it, or of one file; a DICOMDIR stands for its folder.

    Files that are not DICOM are passed over, and so are copies of an image (equal SOP Instance UIDs).

    Raises:
        InputError: a file whose header is damaged, or no images.
    """
    from pydicom.uid import MediaStorageDirectoryStorage

    if path.is_file() and path.name.upper() == "DICOMDIR":
        path = path.parent
    groups: dict[str, dict[str, tuple[Path, Dataset]]] = {}
    for file in _files(path) if path.is_dir() else [path]:
        if not is_dicom(file):
            continue
        header = read_header(file)
        kind = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
        if kind == MediaStorageDirectoryStorage:
            continue
        if "SeriesInstanceUID" not in header:
            raise InputError(f"{file} is damaged (its header is cut short); copy or export it again")
        if "Rows" in header:  # a report or a set of structures has none
            instance = str(header.get("SOPInstanceUID") or file)
            groups.setdefault(str(header.SeriesInstanceUID), {}).setdefault(instance, (file, header))
    if not groups:
        raise InputError(f"{path} holds no DICOM images; give the folder of one series")
    return [Series(uid, tuple(images.values())) for uid, images in groups.items()]


def read_header(path: Path) -> "Dataset":
    """The data set of a file without its pixels.

    Raises:
        InputError: it is damaged.
    """
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    try:
        _check_inflated(path)
        header = dcmread(path, stop_before_pixels=True, force=True)
        if "TransferSyntaxUID" not in header.file_meta:  # a bare data set, as some archives write
            implicit = header.original_encoding[0]
            header.file_meta.TransferSyntaxUID = (
                ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            )
        for name in (*_LISTED, *PATIENT, *OPTIONAL):
            header.get(name)  # values are decoded when they are first asked for
        header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    except Exception as error:  # an untrusted file: whatever its decoder raises, the file is what is wrong
        raise InputError(f"{path} is damaged ({one_line(error)}); copy or export it again") from error
    return header


def _check_inflated(path: Path) -> None:
    """Refuse a file that is packed as a whole and unpacks to more than any; pydicom would take all of it."""
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    with path.open("rb") as stream:
        if stream.read(132)[128:] != b"DICM":
            return
        meta = read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        stream.seek(_META + int(meta.FileMetaInformationGroupLength))
        if inflated_size(iter(lambda: stream.read(1 << 20), b""), MAX_INFLATED, -15) > MAX_INFLATED:
            raise ValueError(f"it unpacks to over {MAX_INFLATED >> 20} MiB")


def choose_series(path: Path, found: Sequence[Series], series: str | None, role: str | None = None) -> Series:
    """The one series of a folder, the one that is named, or the only one of the modality that is asked for.

    Args:
        path: for messages.
        found: one or more.
        series: the UID, its ending, or the number of the one to take.
        role: ``mri``, ``ct``, ``pet``, ``spect`` or ``dose``, which decides where one series is of it.

    Raises:
        InputError: several series, each is listed, or none that ``series`` names.
    """
    listed = "; ".join(map(str, found))
    if series is not None:
        exact = [one for one in found if one.uid == series]
        ending = [
            one
            for one in found
            if one.uid.endswith(series) or str(one.images[0][1].get("SeriesNumber")) == series
        ]
        if not exact and len(ending) != 1 and len(found) > 1:
            raise InputError(
                f"`series` {series} names {len(ending)} of the {len(found)} series in {path}: {listed};"
                " give the UID of one"
            )
        return (exact or ending or found)[0]
    if len(found) == 1:
        return found[0]
    fitting = [one for one in found if ROLES.get(one.modality) == role]
    if role is None or len(fitting) != 1:
        raise InputError(f"{path} holds {len(found)} series: {listed}; choose one with `series` UID")
    note = f"of the {len(found)} series in {path} the one of modality {fitting[0].modality} is taken"
    return Series(fitting[0].uid, fitting[0].images, note)


def one_line(error: BaseException) -> str:
    """What an error says, for a message of one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(place) / name for name in sorted(names))
