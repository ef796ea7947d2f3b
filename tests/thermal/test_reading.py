from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from fsidfusion.errors import FusionError
from fsidfusion.images.files import Picture, read_picture, write_picture
from fsidfusion.thermal import radiometric
from fsidfusion.thermal.gain import Gain, apply_gain
from fsidfusion.thermal.palettes import colour
from fsidfusion.thermal.reading import Thermal, hot_levels, read_thermal
from fsidfusion.thermal.temperature import read_temperature, resample, to_celsius, write_temperature
from radiometric_files import centikelvin, warm_scene, write_deep, write_dji, write_jpeg_with_segments


@pytest.mark.parametrize("channels", [(), (3,)])
def test_8_bit_pictures_stay_as_they_are(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 99, (20, 30, *channels), np.uint8)
    write_picture(tmp_path / "a.png", Picture(pixels))
    reading = read_thermal(tmp_path / "a.png")
    np.testing.assert_array_equal(reading.picture.pixels, pixels)
    assert reading.picture.pixels.dtype == np.uint8
    assert (reading.note, reading.scene.celsius) == ("", None)


@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_centikelvin_is_known_by_its_range(tmp_path, extension):
    celsius = warm_scene()
    path = write_deep(tmp_path / f"a{extension}", centikelvin(celsius))
    reading = read_thermal(path)
    np.testing.assert_allclose(reading.scene.celsius, celsius, atol=0.0051)
    assert "plateau" in reading.note
    window = read_thermal(path, Thermal(agc="window:15..40C")).picture.pixels
    np.testing.assert_allclose(window, np.clip((celsius - 15) / 25, 0, 1), atol=1e-3)


@pytest.mark.parametrize(
    "unit, scale, offset", [("centikelvin", 0.01, -273.15), ("decikelvin", 0.1, -273.15), ("celsius", 1, 0)]
)
def test_units_that_are_said(unit, scale, offset):
    levels = np.arange(2950, 3020, dtype=np.uint16).reshape(7, 10)
    np.testing.assert_allclose(to_celsius(levels, unit), levels * scale + offset, rtol=1e-5)
    assert to_celsius(levels, "counts") is None
    assert to_celsius(levels, "auto") is None  # 14-bit counts are no centikelvin


def test_floating_temperatures_need_their_unit(tmp_path):
    celsius = warm_scene()
    write_temperature(tmp_path / "t.tif", celsius)
    np.testing.assert_array_equal(read_temperature(tmp_path / "t.tif"), celsius)
    with pytest.raises(FusionError, match="--unit celsius"):
        read_thermal(tmp_path / "t.tif")
    reading = read_thermal(tmp_path / "t.tif", Thermal(unit="celsius", agc="linear"))
    np.testing.assert_array_equal(reading.scene.celsius, celsius)
    assert reading.picture.pixels.max() == pytest.approx(1.0)
    with pytest.raises(FusionError, match="gain control"):
        read_thermal(tmp_path / "t.tif", Thermal(unit="celsius", agc="off"))
    celsius[3, 4] = np.nan
    write_temperature(tmp_path / "t.tif", celsius)
    with pytest.raises(FusionError, match="NaN"):
        read_thermal(tmp_path / "t.tif", Thermal(unit="celsius"))


def test_raw_counts_have_a_gain_but_no_temperature(tmp_path):
    counts = (7000 + 30 * warm_scene()).astype(np.uint16)
    path = write_deep(tmp_path / "a.tif", counts)
    np.testing.assert_array_equal(read_thermal(path).picture.pixels, apply_gain(counts, Gain("plateau")))
    off = read_thermal(path, Thermal(agc="off"))
    np.testing.assert_array_equal(off.picture.pixels, counts)
    for thermal, temperature, option in (
        (Thermal(agc="window:20..40C"), False, "--agc window:20..40C"),
        (Thermal(highlight="35C"), False, "--highlight 35C"),
        (Thermal(), True, "--temperature"),
    ):
        with pytest.raises(FusionError, match=f"no temperatures.*{option}.*--unit"):
            read_thermal(path, thermal, temperature=temperature)
    with pytest.raises(FusionError, match=r"a\.tif: window 100\.\.200"):
        read_thermal(path, Thermal(agc="window:100..200"))


def test_options_that_cannot_be_read_are_named():
    for thermal in (Thermal(agc="x"), Thermal(palette="x"), Thermal(highlight="x")):
        with pytest.raises(FusionError, match="'x' is unknown"):
            thermal.check()
    Thermal("clahe", "kelvin", "ironbow", "80%").check()


def test_false_colours_become_levels(tmp_path):
    levels = cv2.resize(np.arange(256, dtype=np.uint8).reshape(16, 16), (64, 48))
    write_picture(tmp_path / "a.png", Picture(colour(levels, "ironbow")))
    reading = read_thermal(tmp_path / "a.png")
    assert np.abs(reading.picture.pixels.astype(int) - levels).max() <= 1
    assert "ironbow, 100% of the pixels fit" in reading.note
    kept = read_thermal(tmp_path / "a.png", Thermal(palette="none"))
    assert (kept.picture.pixels.ndim, kept.note) == (3, "")
    assert hot_levels(kept.scene, Thermal(highlight="80%").threshold()).ndim == 2
    scan = read_thermal(tmp_path / "a.png", Thermal().of_scan())  # PET in false colours keeps them
    assert scan.picture.pixels.ndim == 3
    with pytest.raises(FusionError, match="in colour"):
        read_thermal(tmp_path / "a.png", Thermal(unit="centikelvin"))


