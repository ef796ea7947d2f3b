"""Whether two volumes may belong together: one patient, the modalities asked for, one frame of reference."""

from typing import Any

import numpy as np

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.dicom_find import ROLES
from fsidfusion.fusion.volumes.grid import Volume
from fsidfusion.fusion.volumes.windows import Modality, is_hounsfield

_IDENTITY = {
    "PatientID": "number",
    "PatientName": "name",
    "PatientBirthDate": "birth date",
    "PatientSex": "sex",
}


def cross_check(base: Volume, other: Volume, base_modality: Modality, modality: Modality) -> list[str]:
    """Notes on what speaks against fusing two volumes, one line each."""
    notes = []
    differing = differing_identity(base, other)
    if differing:
        notes.append(
            f"{base.name} and {other.name} are of two patients by their headers ({', '.join(differing)}"
            " differ): check what is fused"
        )
    for volume, role in ((base, base_modality), (other, modality)):
        notes += _role(volume, role)
    frames = {_text(volume, "FrameOfReferenceUID") for volume in (base, other)} - {""}
    if len(frames) > 1:
        notes.append(
            "the two series have different frames of reference, and nothing is registered: look whether they"
            " lie on each other (`register`)"
        )
    return notes


def differing_identity(base: Volume, other: Volume) -> list[str]:
    """What the headers of two DICOM series say differently of the patient: number, name, birth date, sex."""
    result = []
    for tag, word in _IDENTITY.items():
        first, second = (_text(volume, tag).upper().replace("^", " ").split() for volume in (base, other))
        if first and second and first != second:
            result.append(word)
    return result


def check_one_patient(base: Volume, other: Volume) -> None:
    """Check that the patient of the base may be written into a result.

    Raises:
        InputError: the other series is of another patient.
    """
    differing = differing_identity(base, other)
    if differing:
        raise InputError(
            f"{base.name} and {other.name} are of two patients by their headers ({', '.join(differing)}"
            " differ); `keep_patient` is refused: leave it out, or correct the headers"
        )


def _role(volume: Volume, role: Modality) -> list[str]:
    """A note where the modality of a series, or its values, are not those of its role."""
    told = _text(volume, "Modality")
    if told in ROLES and ROLES[told] != role and not (told == "PT" and role == "spect"):
        return [f"{volume.name} is given as {role.upper()}, but its modality is {told}"]
    hounsfield = told not in ROLES and role != "ct" and not volume.is_rgb and is_hounsfield(volume)
    if hounsfield and float(np.median(volume.voxels)) < -500 and float(volume.voxels.min()) >= -3100:
        return [
            f"{volume.name} is given as {role.upper()}, but its values look like a CT in Hounsfield units"
        ]
    return []


def _text(volume: Volume, tag: str) -> str:
    header: Any = volume.header
    return str(getattr(header, tag, "") or "") if hasattr(header, "SOPClassUID") else ""
