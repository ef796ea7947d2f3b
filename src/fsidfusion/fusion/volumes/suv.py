"""Standardised uptake values of PET series."""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.grid import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

SUV = "SUVbw"
_PHILIPS, _SUV_FACTOR, _ACTIVITY_FACTOR = 0x7053, 0x1000, 0x1009  # of "Philips PET Private Group"


def to_suv(volume: Volume) -> Volume:
    """A PET in SUV by body weight: activity in Bq/ml times weight in g over the injected dose in Bq, decayed.

    With Decay Correction START the dose is decayed from its injection to the start of the series, with ADMIN
    it is taken as it is (PS3.3 C.8.9.1). Series that are in g/ml already are left as they are. Counts of
    Philips scanners are taken times the factor that their private elements state for SUV or for activity. An
    enhanced PET says itself when its decay is corrected to.

    Raises:
        InputError: what is missing for it, each by its name.
    """
    header = volume.header
    if volume.unit == SUV:
        return volume
    if not hasattr(header, "SeriesInstanceUID"):
        raise InputError(
            f"{volume.name} is no DICOM series, so its header holds no dose for `unit` SUV; leave it out"
        )
    if volume.unit == "counts":
        volume = _philips(volume)
        if volume.unit == SUV:
            return volume
    if volume.unit != "Bq/ml":
        raise InputError(
            f"{volume.name} is in {header.get('Units') or 'no unit'}, expected BQML for `unit` SUV; leave it"
            " out"
        )
    factor = _factor(volume.name, header)
    return Volume(
        volume.name, volume.voxels * factor, volume.affine, header, SUV, volume.notes, volume.images
    )


def _philips(volume: Volume) -> Volume:
    """Counts with private factors as SUV or Bq/ml; others as they are."""
    for element, unit in ((_SUV_FACTOR, SUV), (_ACTIVITY_FACTOR, "Bq/ml")):
        factors = {_private(header, element) for header in volume.images or (volume.header,)}
        if len(factors) > 1:
            raise InputError(
                f"the slices of {volume.name} state {len(factors)} factors for {unit}; export it again"
            )
        factor = factors.pop()
        if factor > 0:
            return replace(volume, voxels=volume.voxels * np.float32(factor), unit=unit)
    return volume


def _private(header: "Dataset", element: int) -> float:
    """A number of Philips' private group, whose type may not be known here; 0 where there is none."""
    maker = header.get((_PHILIPS, 0x0010))
    found = header.get((_PHILIPS, element))
    if maker is None or "philips" not in _text(maker.value).lower() or found is None:
        return 0.0
    try:
        factor = float(_text(found.value).split("\\")[0])
    except ValueError:
        return 0.0
    return factor if math.isfinite(factor) else 0.0


def _text(value: object) -> str:
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip(" \0")


def _factor(name: str, header: "Dataset") -> float:
    agents = header.get("RadiopharmaceuticalInformationSequence") or [None]
    agent = agents[0]
    decayed = str(header.get("DecayCorrection", "")).upper()
    moment = str(header.get("DecayCorrectionDateTime") or "")  # of an enhanced PET
    if moment and str(header.get("DecayCorrected", "")).upper() == "YES":
        decayed = "START"
    values = {
        "Patient's Weight": header.get("PatientWeight"),
        "Radionuclide Total Dose": agent and agent.get("RadionuclideTotalDose"),
        "Decay Correction START or ADMIN": decayed if decayed in ("START", "ADMIN") else None,
    }
    injected = started = None
    if decayed == "START":
        values["Radionuclide Half Life"] = agent and agent.get("RadionuclideHalfLife")
        injected, started = _injection(header, agent), _moment(moment) or _start(header)
        values["Radiopharmaceutical Start Time"] = injected
        values["Series Time"] = started
    missing = [label for label, value in values.items() if not value]
    if missing:
        raise InputError(f"{name} states no {', no '.join(missing)}; `unit` SUV needs it: leave it out")
    dose = float(values["Radionuclide Total Dose"])
    weight = 1000 * float(values["Patient's Weight"])
    if injected is not None and started is not None:
        waited = (started - injected).total_seconds()
        if waited < 0:  # only times are given, and midnight lay between
            waited += 86400
        if not 0 <= waited < 86400:
            raise InputError(
                f"{name} was injected {waited / 3600:.1f} h before the scan; leave out `unit` SUV"
            )
        dose *= math.exp2(-waited / float(values["Radionuclide Half Life"]))
    if not (dose > 0 and weight > 0):
        raise InputError(f"{name} states a dose or a weight that is not positive; leave out `unit` SUV")
    return weight / dose


def _injection(header: "Dataset", agent: "Dataset | None") -> datetime | None:
    if agent is None:
        return None
    whole = _moment(str(agent.get("RadiopharmaceuticalStartDateTime") or ""))
    if whole is not None:
        return whole
    time = str(agent.get("RadiopharmaceuticalStartTime") or "")
    day = str(header.get("SeriesDate") or header.get("StudyDate") or "20000101")
    return _moment(day + time) if time else None


def _start(header: "Dataset") -> datetime | None:
    """When the series began; not when it was reconstructed anew, which some scanners write there."""
    day = str(header.get("SeriesDate") or header.get("StudyDate") or "20000101")
    series = _moment(day + str(header.get("SeriesTime") or header.get("StudyTime") or ""))
    taken = str(header.get("AcquisitionTime") or "")
    scan = _moment(str(header.get("AcquisitionDate") or day) + taken) if taken else None
    if series is not None and scan is not None and series > scan:
        return scan
    return series or scan


def _moment(text: str) -> datetime | None:
    """YYYYMMDDHHMM[SS[.F]], with anything after the fraction left out."""
    digits, _, fraction = text.partition(".")
    digits = digits[:14]
    if len(digits) < 12 or not digits.isdigit():
        return None
    seconds = float(f"0.{''.join(c for c in fraction[:6] if c.isdigit()) or 0}") if len(digits) == 14 else 0.0
    try:
        return datetime.strptime(digits[:12], "%Y%m%d%H%M") + timedelta(
            seconds=seconds + (int(digits[12:14]) if len(digits) == 14 else 0)
        )
    except ValueError:
        return None
