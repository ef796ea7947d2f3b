"""Small files that claim or unpack to huge volumes: refused in one line, before memory is taken for them."""

import gzip
import struct
import zlib

import numpy as np
import pytest

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.files import read_volume
from fsidfusion.images import budget
from fsidfusion.images.budget import check_voxels
from memory_peak import growth_below

nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")


def nifti(path, sides, dtype=np.uint8, payload=0):
    head = bytearray(nibabel.Nifti1Image(np.zeros((2, 2, 2), dtype), np.eye(4)).to_bytes()[:352])
    struct.pack_into("<8h", head, 40, 3, *sides, 1, 1, 1, 1)
    content = bytes(head) + bytes(payload)
    path.write_bytes(gzip.compress(content, 9) if path.suffix == ".gz" else content)
    return path


def dicom(folder, rows, columns, packed=0):
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

    folder.mkdir()
    for k in range(2):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = (
            DeflatedExplicitVRLittleEndian if packed else ExplicitVRLittleEndian
        )
        image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, f"1.2.3.{k + 1}"
        image.SeriesInstanceUID, image.StudyInstanceUID, image.Modality = "1.2.9", "1.2.8", "CT"
        image.ImagePositionPatient, image.PixelSpacing = [0, 0, 3.0 * k], [2, 2]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.set_pixel_data(np.zeros((16, 16), np.int16), "MONOCHROME2", 16)
        image.Rows, image.Columns = rows, columns
        if packed:
            image.add_new(0x00091001, "OB", bytes(packed))
        image.save_as(folder / f"{k}.dcm", enforce_file_format=True)
    return folder


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_a_nifti_header_alone_allocates_nothing(tmp_path, name):
    path = nifti(tmp_path / name, (900, 900, 900))
    with growth_below(40 << 20), pytest.raises(InputError, match="cannot hold"):
        read_volume(path)


def test_more_voxels_than_any_volume_are_refused_by_the_header(tmp_path):
    path = nifti(tmp_path / "x.nii.gz", (1500, 1500, 1000), np.float32)
    with growth_below(40 << 20), pytest.raises(InputError, match="the limit is 1000 million"):
        read_volume(path)
    with pytest.raises(InputError, match="limit"):
        check_voxels((10**30, 1), "x")


def test_a_packed_volume_that_ends_early_is_damaged(tmp_path):
    path = nifti(tmp_path / "x.nii.gz", (64, 64, 64), payload=64 * 64 * 63)
    with pytest.raises(InputError, match="no sound NIfTI"):
        read_volume(path)


@pytest.mark.parametrize(("rows", "columns"), [(65535, 65535), (20000, 20000), (0, 16)])
def test_dicom_that_claims_more_pixels_than_it_holds(tmp_path, rows, columns):
    folder = dicom(tmp_path / "d", rows, columns)
    with growth_below(40 << 20), pytest.raises(InputError, match=r"limit|cannot hold|claims"):
        read_volume(folder)


def test_a_packed_dicom_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("fsidfusion.fusion.volumes.dicom_find.MAX_INFLATED", 8 << 20)
    folder = dicom(tmp_path / "d", 16, 16, packed=64 << 20)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1 << 20
    with growth_below(40 << 20), pytest.raises(InputError, match="unpacks to over 8 MiB"):
        read_volume(folder)


def test_a_packed_dicom_within_the_budget_is_read(tmp_path):
    assert read_volume(dicom(tmp_path / "d", 16, 16, packed=1000)).voxels.shape == (16, 16, 2)


def test_meta_image_and_nrrd_that_claim_more_than_they_hold(tmp_path):
    pytest.importorskip("SimpleITK")
    path = tmp_path / "x.mha"
    head = "ObjectType = Image\nNDims = 3\nDimSize = {0} {0} {0}\nElementType = MET_SHORT\n"
    head += "ElementDataFile = LOCAL\n"
    path.write_bytes(head.format(900).encode() + bytes(10))
    with growth_below(60 << 20), pytest.raises(InputError, match="cannot hold"):
        read_volume(path)
    path.write_bytes(head.format(30_000).encode() + bytes(10))
    with growth_below(60 << 20), pytest.raises(InputError, match="limit"):
        read_volume(path)


def test_the_ratio_of_deflate_is_its_highest():
    packed = zlib.compress(bytes(50 << 20), 9)
    assert len(packed) * budget.DEFLATE_RATIO >= 50 << 20
