"""Series that pydicom writes, read to volumes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless

from fsidfusion.errors import FusionError
from fsidfusion.fusion.volumes.dicom import holds_dicom, read_series
from volume_files import head, oblique, write_dicom_series

SHAPE = (6, 5, 4)


@settings(max_examples=10)
@given(st.tuples(*[st.integers(-180, 180)] * 3), st.permutations(range(4)))
def test_voxels_and_places_whatever_the_direction_and_the_order(tmp_path_factory, angles, order):
    """Head first or feet first, supine or prone: the places are those of the patient."""
    volume = head(SHAPE, oblique(angles))
    read = read_series(write_dicom_series(tmp_path_factory.mktemp("series"), volume, order=order))
    assert read.voxels.shape == SHAPE
    assert np.allclose(read.affine, volume.affine, atol=1e-8)
    assert np.array_equal(read.voxels, np.rint(volume.voxels))


def test_a_plain_axial_series_points_left_back_and_up(tmp_path):
    """The usual supine scan: the first pixel is at the right, the front."""
    folder = write_dicom_series(tmp_path / "a", head(SHAPE, np.diag([-2.0, -2, 3, 1])))
    assert next(iter(dcmread(p) for p in folder.iterdir())).ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    read = read_series(folder)
    assert np.array_equal(read.affine, np.diag([-2.0, -2, 3, 1]))


def test_a_tilted_gantry_gives_a_sheared_grid(tmp_path):
    tilted = np.diag([1.0, 1, 2, 1])
    tilted[1, 2] = 0.5
    assert np.allclose(read_series(write_dicom_series(tmp_path / "a", head(SHAPE, tilted))).affine, tilted)


def test_units_of_the_scanner(tmp_path):
    volume = head(SHAPE, low=-1024, high=1000)
    read = read_series(write_dicom_series(tmp_path / "a", volume, slope=2.0, intercept=-1024.0))
    assert np.abs(read.voxels - volume.voxels).max() <= 1
    assert read.voxels.min() == -1024


def test_a_slope_of_each_slice(tmp_path):
    """As PET scanners write it."""
    folder = write_dicom_series(tmp_path / "a", head(SHAPE))
    plain = read_series(folder).voxels
    for path in folder.iterdir():
        image = dcmread(path)
        image.RescaleSlope = 1 + float(image.ImagePositionPatient[2])
        image.save_as(path)
    assert np.allclose(read_series(folder).voxels, plain * np.arange(1, 5))


def test_padding_becomes_the_least_value(tmp_path):
    volume = head(SHAPE, low=100, high=200)
    volume.voxels[0, 0] = -2000
    read = read_series(write_dicom_series(tmp_path / "a", volume, PixelPaddingValue=-2000))
    assert read.voxels.min() == np.rint(volume.voxels[1:]).min()


def test_other_files_are_passed_over(tmp_path):
    folder = write_dicom_series(tmp_path / "a", head(SHAPE))
    (folder / "README.txt").write_text("hello")
    (folder / "view.png").write_bytes(b"no picture")
    (folder / "more").mkdir()
    assert holds_dicom(folder)
    assert read_series(folder).shape == SHAPE
    assert not holds_dicom(tmp_path)


@pytest.fixture
def mixed(tmp_path):
    write_dicom_series(tmp_path / "a", head(SHAPE), series="1.2.3.111")
    write_dicom_series(
        tmp_path / "a",
        head((7, 5, 3)),
        series="1.2.3.222",
        SeriesNumber=8,
        SeriesDescription="bone",
        Modality="CT",
    )
    return tmp_path / "a"


def test_mixed_series_are_listed(mixed):
    with pytest.raises(FusionError) as caught:
        read_series(mixed)
    assert str(caught.value) == (
        f"{mixed} holds 2 series: 1.2.3.111 (number 3, MR t1, 4 files);"
        " 1.2.3.222 (number 8, CT bone, 3 files); choose one with --series UID"
    )


@pytest.mark.parametrize("series", ["1.2.3.222", "222", "8"])
def test_one_of_mixed_series_is_chosen(mixed, series):
    assert read_series(mixed, series).shape == (7, 5, 3)


@pytest.mark.parametrize(("series", "count"), [("9", 0), ("", 2)])
def test_a_choice_that_names_none_or_several(mixed, series, count):
    with pytest.raises(FusionError, match=f"names {count} of the 2 series in .*1.2.3.111 "):
        read_series(mixed, series)


def change(folder, which, **attributes):
    path = sorted(folder.iterdir(), key=lambda p: dcmread(p).ImagePositionPatient[2])[which]
    image = dcmread(path)
    for name, value in attributes.items():
        if value is None:
            delattr(image, name)
        else:
            setattr(image, name, value)
    image.save_as(path)
    return path


BAD = {
    "a gap": ({"ImagePositionPatient": [0, 0, 3.5]}, r"unequally spaced: 1.5 mm from .*, elsewhere 1 mm"),
    "two at one place": ({"ImagePositionPatient": [0, 0, 2]}, r"4 slices at 3 places: several volumes"),
    "one aside": ({"ImagePositionPatient": [5, 0, 3]}, r"do not lie in one stack"),
    "another direction": ({"ImageOrientationPatient": [0, 1, 0, 0, 0, 1]}, r"differ in direction"),
    "another spacing": ({"PixelSpacing": [2, 2]}, r"differ in direction or pixel spacing"),
    "no position": ({"ImagePositionPatient": None}, r"no geometry \(ImagePositionPatient is missing\)"),
    "no orientation": ({"ImageOrientationPatient": None}, r"ImageOrientationPatient is missing"),
    "no pixel spacing": ({"PixelSpacing": None}, r"PixelSpacing is missing"),
    "many frames": ({"NumberOfFrames": 40}, r"holds 40 frames, expected single-frame files"),
    "inverted": ({"PhotometricInterpretation": "MONOCHROME1"}, r"kind MONOCHROME1, expected MONOCHROME2"),
    "another size": ({"Rows": 4}, r"differ in size \(6x\d, .* 6x\d\); leave"),
    "cut pixels": ({"PixelData": b"12"}, r"cannot be decoded"),
}


@pytest.mark.parametrize(("attributes", "message"), BAD.values(), ids=BAD)
def test_bad_slices(tmp_path, attributes, message):
    folder = write_dicom_series(tmp_path / "a", head(SHAPE, np.diag([-1.0, -1, 1, 1])))
    change(folder, 3, **attributes)
    with pytest.raises(FusionError, match=message) as caught:
        read_series(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_slice_is_named(tmp_path):
    folder = write_dicom_series(tmp_path / "a", head((6, 5, 8)), order=range(8), series="1.22222.333333")
    (folder / "333333-004.dcm").unlink()
    with pytest.raises(
        FusionError, match=r"unequally spaced: 2 mm from 333333-003.dcm to 333333-005.dcm, elsewhere 1 mm"
    ):
        read_series(folder)


def test_one_slice(tmp_path):
    with pytest.raises(FusionError, match="holds one slice, expected two or more"):
        read_series(write_dicom_series(tmp_path / "a", head((6, 5, 1))))


def test_a_compression_without_decoder(tmp_path, monkeypatch):
    from pydicom.pixels.decoders.base import Decoder

    monkeypatch.setattr(Decoder, "is_available", property(lambda self: False))
    folder = write_dicom_series(tmp_path / "a", head(SHAPE))
    path = next(folder.iterdir())
    image = dcmread(path)
    image.file_meta.TransferSyntaxUID = JPEGLSLossless
    image.PixelData = b"\xfe\xff\x00\xe0" + bytes(4)
    image["PixelData"].is_undefined_length = True
    image.save_as(path)
    with pytest.raises(FusionError, match=r"compressed as JPEG-LS Lossless.*no decoder.*pip install"):
        read_series(folder)


def test_a_compression_with_a_decoder(tmp_path):
    """Run lengths, which pydicom knows by itself."""
    folder = write_dicom_series(tmp_path / "a", head(SHAPE))
    plain = read_series(folder).voxels
    for path in folder.iterdir():
        image = dcmread(path)
        image.compress("1.2.840.10008.1.2.5")
        image.save_as(path)
    assert np.array_equal(read_series(folder).voxels, plain)


def test_damaged_files_and_empty_folders(tmp_path):
    folder = write_dicom_series(tmp_path / "a", head(SHAPE))
    next(folder.iterdir()).write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00")
    with pytest.raises(FusionError, match="damaged"):
        read_series(folder)
    with pytest.raises(FusionError, match="no DICOM images"):
        read_series(tmp_path)


def test_whatever_a_damaged_header_says_one_line_comes_back(tmp_path):
    folder = write_dicom_series(tmp_path / "a", head(SHAPE))
    path = next(folder.iterdir())
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    lines = 0
    for _ in range(60):
        damaged = whole.copy()
        damaged[rng.integers(132, len(whole), 6)] = rng.integers(0, 256, 6)
        path.write_bytes(damaged.tobytes())
        try:
            read_series(folder)
        except FusionError as error:
            assert "\n" not in str(error)
            lines += 1
    assert lines > 10
