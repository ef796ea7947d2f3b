import nibabel
import numpy as np
import pytest

from fsidfusion.errors import FusionError
from fsidfusion.fusion.volumes.grid import Volume
from fsidfusion.fusion.volumes.nifti import read_nifti, write_nifti
from volume_files import head, oblique, write_nifti_file


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_what_is_written_reads_the_same(tmp_path, name, channels):
    grid = head(affine=oblique())
    source = write_nifti_file(tmp_path / "mri.nii.gz", grid.voxels, grid.affine)
    grid = read_nifti(source)
    voxels = np.random.default_rng(0).integers(0, 256, (*grid.shape, *channels), np.uint8)
    write_nifti(tmp_path / name, voxels, grid, "as it is; not a medical device")
    again = read_nifti(tmp_path / name)
    assert np.array_equal(again.voxels, voxels)
    assert np.array_equal(again.affine, grid.affine)
    assert again.header["descrip"].item() == b"as it is; not a medical device"
    assert not list(tmp_path.glob(".fsidfusion*"))


def test_both_forms_and_their_codes_are_kept(tmp_path):
    image = nibabel.Nifti1Image(head().voxels, None)
    image.set_sform(oblique(), code="mni")
    image.set_qform(oblique((5, 0, 0)), code="scanner")
    image.header["db_name"], image.header["intent_name"] = b"Doe^Jane", b"4711"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Doe^Jane"))
    nibabel.save(image, tmp_path / "mri.nii")
    grid = read_nifti(tmp_path / "mri.nii")
    write_nifti(tmp_path / "fused.nii", np.zeros(grid.shape, np.uint16), grid, "x")
    before, after = (nibabel.load(tmp_path / name) for name in ("mri.nii", "fused.nii"))
    for form in ("get_sform", "get_qform"):
        (ours, our_code), (theirs, their_code) = (
            getattr(image, form)(coded=True) for image in (after, before)
        )
        assert our_code == their_code
        assert np.array_equal(ours, theirs)
    assert b"Doe" not in (tmp_path / "fused.nii").read_bytes()
    assert b"4711" not in (tmp_path / "fused.nii").read_bytes()


def test_a_grid_from_elsewhere_is_written_as_scanner_coordinates(tmp_path):
    grid = head(affine=oblique())
    write_nifti(tmp_path / "a.nii", np.zeros(grid.shape, np.uint8), grid, "x")
    image = nibabel.load(tmp_path / "a.nii")
    assert np.allclose(image.affine, grid.affine, atol=1e-5)
    assert (image.header["sform_code"], image.header["qform_code"]) == (1, 1)


def test_the_scaling_of_the_header_is_applied(tmp_path):
    counts = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    image = nibabel.Nifti1Image(counts, np.eye(4))
    image.header.set_slope_inter(2.0, -1024.0)
    nibabel.save(image, tmp_path / "ct.nii")
    read = read_nifti(tmp_path / "ct.nii").voxels
    stored = np.asarray(nibabel.load(tmp_path / "ct.nii").dataobj)
    assert np.allclose(read, stored)
    assert read.dtype == np.float32


def test_a_series_of_one_is_a_volume(tmp_path):
    path = write_nifti_file(tmp_path / "a.nii", np.ones((3, 4, 5, 1), np.float32))
    assert read_nifti(path).shape == (3, 4, 5)


def broken(tmp_path):
    good = np.ones((3, 4, 5), np.float32)
    nan = good.copy()
    nan[0, 0, :2] = np.nan, np.inf
    whole = write_nifti_file(tmp_path / "whole.nii.gz", np.random.default_rng(0).random((30, 30, 30)))
    (tmp_path / "cut.nii.gz").write_bytes(whole.read_bytes()[:20000])
    (tmp_path / "text.nii").write_text("no volume")
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    placeless = nibabel.Nifti1Image(good, None)
    nibabel.save(placeless, tmp_path / "placeless.nii")
    singular = bytearray(write_nifti_file(tmp_path / "singular.nii", good).read_bytes())
    singular[280:296] = bytes(16)  # the first row of the sform
    (tmp_path / "singular.nii").write_bytes(singular)
    return {
        "cut.nii.gz": "no sound NIfTI file",
        "text.nii": "no sound NIfTI file",
        "empty.nii.gz": "no sound NIfTI file",
        "absent.nii": "does not exist",
        "placeless.nii": "states no geometry",
        write_nifti_file(
            tmp_path / "series.nii", np.ones((3, 4, 5, 7), np.float32)
        ): "series.nii holds 7 volumes .*; take one with `frame` 1..7",
        write_nifti_file(tmp_path / "flat.nii", np.ones((3, 4), np.float32)): "3x4, expected a 3-D volume",
        write_nifti_file(tmp_path / "complex.nii", good.astype(np.complex64)): "complex64, expected numbers",
        write_nifti_file(tmp_path / "nan.nii", nan): "1 voxels of 60 that are infinite",
        write_nifti_file(tmp_path / "micron.nii", good, xyzt_units=3): "in micron, expected mm",
        "singular.nii": "broken geometry",
    }


