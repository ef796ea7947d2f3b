"""Standardised uptake values, against the definition worked out by hand."""

import numpy as np
import pytest

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.dicom import read_series
from fsidfusion.fusion.volumes.suv import to_suv
from volume_files import head, item, write_dicom_series

AGENT = {
    "RadionuclideTotalDose": 370e6,
    "RadionuclideHalfLife": 6586.2,
    "RadiopharmaceuticalStartTime": "100000.000000",
}
TAGS = {
    "Modality": "PT",
    "Units": "BQML",
    "PatientWeight": 70,
    "DecayCorrection": "START",
    "SeriesDate": "20240102",
    "SeriesTime": "110000",
}


def pet(tmp_path, agent=AGENT, **tags):
    sequence = [] if agent is None else [item(**agent)]
    attributes = {**TAGS, **tags, "RadiopharmaceuticalInformationSequence": sequence}
    given = {name: value for name, value in attributes.items() if value is not None}
    return read_series(write_dicom_series(tmp_path / "pet", head((6, 5, 4), high=20000), **given))


def test_an_hour_after_the_injection(tmp_path):
    volume = pet(tmp_path)
    converted = to_suv(volume)
    factor = 70_000 / (370e6 * 2 ** (-3600 / 6586.2))
    assert np.allclose(converted.voxels, volume.voxels * factor)
    assert converted.unit == "SUVbw" and to_suv(converted) is converted


@pytest.mark.parametrize(
    ("tags", "agent", "hours"),
    [
        ({"DecayCorrection": "ADMIN"}, {}, 0),
        ({"SeriesTime": "003000"}, {"RadiopharmaceuticalStartTime": "233000"}, 1),  # over midnight
        ({}, {"RadiopharmaceuticalStartDateTime": "20240102103000.5+0100"}, 0.5 - 0.5 / 3600),
        ({"SeriesTime": "170000", "AcquisitionTime": "110000"}, {}, 1),  # reconstructed again at five
    ],
)
def test_when_it_was_injected(tmp_path, tags, agent, hours):
    volume = pet(tmp_path, {**AGENT, **agent}, **tags)
    factor = 70_000 / (370e6 * 2 ** (-3600 * hours / 6586.2))
    assert np.allclose(to_suv(volume).voxels, volume.voxels * factor, rtol=1e-5)


@pytest.mark.parametrize(
    ("tags", "agent", "message"),
    [
        ({"PatientWeight": None}, AGENT, "states no Patient's Weight; `unit` SUV needs it"),
        (
            {},
            None,
            "no Radionuclide Total Dose, no Radionuclide Half Life, no Radiopharm",
        ),
        ({"DecayCorrection": None}, AGENT, "no Decay Correction START or ADMIN"),
        ({"Units": "CNTS"}, AGENT, "is in CNTS, expected BQML"),
        ({"PatientWeight": -70}, AGENT, "not positive"),
    ],
)
def test_what_is_missing_is_named(tmp_path, tags, agent, message):
    with pytest.raises(InputError, match=message):
        to_suv(pet(tmp_path, agent, **tags))
