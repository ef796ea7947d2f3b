from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from scipy.stats import spearmanr

from fsidfusion.errors import FusionError
from fsidfusion.images.files import Picture, read_picture, write_picture
from fsidfusion.images.pairs import match_pairs
from fsidfusion.thermal import radiometric
from fsidfusion.thermal.gain import Gain, apply_gain
from fsidfusion.thermal.palettes import colour
from fsidfusion.thermal.reading import read_thermal
from fsidfusion.thermal.scene import Thermal, hot_levels
from fsidfusion.thermal.temperature import read_temperature, resample, to_celsius, write_temperature
from radiometric_files import (
    centikelvin,
    fff,
    raw_record,
    warm_scene,
    write_deep,
    write_dji,
    write_jpeg_with_segments,
)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_8_bit_pictures_stay_as_they_are(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 99, (20, 30, *channels), np.uint8)
    write_picture(tmp_path / "a.png", Picture(pixels))
    reading = read_thermal(tmp_path / "a.png")
    np.testing.assert_array_equal(reading.picture.pixels, pixels)
    assert reading.picture.pixels.dtype == np.uint8
    assert reading.scene.celsius is None
    assert reading.note == "" if not channels else "say what the colours are by `palette`" in reading.note


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


def test_the_temperatures_that_were_written_can_be_read_again(tmp_path):
    celsius = warm_scene()
    celsius[3, 4] = np.nan  # a dead pixel
    celsius[:, 50:] = np.nan  # outside of the field
    write_temperature(tmp_path / "t.tif", celsius)
    np.testing.assert_array_equal(read_temperature(tmp_path / "t.tif"), celsius)
    reading = read_thermal(tmp_path / "t.tif", Thermal(agc="linear"), temperature=True)
    np.testing.assert_array_equal(reading.scene.temperatures, celsius)
    np.testing.assert_array_equal(reading.scene.known, np.arange(64)[None] < np.full((48, 1), 50))
    assert reading.picture.pixels.max() == pytest.approx(1.0)
    assert "degrees Celsius" in reading.note
    with pytest.raises(FusionError, match="gain control"):
        read_thermal(tmp_path / "t.tif", Thermal(agc="off"))
    kelvin = read_thermal(write_deep(tmp_path / "k.tif", celsius + np.float32(273.15)))
    np.testing.assert_allclose(kelvin.scene.temperatures, celsius, atol=1e-3)


@pytest.mark.parametrize("dtype, scale", [(np.int16, 100), (np.int32, 1000)])
def test_signed_numbers_are_counts_unless_their_unit_is_said(tmp_path, dtype, scale):
    celsius = warm_scene() - 20
    path = write_deep(tmp_path / "a.tif", np.rint(celsius * scale).astype(dtype))
    plain = read_thermal(path)
    assert spearmanr(plain.picture.pixels.ravel(), celsius.ravel()).statistic > 0.99
    assert "no known unit" in plain.note
    assert plain.scene.celsius is None
    said = read_thermal(path, Thermal(unit={100: "centicelsius", 1000: "millicelsius"}[scale]))
    np.testing.assert_allclose(said.scene.celsius, celsius, atol=0.01)


def noisy(celsius):
    """The whole range of a scene, as a camera stores it."""
    return centikelvin(celsius + np.random.default_rng(0).normal(0, 0.05, celsius.shape))


