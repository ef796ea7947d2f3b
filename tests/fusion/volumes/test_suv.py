"""Standardised uptake values, against the definition worked out by hand."""

import numpy as np
import pytest
from pydicom import dcmread

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.dicom import read_series
from fsidfusion.fusion.volumes.suv import to_suv
from volume_files import head, item, write_dicom_series, write_enhanced

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


def philips(tmp_path, maker="Philips PET Private Group", **factors):
    """Counts of a Philips scanner; its private elements are of unknown type, as in implicit files."""
    folder = write_dicom_series(
        tmp_path / "pet",
        head((6, 5, 4), high=2000),
        **{**TAGS, "Units": "CNTS"},
        RadiopharmaceuticalInformationSequence=[item(**AGENT)],
    )
    for path in folder.iterdir():
        image = dcmread(path)
        image.add_new((0x7053, 0x0010), "LO", maker)
        for element, factor in factors.items():
            image.add_new((0x7053, int(element[1:], 16)), "UN", f"{factor} ".encode())
        image.save_as(path)
    return read_series(folder)


def test_counts_of_philips_with_a_factor_for_suv(tmp_path):
    volume = philips(tmp_path, x1000=0.000551, x1009=1.7)
    converted = to_suv(volume)
    assert volume.unit == "counts" and converted.unit == "SUVbw"
    assert np.allclose(converted.voxels, volume.voxels * 0.000551)


def test_counts_of_philips_with_a_factor_for_activity(tmp_path):
    volume = philips(tmp_path, x1000=0.0, x1009=1.7)
    factor = 1.7 * 70_000 / (370e6 * 2 ** (-3600 / 6586.2))
    assert np.allclose(to_suv(volume).voxels, volume.voxels * factor)


@pytest.mark.parametrize(
    "factors", [{}, {"x1000": 0}, {"x1000": "nan"}, {"x1000": "many"}, {"maker": "ACME", "x1000": 0.5}]
)
def test_counts_without_a_factor(tmp_path, factors):
    with pytest.raises(InputError, match="pet is in CNTS, expected BQML for `unit` SUV"):
        to_suv(philips(tmp_path, **factors))


def test_in_grams_per_millilitre_already(tmp_path):
    volume = pet(tmp_path, None, Units="GML", SUVType=None)
    assert volume.unit == "SUVbw" and to_suv(volume) is volume
    lean = pet(tmp_path / "lean", None, Units="GML", SUVType="LBM")
    with pytest.raises(InputError, match="is in GML, expected BQML"):
        to_suv(lean)


@pytest.mark.parametrize("unit", ["Bq/ml", "{SUVbw}g/ml"])
def test_an_enhanced_pet(tmp_path, unit):
    """Its unit is that of its real world values, and its decay is corrected to a moment it states."""
    volume = head((6, 5, 4), high=20000)
    path = write_enhanced(tmp_path / "e.dcm", volume)
    image = dcmread(path)
    image.SOPClassUID, image.Modality, image.PatientWeight = "1.2.840.10008.5.1.4.1.1.130", "PT", 70
    image.DecayCorrected, image.DecayCorrectionDateTime = "YES", "20240102110000"
    agent = {**AGENT, "RadiopharmaceuticalStartDateTime": "20240102100000"}
    image.RadiopharmaceuticalInformationSequence = [item(**agent)]
    shared = image.SharedFunctionalGroupsSequence[0]
    del shared.PixelValueTransformationSequence
    code = item(CodeValue=unit, CodingSchemeDesignator="UCUM", CodeMeaning=unit)
    shared.RealWorldValueMappingSequence = [
        item(RealWorldValueSlope=0.5, RealWorldValueIntercept=0, MeasurementUnitsCodeSequence=[code])
    ]
    image.save_as(path)
    read = read_series(path, role="pet")
    assert np.allclose(read.voxels, np.rint(volume.voxels) * 0.5)
    factor = 70_000 / (370e6 * 2 ** (-3600 / 6586.2)) if unit == "Bq/ml" else 1
    converted = to_suv(read)
    assert converted.unit == "SUVbw" and np.allclose(converted.voxels, read.voxels * factor, rtol=1e-5)
