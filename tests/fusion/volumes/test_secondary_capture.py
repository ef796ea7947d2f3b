import shutil
import subprocess

import numpy as np
import pytest
from pydicom import dcmread

from fsidfusion.errors import FusionError
from fsidfusion.fusion.volumes.dicom import read_series
from fsidfusion.fusion.volumes.fuse import DESCRIPTION
from fsidfusion.fusion.volumes.grid import Volume, display_affine, to_display
from fsidfusion.fusion.volumes.secondary_capture import (
    check_replaceable,
    may_show_a_name,
    write_series,
)
from volume_files import head, oblique, write_dicom_series

SHAPE = (6, 5, 4)


def noise(shape, dtype=np.uint8):
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype)


@pytest.fixture
def scan(tmp_path):
    return read_series(write_dicom_series(tmp_path / "mri", head(SHAPE, oblique())))


@pytest.mark.parametrize("voxels", [noise(SHAPE), noise(SHAPE, np.uint16), noise((*SHAPE, 3))])
def test_what_is_written_reads_the_same(tmp_path, scan, voxels):
    write_series(tmp_path / "fused", voxels, scan, scan, DESCRIPTION, "MRI and CT")
    again = read_series(tmp_path / "fused")
    assert np.array_equal(again.voxels, voxels)
    assert np.allclose(again.affine, scan.affine, atol=1e-9)
    assert not list(tmp_path.glob(".fsidfusion*"))


def test_a_grid_of_a_nifti_file_becomes_upright_axial_slices(tmp_path):
    grid = Volume("t1.nii", noise(SHAPE), np.diag([-2.0, 2, 3, 1]))
    write_series(tmp_path / "fused", grid.voxels, grid, grid, DESCRIPTION, "MRI and CT")
    again = read_series(tmp_path / "fused")
    assert np.array_equal(again.voxels, to_display(grid.voxels, grid.affine))
    assert np.allclose(again.affine, display_affine(grid))
    assert dcmread(tmp_path / "fused" / "0001.dcm").ImageOrientationPatient == [1, 0, 0, 0, 1, 0]


def test_nothing_of_the_patient_is_written(tmp_path, scan):
    write_series(tmp_path / "fused", noise(SHAPE), scan, scan, DESCRIPTION, "MRI and CT")
    images = [dcmread(path) for path in sorted((tmp_path / "fused").iterdir())]
    uids = {str(scan.header[name].value) for name in ("StudyInstanceUID", "FrameOfReferenceUID")}
    secrets = ("Doe", "MR-4711", "19700101", *uids)  # none that the digits of a random UID may hold
    for image in images:
        content = str(image) + str(image.file_meta)
        assert not any(text in content for text in secrets)
        assert image.PatientName == ""
        assert image.PatientIdentityRemoved == "YES"
        assert image.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
        assert image.SeriesDescription == image.ImageComments == DESCRIPTION
        assert "not a medical device" in DESCRIPTION
    assert len({image.SOPInstanceUID for image in images}) == 4
    assert len({image.SeriesInstanceUID for image in images}) == 1
    assert [image.InstanceNumber for image in images] == [1, 2, 3, 4]


def test_the_patient_is_kept_when_asked(tmp_path, scan):
    write_series(tmp_path / "fused", noise(SHAPE), scan, scan, DESCRIPTION, "MRI and CT", keep_patient=True)
    image = dcmread(tmp_path / "fused" / "0001.dcm")
    for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert image[name].value == scan.header[name].value
    assert image.SeriesInstanceUID != scan.header.SeriesInstanceUID
    assert "PatientIdentityRemoved" not in image
    with pytest.raises(FusionError, match="holds no patient data"):
        write_series(tmp_path / "b", noise(SHAPE), head(SHAPE), scan, DESCRIPTION, "", keep_patient=True)


def test_a_folder_is_replaced_as_a_whole(tmp_path, scan):
    folder = tmp_path / "fused"
    folder.mkdir()
    (folder / "9999.dcm").write_bytes(b"")
    check_replaceable(folder)
    write_series(folder, noise(SHAPE), scan, scan, DESCRIPTION, "MRI and CT")
    assert len(list(folder.iterdir())) == 4
    (folder / "thesis.tex").write_text("")
    with pytest.raises(FusionError, match=r"holds thesis\.tex, and is not replaced"):
        check_replaceable(folder)