@pytest.mark.parametrize(
    "name", ["dead", "bright dead", "border", "telemetry", "sun", "swapped", "no data", "shifted"]
)
def test_a_few_invalid_pixels_decide_nothing(tmp_path, name):
    good = noisy(warm_scene((96, 128)))
    bad, person = good.copy(), np.s_[12:38, 22:30]
    random = np.random.default_rng(1)
    if "dead" in name:
        bad[random.random(bad.shape) < 0.004] = 65535 if "bright" in name else 0
    elif name == "border":
        bad[:8], bad[:, :8] = 0, 0
    elif name == "telemetry":
        bad[-2:] = random.integers(0, 65536, (2, 128))
    elif name == "sun":
        bad[60:70, 90:100] = 65535
    elif name == "swapped":
        bad = bad.byteswap()
    elif name == "no data":
        bad = warm_scene((96, 128))
        bad[:8] = -9999
    elif name == "shifted":
        bad = ((good - 25000) << 2).astype(np.uint16)
    clean = read_thermal(write_deep(tmp_path / "good.tif", good))
    reading = read_thermal(write_deep(tmp_path / "bad.tif", bad))
    known = np.ones(good.shape, bool) if reading.scene.known is None else reading.scene.known
    known = known & (bad < 65535)
    shown, wanted = reading.picture.pixels[known], clean.picture.pixels[known]
    assert spearmanr(shown, wanted).statistic > 0.97
    assert reading.picture.pixels[person].mean() > 0.8
    assert reading.note != clean.note
    if name != "shifted":
        assert reading.scene.temperatures[person].mean() == pytest.approx(37, abs=0.1)
    if name == "sun":
        assert (reading.picture.pixels[60:70, 90:100] > 0.999).all()
        assert np.isnan(reading.scene.temperatures[60:70, 90:100]).all()
        assert (hot_levels(reading.scene, Thermal(highlight="35C").threshold())[60:70, 90:100] >= 35).all()
    if name in ("border", "telemetry", "no data"):
        assert not reading.scene.known[{"telemetry": -1}.get(name, 0)].any()
        assert "not measured" in reading.note


def test_a_picture_of_nothing_is_refused(tmp_path):
    path = write_deep(tmp_path / "a.tif", np.full((20, 30), np.nan, np.float32))
    with pytest.raises(FusionError, match="hardly a measured pixel"):
        read_thermal(path)


def test_raw_counts_have_a_gain_but_no_temperature(tmp_path):
    counts = (7000 + 30 * warm_scene()).astype(np.uint16)
    path = write_deep(tmp_path / "a.tif", counts)
    np.testing.assert_array_equal(read_thermal(path).picture.pixels, apply_gain(counts, Gain("plateau")))
    off = read_thermal(path, Thermal(agc="off"))
    np.testing.assert_array_equal(off.picture.pixels, counts)
    for thermal, temperature, option in (
        (Thermal(agc="window:20..40C"), False, "`agc` window:20..40C"),
        (Thermal(highlight="35C"), False, "`highlight` 35C"),
        (Thermal(), True, "`temperature`"),
    ):
        with pytest.raises(FusionError, match=f"no temperatures.*{option}.*`unit`"):
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


def test_a_measurement_that_cannot_be_read_gives_way_to_the_picture(tmp_path):
    picture = np.full((40, 50, 3), 9, np.uint8)
    picture[5:20, 5:20] = 200
    for name, segments, words in (
        ("a.jpg", [(0xE1, b"xmp DJI"), (0xE3, bytes(1200))], "1200 bytes of thermal counts"),
        ("b.jpg", [(0xE1, b"FLIR\0\1\0\0" + bytes(300))], "FLIR records"),
        (
            "c.jpg",
            [(0xE1, b"FLIR\0\1\0\0" + fff([(1, raw_record(np.ones((60, 80), np.uint16))[:99])]))],
            "end",
        ),
    ):
        path = write_jpeg_with_segments(tmp_path / name, picture, segments)
        reading = read_thermal(path)
        assert reading.picture.size == (40, 50)
        assert words in reading.note
        assert "was used" in reading.note
        with pytest.raises(FusionError, match=words) as error:
            read_thermal(path, temperature=True)
        assert "\n" not in str(error.value)


def textured(size, seed=0):
    """Counts of a scene by which a grid can be told: spots of all sizes."""
    noise = np.random.default_rng(seed).normal(0, 1, size).astype(np.float32)
    spots = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (2, 4, 8))
    return (18000 + 600 * spots / np.abs(spots).max()).astype(np.uint16)