def test_bad_files(tmp_path):
    for name, message in broken(tmp_path).items():
        with pytest.raises(FusionError, match=message) as caught:
            read_nifti(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FusionError, match="cannot be written"):
        write_nifti(
            tmp_path / "file" / "a.nii", np.zeros((2, 2, 2), np.uint8), Volume("a", 0, np.eye(4)), "x"
        )


def test_whatever_a_damaged_header_says_one_line_comes_back(tmp_path):
    path = write_nifti_file(tmp_path / "a.nii", head((6, 5, 4)).voxels)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    lines = 0
    for _ in range(150):
        damaged = whole.copy()
        damaged[rng.integers(0, 348, 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            read_nifti(path)
        except FusionError as error:
            assert "\n" not in str(error)
            lines += 1
    assert lines > 10


def test_a_volume_of_a_4d_file(tmp_path):
    values = np.random.default_rng(0).random((3, 4, 5, 2, 3)).astype(np.float32)
    path = write_nifti_file(tmp_path / "a.nii.gz", values)
    assert np.array_equal(read_nifti(path, "1").voxels, values[..., 0, 0])
    assert np.array_equal(read_nifti(path, "4").voxels, values[..., 1, 1])
    mean = read_nifti(path, "mean")
    assert np.allclose(mean.voxels, values.mean((3, 4)), atol=1e-6)
    assert mean.notes == (f"{path} is the mean of 6 volumes",)
    for frame in ("0", "7", "x"):
        with pytest.raises(FusionError, match=f"`frame` {frame} is none of the 6 volumes"):
            read_nifti(path, frame)


def test_nan_outside_the_brain_is_outside(tmp_path):
    voxels = head((6, 5, 4), low=10).voxels
    voxels[:2] = np.nan
    read = read_nifti(write_nifti_file(tmp_path / "a.nii", voxels))
    assert (read.voxels[:2] == voxels[2:].min()).all()
    assert np.array_equal(read.voxels[2:], voxels[2:])
    assert read.notes == (f"33.3% of {tmp_path / 'a.nii'} is NaN and counts as outside",)
    with pytest.raises(FusionError, match="nothing but NaN"):
        read_nifti(write_nifti_file(tmp_path / "b.nii", np.full((2, 2, 2), np.nan, np.float32)))


def test_mirrored_forms_are_told(tmp_path):
    image = nibabel.Nifti1Image(head((6, 5, 4)).voxels, np.diag([-1.0, 1, 1, 1]))
    image.set_sform(np.diag([-1.0, 1, 1, 1]), 1)
    image.set_qform(np.diag([1.0, 1, 1, 1]), 1)
    nibabel.save(image, tmp_path / "a.nii")
    (note,) = read_nifti(tmp_path / "a.nii").notes
    assert "sform and qform" in note and "mirror images: left and right are uncertain" in note
    image.set_qform(np.diag([-1.0, 1, 1, 1]), 1)
    nibabel.save(image, tmp_path / "b.nii")
    assert read_nifti(tmp_path / "b.nii").notes == ()


def test_pairs_and_freesurfer(tmp_path):
    volume = head((6, 5, 4), oblique())
    nibabel.save(nibabel.Nifti1Pair(volume.voxels, volume.affine), tmp_path / "a.img")
    nibabel.save(nibabel.MGHImage(volume.voxels, volume.affine.astype(np.float32)), tmp_path / "b.mgz")
    for name in ("a.img", "a.hdr", "b.mgz"):
        read = read_nifti(tmp_path / name)
        assert np.array_equal(read.voxels, volume.voxels)
        assert np.allclose(read.affine, volume.affine, atol=1e-5)
    nibabel.save(nibabel.AnalyzeImage(volume.voxels, np.eye(4)), tmp_path / "c.img")
    with pytest.raises(FusionError, match="old Analyze format, which does not say which side is left"):
        read_nifti(tmp_path / "c.hdr")
