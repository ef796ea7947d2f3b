import numpy as np
import pytest
from pydicom import dcmread

from fsidfusion.errors import FusionError
from fsidfusion.fusion.volumes.dicom import read_series
from fsidfusion.fusion.volumes.fuse import DESCRIPTION
from fsidfusion.fusion.volumes.grid import Volume, display_affine, to_display
from fsidfusion.fusion.volumes.secondary_capture import check_replaceable, write_series
from volume_files import head, oblique, write_dicom_series

SHAPE = (6, 5, 4)


def noise(shape, dtype=np.uint8):
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype)


@pytest.fixture
def scan(tmp_path):
    return read_series(write_dicom_series(tmp_path / "mri", head(SHAPE, oblique())))


@pytest.mark.parametrize("voxels", [noise(SHAPE), noise(SHAPE, np.uint16), noise((*SHAPE, 3))])
def test_what_is_written_reads_the_same(tmp_path, scan, voxels):
    write_series(tmp_path / "fused", voxels, scan, DESCRIPTION, "MRI and CT")
    again = read_series(tmp_path / "fused")
    assert np.array_equal(again.voxels, voxels)
    assert np.allclose(again.affine, scan.affine, atol=1e-9)
    assert not list(tmp_path.glob(".fsidfusion*"))


def test_a_grid_of_a_nifti_file_becomes_upright_axial_slices(tmp_path):
    grid = Volume("t1.nii", noise(SHAPE), np.diag([-2.0, 2, 3, 1]))
    write_series(tmp_path / "fused", grid.voxels, grid, DESCRIPTION, "MRI and CT")
    again = read_series(tmp_path / "fused")
    assert np.array_equal(again.voxels, to_display(grid.voxels, grid.affine))
    assert np.allclose(again.affine, display_affine(grid))
    assert dcmread(tmp_path / "fused" / "0001.dcm").ImageOrientationPatient == [1, 0, 0, 0, 1, 0]


def test_nothing_of_the_patient_is_written(tmp_path, scan):
    write_series(tmp_path / "fused", noise(SHAPE), scan, DESCRIPTION, "MRI and CT")
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
    write_series(tmp_path / "fused", noise(SHAPE), scan, DESCRIPTION, "MRI and CT", keep_patient=True)
    image = dcmread(tmp_path / "fused" / "0001.dcm")
    for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert image[name].value == scan.header[name].value
    assert image.SeriesInstanceUID != scan.header.SeriesInstanceUID
    assert "PatientIdentityRemoved" not in image
    with pytest.raises(FusionError, match="holds no patient data"):
        write_series(tmp_path / "b", noise(SHAPE), head(SHAPE), DESCRIPTION, "", keep_patient=True)


def test_a_folder_is_replaced_as_a_whole(tmp_path, scan):
    folder = tmp_path / "fused"
    folder.mkdir()
    (folder / "9999.dcm").write_bytes(b"")
    check_replaceable(folder)
    write_series(folder, noise(SHAPE), scan, DESCRIPTION, "MRI and CT")
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
        write_series(tmp_path / "fused", noise(SHAPE), scan, DESCRIPTION, "MRI and CT")
    assert (tmp_path / "fused" / "0001.dcm").read_bytes() == b"before"
    assert not list(tmp_path.glob(".fsidfusion*"))
