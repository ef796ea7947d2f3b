"""The list of series that a person chooses from, and that what it names is what is read."""

import json

import numpy as np
import pytest

from fsidfusion.cli import main
from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.dicom import read_series
from fsidfusion.fusion.volumes.listing import describe_series, shortest_endings
from volume_files import head, oblique, write_dicom_series, write_enhanced

SAGITTAL = np.array([[0.0, 0, 3, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


@pytest.fixture
def study(tmp_path):
    """Nested folders with a sagittal MR, an oblique CT, a broken series, and a multi-frame image."""
    write_dicom_series(tmp_path / "a" / "mr", head((9, 8, 5), SAGITTAL), series="1.2.3.10", SeriesNumber=12)
    write_dicom_series(
        tmp_path / "b",
        head((7, 6, 4), oblique()),
        series="1.2.4.10",
        SeriesNumber=2,
        SeriesDescription="bone",
        Modality="CT",
    )
    write_dicom_series(
        tmp_path / "c", head((7, 6, 4)), series="1.2.5", Modality="PT", ImageOrientationPatient=None
    )
    write_enhanced(tmp_path / "d" / "e.dcm", head((6, 5, 4)), repeats=3)
    return tmp_path


def test_series_are_told_apart(study):
    enhanced, bone, broken, mr = describe_series(study)
    assert (mr.number, mr.modality, mr.role, mr.description) == ("12", "MR", "mri", "t1")
    assert (mr.slices, mr.volumes, mr.plane, mr.spacing, mr.folder) == (5, 1, "sagittal", "1x1x3", "a/mr")
    assert (bone.slices, bone.spacing, bone.role, bone.folder) == (4, "1x1.2x2.5", "ct", "b")
    assert bone.plane.startswith("axial, tilted ") and bone.description == "bone"
    assert (enhanced.slices, enhanced.volumes, enhanced.plane) == (4, 3, "axial")
    assert broken.plane == "unknown" and "no geometry (ImageOrientationPatient is missing)" in broken.problem
    assert read_series(study, mr.ending).shape == (9, 8, 5)
    assert read_series(study, bone.ending).shape == (7, 6, 4)


def test_endings_name_one_each():
    assert shortest_endings(["1.2.3.10", "1.2.4.10", "9.8.7.65"]) == [
        "2.3.10",
        "2.4.10",
        "8.7.65",
    ]
    assert shortest_endings(["1.2", "3.1.2"]) == ["1.2", "3.1.2"]


def test_the_command(study, capsys):
    assert main(["series", str(study)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:5] == ["series", "number", "modality", "slices", "plane"]
    assert len(lines) == 5 and any("CT (--ct)" in line and "bone" in line for line in lines)
    assert "Doe" not in "".join(lines) and "4711" not in "".join(lines)
    assert main(["series", str(study), "--json"]) == 0
    assert [one["slices"] for one in json.loads(capsys.readouterr().out)] == [4, 4, 4, 5]
    assert main(["series", str(study / "none")]) == 2
    assert "none" in capsys.readouterr().err


def test_stacks_that_are_mixed_are_said(tmp_path):
    write_dicom_series(tmp_path / "a", head((9, 8, 5)), series="1.2.3.10")
    write_dicom_series(tmp_path / "b", head((9, 8, 3)), series="1.2.3.10")
    (mixed,) = describe_series(tmp_path)
    assert (mixed.slices, mixed.problem) == (
        5,
        "8 images of several stacks, or of volumes that are not all whole",
    )


def test_no_images(tmp_path):
    with pytest.raises(InputError, match="holds no DICOM images"):
        describe_series(tmp_path)
