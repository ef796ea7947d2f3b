"""What speaks against fusing two volumes is said."""

import pytest
from pydicom import Dataset

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.grid import Volume
from fsidfusion.fusion.volumes.identity import check_one_patient, cross_check
from volume_files import head


def scan(name, low=0.0, **tags):
    header = Dataset()
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    for tag, value in tags.items():
        setattr(header, tag, value)
    volume = head(low=low)
    return Volume(name, volume.voxels, volume.affine, header)


def test_one_patient_with_names_written_otherwise():
    ours = scan("mr", PatientID="A1", PatientName="Doe^Jane", Modality="MR", FrameOfReferenceUID="1.2")
    theirs = scan("pet", PatientID="A1", PatientName="DOE^JANE^^", Modality="PT", FrameOfReferenceUID="1.2")
    assert cross_check(ours, theirs, "mri", "pet") == []
    check_one_patient(ours, theirs)
    assert cross_check(head(), head(), "mri", "pet") == []
    assert cross_check(ours, scan("pet", PatientID=""), "mri", "pet") == []


def test_two_patients():
    ours = scan("mr", PatientID="A1", PatientSex="F", PatientBirthDate="19500101")
    theirs = scan("pet", PatientID="B2", PatientSex="M", PatientBirthDate="19500101")
    (note,) = cross_check(ours, theirs, "mri", "pet")
    assert note == (
        "mr and pet are of two patients by their headers (number, sex differ): check what is fused"
    )
    with pytest.raises(InputError, match=r"two patients .*`keep_patient` is refused"):
        check_one_patient(ours, theirs)


def test_another_modality_than_the_one_asked_for():
    (note,) = cross_check(scan("ct", Modality="CT"), scan("pet", Modality="PT"), "mri", "pet")
    assert note == "ct is given as MRI, but its modality is CT"
    assert cross_check(scan("a", Modality="MR"), scan("b", Modality="OT"), "mri", "spect") == []
    hounsfield = head(low=-1000, high=900)
    hounsfield.voxels[:16] = -1000
    (note,) = cross_check(hounsfield, head(), "mri", "pet")
    assert "look like a CT in Hounsfield units" in note
    assert cross_check(head(), hounsfield, "mri", "ct") == []


def test_other_frames_of_reference():
    (note,) = cross_check(
        scan("a", FrameOfReferenceUID="1.2"), scan("b", FrameOfReferenceUID="1.3"), "mri", "pet"
    )
    assert "different frames of reference, and nothing is registered" in note