def test_black_hot_is_turned_when_it_is_said(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    write_picture(tmp_path / "a.png", Picture(pixels))
    reading = read_thermal(tmp_path / "a.png", Thermal(palette="black-hot"))
    np.testing.assert_array_equal(reading.picture.pixels, 255 - pixels)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_counts_of_dji_are_read_upright(tmp_path, orientation):
    counts = (18000 + 100 * warm_scene((200, 250))).astype(np.uint16)
    path = write_dji(tmp_path / "a.jpg", counts, orientation)
    reading = read_thermal(path)
    turned = {1: counts, 3: counts[::-1, ::-1], 6: np.rot90(counts, -1)}[orientation]
    np.testing.assert_array_equal(reading.scene.levels, turned)
    assert reading.picture.pixels.shape == read_picture(path).pixels.shape[:2] == turned.shape
    assert "DJI" in reading.note
    preview = read_thermal(path, Thermal(agc="off")).picture.pixels
    np.testing.assert_array_equal(preview, read_picture(path).pixels)


def test_radiometric_data_that_are_cut_are_refused(tmp_path, monkeypatch):
    path = write_dji(tmp_path / "a.jpg", np.zeros((20, 30), np.uint16))
    picture = np.full((40, 50, 3), 9, np.uint8)
    write_jpeg_with_segments(path, picture, [(0xE1, b"xmp DJI"), (0xE3, bytes(1200))])
    with pytest.raises(FusionError, match=r"1200 bytes .* expected 4000 for 50x40.*--agc off"):
        read_thermal(path)
    assert read_thermal(path, Thermal(agc="off")).picture.size == (40, 50)
    broken = write_jpeg_with_segments(tmp_path / "b.jpg", picture, [(0xE1, b"FLIR\0\1\0\0" + bytes(300))])
    monkeypatch.setattr(radiometric, "can_read", lambda kind: kind == "DJI")
    monkeypatch.setattr("fsidfusion.thermal.reading.can_read", lambda kind: kind == "DJI")
    assert "pip install 'fsidfusion[radiometric]'" in read_thermal(broken).note
    with pytest.raises(FusionError, match=r"no temperatures.*flyr.*--temperature"):
        read_thermal(broken, temperature=True)


def test_records_of_flir_that_are_damaged_are_refused(tmp_path):
    pytest.importorskip("flyr")
    picture = np.full((40, 50, 3), 9, np.uint8)
    broken = write_jpeg_with_segments(tmp_path / "b.jpg", picture, [(0xE1, b"FLIR\0\1\0\0" + bytes(300))])
    with pytest.raises(FusionError, match=r"b\.jpg: its radiometric data cannot be read.*--agc off") as error:
        read_thermal(broken)
    assert "\n" not in str(error.value)
    assert read_thermal(broken, Thermal(agc="off")).picture.size == (40, 50)


def test_other_jpeg_files_are_not_radiometric(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    write_picture(tmp_path / "a.jpg", Picture(pixels))
    assert radiometric.find_kind(tmp_path / "a.jpg") is None
    write_picture(tmp_path / "a.png", Picture(pixels))
    assert radiometric.find_kind(tmp_path / "a.png") is None
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe1\xff\xff cut")
    assert radiometric.find_kind(tmp_path / "cut.jpg") is None


def test_the_temperatures_of_real_flir_files(data_root):
    pytest.importorskip("flyr")
    ranges = {"flir_e40.jpg": (17, 26), "flir_ax8.jpg": (24, 26), "flir_example.jpg": (25, 63)}
    for name, (low, high) in ranges.items():
        path = data_root / "formats/radiometric" / name
        reading = read_thermal(path, Thermal(agc="linear"), temperature=True)
        celsius = reading.scene.celsius
        assert celsius.shape == reading.picture.size == read_picture(path).size
        assert low < celsius.min() < celsius.max() < high
        assert np.corrcoef(celsius.ravel(), reading.picture.pixels.ravel())[0, 1] > 0.99


def test_the_pictures_of_real_files_without_the_package(data_root, monkeypatch):
    """False colours are turned back; for files that hold the temperatures too, these say how well."""
    for name, least in (("flir_example.jpg", 0.9), ("flir_e40.jpg", 0.75)):
        path = data_root / "formats/radiometric" / name
        monkeypatch.setattr("fsidfusion.thermal.reading.can_read", lambda kind: False)
        reading = read_thermal(path)
        assert "ironbow" in reading.note
        assert "flyr" in reading.note
        assert reading.scene.celsius is None
        monkeypatch.undo()
        if radiometric.can_read("FLIR"):
            celsius = read_thermal(path).scene.celsius
            assert np.corrcoef(celsius.ravel(), reading.picture.pixels.ravel())[0, 1] > least


def test_the_counts_of_a_real_dji_file(data_root):
    reading = read_thermal(data_root / "formats/radiometric/dji_h20t.jpg")
    assert reading.scene.levels.shape == (512, 640)
    assert (reading.scene.levels.min(), reading.scene.levels.max()) == (18363, 22796)
    assert reading.picture.pixels.std() > 0.15


def test_maps_of_temperatures(tmp_path):
    celsius = warm_scene()
    path = tmp_path / "new" / "t.tiff"
    write_temperature(path, celsius)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].dtype == np.float32
        assert "degrees Celsius" in tiff.pages[0].description
    larger = resample(celsius, 96, 100)
    assert larger.shape == (96, 100)
    assert celsius.min() <= larger.min() <= larger.max() <= celsius.max()
    with pytest.raises(FusionError, match="cannot be written"):
        write_temperature(path / "below.tif", celsius)
    assert [file.name for file in Path(path.parent).iterdir()] == ["t.tiff"]
