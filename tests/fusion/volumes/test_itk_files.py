"""NRRD and MetaImage files that SimpleITK writes."""

import numpy as np
import pytest

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.itk_files import read_itk
from volume_files import head, oblique

sitk = pytest.importorskip("SimpleITK")


def to_itk(voxels, affine):
    """(I, J, K) voxels as an image of SimpleITK, in its axes."""
    flipped = np.diag([-1.0, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(flipped[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(flipped[:3, 3].tolist())
    image.SetDirection((flipped[:3, :3] / spacing).ravel().tolist())
    return image


@pytest.mark.parametrize("suffix", ["nrrd", "mha", "mhd"])
def test_what_is_written_reads_the_same(tmp_path, suffix):
    volume = head((6, 5, 4), oblique())
    sitk.WriteImage(to_itk(volume.voxels, volume.affine), str(tmp_path / f"v.{suffix}"))
    read = read_itk(tmp_path / f"v.{suffix}")
    assert np.array_equal(read.voxels, volume.voxels)
    assert np.allclose(read.affine, volume.affine, atol=1e-6)


def test_colours(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(rgb, isVector=True), str(tmp_path / "v.mha"))
    assert np.array_equal(read_itk(tmp_path / "v.mha").voxels, rgb.transpose(2, 1, 0, 3))


def test_one_of_several_volumes(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=False), str(tmp_path / "v.mha"))
    with pytest.raises(InputError, match=r"holds 3 volumes .*; take one with `frame` 1\.\.3"):
        read_itk(tmp_path / "v.mha")
    assert np.array_equal(read_itk(tmp_path / "v.mha", "2").voxels, values[1].transpose(2, 1, 0))
    mean = read_itk(tmp_path / "v.mha", "mean")
    assert np.allclose(mean.voxels, values.mean(0).transpose(2, 1, 0)) and "mean of 3" in mean.notes[0]


def test_what_is_refused(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\nno header")
    with pytest.raises(InputError, match="is no sound volume"):
        read_itk(tmp_path / "a.nrrd")
    head_ = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n"
    (tmp_path / "b.nrrd").write_bytes(head_ + bytes(range(8)))
    with pytest.raises(InputError, match="states no space, so its sides are unknown"):
        read_itk(tmp_path / "b.nrrd")
    with pytest.raises(InputError, match="does not exist"):
        read_itk(tmp_path / "c.mha")