def test_a_failed_write_leaves_nothing(tmp_path, scan, monkeypatch):
    from pydicom import Dataset

    def fail(self, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    (tmp_path / "fused").mkdir()
    (tmp_path / "fused" / "0001.dcm").write_bytes(b"before")
    monkeypatch.setattr(Dataset, "save_as", fail)
    with pytest.raises(FusionError, match=r"cannot be written \(No space left"):
        write_series(tmp_path / "fused", noise(SHAPE), scan, scan, DESCRIPTION, "MRI and CT")
    assert (tmp_path / "fused" / "0001.dcm").read_bytes() == b"before"
    assert not list(tmp_path.glob(".fsidfusion*"))


def sources(tmp_path, mri=None, pet=None):
    """An MRI and a PET that was taken from the screen."""
    ours = read_series(write_dicom_series(tmp_path / "mri", head(SHAPE, oblique()), **(mri or {})))
    tags = {"Modality": "PT", **(pet or {})}
    theirs = read_series(write_dicom_series(tmp_path / "pet", head(SHAPE, oblique()), **tags))
    return ours, theirs


LOSSY = {
    "LossyImageCompression": "01",
    "LossyImageCompressionRatio": 8,
    "LossyImageCompressionMethod": "ISO_10918_1",
}
SCREEN = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}


@pytest.mark.parametrize(
    ("pet", "burnt", "removed"),
    [
        ({}, "NO", "YES"),
        ({"BurnedInAnnotation": "YES"}, "YES", "NO"),
        (SCREEN, "YES", "NO"),  # a screenshot that says nothing may show a name
        ({**SCREEN, "BurnedInAnnotation": "NO"}, "NO", "YES"),
    ],
)
def test_what_may_be_burnt_in_is_not_called_removed(tmp_path, pet, burnt, removed):
    ours, theirs = sources(tmp_path, LOSSY, pet)
    write_series(tmp_path / "fused", noise((*SHAPE, 3)), ours, theirs, DESCRIPTION, "MRI and PET")
    image = dcmread(tmp_path / "fused" / "0001.dcm")
    assert (image.BurnedInAnnotation, image.PatientIdentityRemoved) == (burnt, removed)
    assert ("DeidentificationMethod" in image) == (removed == "YES")
    assert image.LossyImageCompression == "01"
    assert image.LossyImageCompressionRatio == 8
    assert image.LossyImageCompressionMethod == "ISO_10918_1"
    assert may_show_a_name(theirs) == (burnt == "YES") and not may_show_a_name(ours)


def test_sources_are_named_by_their_uids_with_the_patient(tmp_path):
    ours, theirs = sources(tmp_path)
    write_series(tmp_path / "fused", noise(SHAPE), ours, theirs, DESCRIPTION, "MRI and PET", True)
    image = dcmread(tmp_path / "fused" / "0002.dcm")
    assert "LossyImageCompression" not in image
    named = [item.ReferencedSOPInstanceUID for item in image.SourceImageSequence]
    assert named == [ours.images[1].SOPInstanceUID, *(one.SOPInstanceUID for one in theirs.images)]
    purpose = image.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0]
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("121322", "DCM")


def test_sources_have_new_uids_that_agree_over_the_series_without_the_patient(tmp_path):
    ours, theirs = sources(tmp_path)
    named = []
    for folder in ("one", "two"):
        write_series(tmp_path / folder, noise(SHAPE), ours, theirs, DESCRIPTION, "MRI and PET", False)
        images = [dcmread(path) for path in sorted((tmp_path / folder).iterdir())]
        named.append(
            [[item.ReferencedSOPInstanceUID for item in image.SourceImageSequence] for image in images]
        )
    own = {str(one.SOPInstanceUID) for one in (*ours.images, *theirs.images)}
    first, second = named
    assert len({uids[0] for uids in first}) == len(first)  # each slice has its own image of the base
    assert len({tuple(uids[1:]) for uids in first}) == 1  # and all those of the other
    flat = {uid for uids in first for uid in uids}
    assert len(flat) == len(own) and not flat & own
    assert not flat & {uid for uids in second for uid in uids}
    content = b"".join(path.read_bytes() for path in (tmp_path / "one").iterdir())
    assert not any(uid.encode() in content for uid in own)


def test_where_rows_and_columns_point(tmp_path):
    grid = Volume("t1.nii", noise(SHAPE), np.diag([-2.0, 2, 3, 1]))
    write_series(tmp_path / "fused", grid.voxels, grid, grid, DESCRIPTION, "MRI and CT")
    assert dcmread(tmp_path / "fused" / "0001.dcm").PatientOrientation == ["L", "P"]


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian: dicom3tools) is not installed")
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("voxels", [noise(SHAPE), noise(SHAPE, np.uint16), noise((*SHAPE, 3))])
def test_dciodvfy_finds_no_errors(tmp_path, voxels, keep):
    ours, theirs = sources(tmp_path, LOSSY)
    write_series(tmp_path / "fused", voxels, ours, theirs, DESCRIPTION, "MRI and PET", keep)
    result = subprocess.run(
        ["dciodvfy", tmp_path / "fused" / "0001.dcm"], capture_output=True, text=True, check=False
    )
    assert "SCImage" in result.stderr + result.stdout
    assert "Error" not in result.stderr + result.stdout
