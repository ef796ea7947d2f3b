"""Series that pydicom writes, read to volumes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from fsidfusion.errors import FusionError, InputError
from fsidfusion.fusion.volumes.dicom import read_series
from fsidfusion.fusion.volumes.dicom_find import choose_series, holds_dicom, list_series
from fsidfusion.fusion.volumes.grid import Volume, resample
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


def sheared(degrees, shape=(20, 24, 9)):
    """A head scanned with a tilted gantry: slices drift to the front as they go up; and one that is not."""
    straight = np.diag([1.0, 1, 3, 1])
    tilted = straight.copy()
    tilted[1, 2] = 3 * np.tan(np.radians(degrees))
    fine = head((20, 60, 9), np.diag([1.0, 1, 3, 1]))
    fine.affine[1, 3] = -20
    return Volume("t", resample(fine, Volume("", np.empty(shape), tilted)), tilted), fine


def test_a_tilted_gantry_is_sheared_back(tmp_path):
    tilted, truth = sheared(15)
    read = read_series(write_dicom_series(tmp_path / "a", tilted))
    steps = read.affine[:3, :3]
    assert np.allclose(steps.T @ steps, np.diag([1, 1, 9]), atol=1e-6)
    assert read.notes == (
        f"the slices of {tmp_path / 'a'} are sheared by 15.0 degrees (a tilted gantry) and sheared back",
    )
    drift = np.arange(9) * tilted.affine[1, 2]
    row = np.arange(read.shape[1])[:, None]
    covered = np.broadcast_to((row > drift) & (row < 23 + drift), read.shape)
    expected = resample(truth, read)
    assert covered.mean() > 0.5
    assert np.abs(read.voxels - expected)[covered].max() < 25  # of 1000: linear interpolation, twice


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


@pytest.mark.parametrize("limit", [None, -1500, -2500])
def test_padding_becomes_the_least_value(tmp_path, limit):
    volume = head(SHAPE, low=100, high=200)
    volume.voxels[0, 0] = -2000
    tags = {"PixelPaddingValue": -2000}
    if limit is not None:
        volume.voxels[0, 1] = (limit - 2000) / 2
        tags["PixelPaddingRangeLimit"] = limit
    read = read_series(write_dicom_series(tmp_path / "a", volume, **tags))
    assert read.voxels.min() == np.rint(volume.voxels[1:]).min()


def test_monochrome1_is_turned_about(tmp_path):
    volume = head(SHAPE)
    inverted = Volume("i", -1 - np.rint(volume.voxels), volume.affine)
    read = read_series(write_dicom_series(tmp_path / "a", inverted, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(read.voxels, np.rint(volume.voxels))
    assert "MONOCHROME1" in read.notes[0]
    folder = write_dicom_series(
        tmp_path / "ct", inverted, PhotometricInterpretation="MONOCHROME1", Modality="CT"
    )
    assert np.array_equal(read_series(folder).voxels, inverted.voxels)  # Hounsfield units mean what they say


def test_old_overlays_in_high_bits_are_no_pixels(tmp_path):
    volume = head(SHAPE)
    folder = write_dicom_series(tmp_path / "a", volume)
    for path in folder.iterdir():
        image = dcmread(path)
        stored = np.frombuffer(image.PixelData, np.uint16) | 0x4000
        image.PixelData, image.PixelRepresentation = stored.tobytes(), 0
        image.BitsStored, image.HighBit = 12, 11
        image.save_as(path)
    assert np.array_equal(read_series(folder).voxels, np.rint(volume.voxels))


def test_a_data_set_without_a_preamble(tmp_path):
    folder = write_dicom_series(tmp_path / "a", head(SHAPE))
    expected = read_series(folder).voxels
    for path in folder.iterdir():
        image = dcmread(path)
        bare = Dataset()
        bare.update(image)
        dcmwrite(path, bare, implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert path.read_bytes()[128:132] != b"DICM"
    assert np.array_equal(read_series(folder).voxels, expected)


def test_every_file_twice(tmp_path):
    folder = write_dicom_series(tmp_path / "a", head(SHAPE))
    expected = read_series(folder)
    for path in list(folder.iterdir()):
        (folder / f"copy_{path.name}").write_bytes(path.read_bytes())
    read = read_series(folder)
    assert np.array_equal(read.voxels, expected.voxels) and np.array_equal(read.affine, expected.affine)


def move(folder, shift):
    """Move each slice along z by ``shift(k)`` mm."""
    paths = sorted(folder.iterdir(), key=lambda path: dcmread(path).ImagePositionPatient[2])
    for k, path in enumerate(paths):
        image = dcmread(path)
        x, y, z = map(float, image.ImagePositionPatient)
        image.ImagePositionPatient = [x, y, z + shift(k)]
        image.save_as(path)
    return folder


def test_positions_that_are_rounded(tmp_path):
    """To a tenth of a millimetre, of slices every 0.97 mm: gaps of 0.9 and 1.0."""
    volume = head((6, 5, 40), np.diag([-1.0, -1, 0.97, 1]))
    folder = write_dicom_series(tmp_path / "a", volume)
    read = read_series(move(folder, lambda k: round(0.97 * k, 1) - 0.97 * k))
    assert read.shape == volume.shape and read.notes == ()
    assert np.allclose(read.affine, volume.affine, atol=0.06)


def test_variable_gaps_are_made_even(tmp_path):
    heights = np.array([0, 2, 4, 6, 8, 11, 14, 17, 20.0])
    affine = np.diag([-1.0, -1, 2, 1])
    ramp = Volume("r", np.broadcast_to(heights * 10, (6, 5, 9)).astype(np.float32), affine)
    folder = move(write_dicom_series(tmp_path / "a", ramp), lambda k: heights[k] - 2 * k)
    read = read_series(folder)
    step = read.spacing[2]
    assert np.allclose(read.voxels[0, 0], 10 * step * np.arange(read.shape[2]), atol=1e-3)
    assert read.notes == (
        f"the slices of {folder} lie 2 to 3 mm apart and are resampled to every {step:.3g} mm",
    )


def test_other_files_are_passed_over(tmp_path):
    folder = write_dicom_series(tmp_path / "a", head(SHAPE))
    (folder / "README.txt").write_text("hello")
    (folder / "view.png").write_bytes(b"no picture")
    (folder / "more").mkdir()
    (folder / "more" / "README.txt").write_text("hello" * 99)
    assert holds_dicom(folder) and holds_dicom(tmp_path)
    assert read_series(folder).shape == SHAPE
    assert not holds_dicom(folder / "more")


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
        " 1.2.3.222 (number 8, CT bone, 3 files); choose one with `series` UID"
    )


def test_nested_folders_and_the_one_series_of_a_modality(tmp_path):
    """A study as an archive exports it; the role that is asked for decides, and a note says so."""
    write_dicom_series(tmp_path / "st1" / "se1", head(SHAPE), series="1.2.3.111")
    write_dicom_series(tmp_path / "st1" / "se2", head((7, 5, 3)), series="1.2.3.222", Modality="CT")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    index = Dataset()
    index.file_meta = FileMetaDataset()
    index.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    index.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    index.FileSetID = "CD"
    dcmwrite(tmp_path / "DICOMDIR", index, enforce_file_format=False)
    for path in (tmp_path, tmp_path / "DICOMDIR"):
        read = read_series(path, role="ct")
        assert read.shape == (7, 5, 3)
        assert read.notes == (f"of the 2 series in {path} the one of modality CT is taken",)
    found = list_series(tmp_path)
    assert [one.modality for one in found] == ["MR", "CT"]
    with pytest.raises(InputError, match=r"holds 2 series: 1\.2\.3\.111"):
        choose_series(tmp_path, found, None, "pet")


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
    "a gap": ({"ImagePositionPatient": [0, 0, 6.5]}, r"unequally spaced: 4.5 mm from .*, elsewhere 1 mm"),
    "two at one place": ({"ImagePositionPatient": [0, 0, 2]}, r"4 slices at 3 places, 1 to 2 at each"),
    "one aside": ({"ImagePositionPatient": [5, 0, 3]}, r"do not lie in one stack"),
    "another direction": ({"ImageOrientationPatient": [0, 1, 0, 0, 0, 1]}, r"differ in direction"),
    "another spacing": ({"PixelSpacing": [2, 2]}, r"differ in direction or pixel spacing"),
    "no position": ({"ImagePositionPatient": None}, r"no geometry \(ImagePositionPatient is missing\)"),
    "no orientation": ({"ImageOrientationPatient": None}, r"ImageOrientationPatient is missing"),
    "no pixel spacing": ({"PixelSpacing": None}, r"PixelSpacing is missing"),
    "many frames": ({"NumberOfFrames": 40}, r"holds 40 frames without places of their own \(MR Image"),
    "unknown pixels": ({"PhotometricInterpretation": "CMYK"}, r"kind 'CMYK', expected MONOCHROME or RGB"),
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
    """Its thickness is that of the header; a file of a series is one slice, and a note names the rest."""
    folder = write_dicom_series(tmp_path / "a", head((6, 5, 1)), SliceThickness=4)
    assert read_series(folder).spacing == (1, 1, 4)
    series = write_dicom_series(tmp_path / "b", head(SHAPE))
    path = sorted(series.iterdir())[0]
    read = read_series(path)
    assert read.shape == (6, 5, 1)
    assert read.notes == (
        f"{path} is one slice; give its folder, which holds 3 more DICOM files, for the volume",
    )


def dynamic(folder, count=3):
    """A series of several volumes, each ten brighter than the last, the latest with the least number."""
    for t in range(count):
        volume = head(SHAPE)
        volume.voxels[:] = np.rint(volume.voxels) + 10 * t
        tags = {"FrameReferenceTime": 5000 * t, "AcquisitionNumber": 7}
        write_dicom_series(folder / str(count - t), volume, series="1.2.3.4", **tags)
    return folder


def test_a_volume_of_a_4d_series(tmp_path):
    folder = dynamic(tmp_path / "pet")
    plain = np.rint(head(SHAPE).voxels)
    with pytest.raises(InputError, match=r"holds 3 volumes .*take one with `frame` 1\.\.3, or `frame` mean"):
        read_series(folder)
    for t in range(3):
        assert np.array_equal(read_series(folder, frame=str(t + 1)).voxels, plain + 10 * t)
    mean = read_series(folder, frame="mean")
    assert np.allclose(mean.voxels, plain + 10) and mean.notes == (f"{folder} is the mean of 3 volumes",)
    for frame in ("0", "4", "first"):
        with pytest.raises(InputError, match=f"`frame` {frame} is none of the 3 volumes"):
            read_series(folder, frame=frame)


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
    (tmp_path / "empty").mkdir()
    with pytest.raises(FusionError, match="no DICOM images"):
        read_series(tmp_path / "empty")


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