@pytest.mark.parametrize(
    "name", ["as the sensor", "larger", "in APP4", "turned", "turned and larger", "upside down", "cut"]
)
def test_the_counts_of_dji_lie_as_its_picture_does(tmp_path, name):
    counts = textured((120, 160))
    shown = ((counts - counts.min()) / np.ptp(counts) * 255).astype(np.uint8)
    turned = {"turned": 1, "turned and larger": 3, "upside down": 2}.get(name, 0)
    if "larger" in name:
        shown = cv2.resize(shown, (320, 240))
    rgb = np.repeat(np.rot90(shown, turned)[..., None], 3, axis=2)
    raw = counts.astype("<u2").tobytes()
    parts = [(0xE4 if name == "in APP4" else 0xE3, raw[i : i + 60_000]) for i in range(0, len(raw), 60_000)]
    if name == "in APP4":
        parts.insert(0, (0xE3, bytes(9000)))
    path = write_jpeg_with_segments(tmp_path / "a.jpg", rgb, [(0xE1, b"xmp DJI"), *parts])
    if name == "cut":
        path.write_bytes(path.read_bytes()[:-22])
    reading = read_thermal(path)
    expected = cv2.resize(np.rot90(counts, turned), rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    assert reading.scene.levels.shape == rgb.shape[:2]
    assert np.abs(reading.scene.levels.astype(int) - expected).mean() < 10
    assert "DJI's raw counts" in reading.note
    assert ("turned" in reading.note) == bool(turned)
    assert ("cut short" in reading.note) == (name == "cut")


def test_other_jpeg_files_are_not_radiometric(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    write_picture(tmp_path / "a.jpg", Picture(pixels))
    assert radiometric.find_kind(tmp_path / "a.jpg") is None
    write_picture(tmp_path / "a.png", Picture(pixels))
    assert radiometric.find_kind(tmp_path / "a.png") is None
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe1\xff\xff cut")
    assert radiometric.find_kind(tmp_path / "cut.jpg") is None


def test_the_temperatures_of_real_flir_files(data_root):
    """The ranges, and one reading, that the cameras drew into the pictures."""
    ranges = {"flir_e40.jpg": (17, 26), "flir_ax8.jpg": (24.3, 25.5), "flir_example.jpg": (25, 63)}
    for name, (low, high) in ranges.items():
        path = data_root / "formats/radiometric" / name
        reading = read_thermal(path, Thermal(agc="linear"), temperature=True)
        celsius = reading.scene.celsius
        assert celsius.shape == reading.picture.size == read_picture(path).size
        assert low - 0.05 < celsius.min() < celsius.max() < high + 0.05
        assert np.corrcoef(celsius.ravel(), reading.picture.pixels.ravel())[0, 1] > 0.99
        if name == "flir_e40.jpg":
            assert celsius[116:124, 156:164].mean() == pytest.approx(20.9, abs=0.1)  # the spot


def test_false_colours_of_real_files_follow_their_temperatures(data_root):
    for name, least in (("flir_example.jpg", 0.85), ("flir_e40.jpg", 0.75)):
        path = data_root / "formats/radiometric" / name
        levels = read_thermal(path, Thermal(agc="off"))
        assert "ironbow" in levels.note
        celsius = read_thermal(path).scene.celsius
        assert np.corrcoef(celsius.ravel(), levels.picture.pixels.ravel())[0, 1] > least


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


def test_tables_of_temperatures_are_found_by_a_glob(tmp_path):
    for name, hottest in (("a", 30.0), ("b", 40.0)):
        celsius = np.linspace(10, hottest, 48 * 64).reshape(48, 64)
        np.savetxt(tmp_path / f"{name}.csv", celsius, fmt="%.2f", delimiter=";")
        write_picture(tmp_path / f"{name}.png", Picture(np.full((48, 64, 3), 90, np.uint8)))
    pairs = match_pairs([f"{tmp_path}/*.csv"], [f"{tmp_path}/*.png"]).pairs
    assert [pair.infrared.name for pair in pairs] == ["a.csv", "b.csv"]
    assert read_thermal(pairs[1].infrared).scene.celsius.max() == pytest.approx(40.0)
