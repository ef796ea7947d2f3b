"""Files of many frames: enhanced MR and CT, nuclear medicine, doses; each with a place of its own."""

import numpy as np
import pytest
from pydicom import dcmread

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.dicom import read_series
from fsidfusion.fusion.volumes.grid import Volume
from volume_files import (
    head,
    multi_frame,
    oblique,
    write_dicom_series,
    write_dose,
    write_enhanced,
    write_nuclear,
)

SHAPE = (6, 5, 4)


def whole(volume):
    return Volume(volume.name, np.rint(volume.voxels), volume.affine)


def test_an_enhanced_image_in_any_order_of_its_frames(tmp_path):
    volume = whole(head(SHAPE, oblique()))
    read = read_series(write_enhanced(tmp_path / "e.dcm", volume, order=[2, 0, 3, 1]))
    assert np.array_equal(read.voxels, volume.voxels)
    assert np.allclose(read.affine, volume.affine, atol=1e-8)
    assert read.notes == ()


def test_the_scale_of_an_enhanced_ct(tmp_path):
    volume = whole(head(SHAPE, low=-1000, high=1400))
    read = read_series(write_enhanced(tmp_path / "e.dcm", volume, "CT", 2.0, -1024.0))
    assert np.abs(read.voxels - volume.voxels).max() <= 1
    assert read.unit == "HU"


def test_a_4d_enhanced_image(tmp_path):
    """Its temporal positions run against the order of its frames."""
    volume = whole(head(SHAPE))
    path = write_enhanced(tmp_path / "e.dcm", volume, repeats=3)
    with pytest.raises(InputError, match=r"holds 3 volumes"):
        read_series(path)
    assert np.array_equal(read_series(path, frame="1").voxels, volume.voxels + 20)
    assert np.array_equal(read_series(path, frame="3").voxels, volume.voxels)


@pytest.mark.parametrize("negative", [False, True])
def test_a_reconstruction_of_nuclear_medicine(tmp_path, negative):
    """Spacing Between Slices may be negative: then the slices go down from the first."""
    volume = whole(head(SHAPE, np.diag([-4.0, -4, 4, 1])))
    read = read_series(write_nuclear(tmp_path / "n.dcm", volume, negative))
    assert np.array_equal(read.voxels, volume.voxels)
    assert np.allclose(read.affine, volume.affine)


def test_projections_are_no_slices(tmp_path):
    path = write_nuclear(
        tmp_path / "n.dcm", head(SHAPE), ImageType=["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]
    )
    with pytest.raises(InputError, match=r"holds projections \(TOMO\), no slices; give the reconstruction"):
        read_series(path)


@pytest.mark.parametrize("start", [0, -120])
def test_a_dose_in_gray(tmp_path, start):
    """Offsets begin at 0, or are places along z."""
    volume = head(SHAPE, np.diag([-2.0, -2, 3, 1]), high=60)
    read = read_series(write_dose(tmp_path / "d.dcm", volume, offsets=[start + 3.0 * k for k in range(4)]))
    assert np.abs(read.voxels - volume.voxels).max() <= 0.005
    assert np.allclose(read.affine, volume.affine)
    assert read.unit == "Gy"
    with pytest.raises(InputError, match="gives 3 offsets for 4 planes"):
        read_series(write_dose(tmp_path / "d.dcm", volume, offsets=[0.0, 3.0, 6.0]))


def test_frames_without_places(tmp_path):
    image = multi_frame(head(SHAPE), "US", "1.2.840.10008.5.1.4.1.1.3.1")
    image.save_as(tmp_path / "u.dcm", enforce_file_format=True)
    with pytest.raises(InputError, match=r"4 frames without places of their own \(Ultrasound Multi-frame"):
        read_series(tmp_path / "u.dcm")


def test_units_of_a_pet(tmp_path):
    for stored, unit in (("BQML", "Bq/ml"), ("GML", "SUVbw"), ("CNTS", "counts"), ("1CM", "1cm")):
        folder = write_dicom_series(tmp_path / stored, head(SHAPE), Modality="PT", Units=stored)
        assert read_series(folder).unit == unit


def test_colours_from_a_palette(tmp_path):
    folder = write_dicom_series(tmp_path / "a", head(SHAPE))
    for path in folder.iterdir():
        image = dcmread(path)
        levels = np.clip(image.pixel_array // 4, 0, 255).astype(np.uint8)
        image.set_pixel_data(levels, "MONOCHROME2", 8)
        image.PhotometricInterpretation = "PALETTE COLOR"
        del image.RescaleSlope, image.RescaleIntercept
        for name, gain in (("Red", 257), ("Green", 0), ("Blue", 128)):
            image.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
            table = (np.arange(256) * gain).astype("<u2").tobytes()
            setattr(image, f"{name}PaletteColorLookupTableData", table)
        image.save_as(path)
    read = read_series(folder)
    expected = np.clip(np.rint(head(SHAPE).voxels) // 4, 0, 255)
    assert read.is_rgb and np.array_equal(read.voxels[..., 0], expected)
    assert read.voxels[..., 1].max() == 0
    assert np.abs(read.voxels[..., 2] - expected / 2).max() <= 1
