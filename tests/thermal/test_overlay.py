import cv2
import numpy as np
import pytest

from fsidfusion.images.files import Picture, write_picture
from fsidfusion.thermal.overlay import find_gray_bar, find_overlay
from fsidfusion.thermal.palettes import colour
from fsidfusion.thermal.reading import read_thermal
from fsidfusion.thermal.scene import Thermal


@pytest.fixture
def levels():
    noise = np.random.default_rng(0).normal(0, 1, (240, 320)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 15)
    result = (smooth - smooth.min()) / np.ptp(smooth) * 170 + 20
    result[100:180, 150:170] = 240  # a person
    return result.astype(np.uint8)


def test_a_scene_without_drawing_has_none(levels):
    assert find_overlay(levels, colour(levels, "ironbow")) is None


def test_a_bar_at_the_edge_is_found(levels):
    levels[40:200, 300:310] = np.linspace(255, 0, 160).astype(np.uint8)[:, None]
    found = find_overlay(levels, colour(levels, "ironbow"))
    assert found[45:195, 302:308].all()
    assert not found[:, :290].any()


def test_text_and_logo_are_found_and_no_heat(levels, tmp_path):
    rgb = colour(levels, "ironbow")
    cv2.putText(rgb, "FLIR 32.6", (5, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
    found = find_overlay(levels, rgb)
    written = (rgb == 255).all(-1) & (np.arange(240)[:, None] < 40)
    assert found[written].mean() > 0.95
    assert not found[100:180, 150:170].any()
    assert found.mean() < 0.12
    write_picture(tmp_path / "a.png", Picture(rgb))
    reading = read_thermal(tmp_path / "a.png")
    assert "was not taken for heat" in reading.note
    np.testing.assert_array_equal(reading.scene.known, ~found)
    kept = read_thermal(tmp_path / "a.png", Thermal(palette="none"))
    assert kept.scene.known is None


@pytest.mark.parametrize("black_is_hot", [False, True])
def test_a_gray_bar_tells_whether_black_is_hot(levels, tmp_path, black_is_hot):
    drawn = 255 - levels if black_is_hot else levels.copy()
    ramp = np.linspace(255, 0, 160).astype(np.uint8)
    drawn[40:200, 300:308] = (255 - ramp if black_is_hot else ramp)[:, None]
    assert find_gray_bar(drawn).black_is_hot == black_is_hot
    write_picture(tmp_path / "a.png", Picture(drawn))
    reading = read_thermal(tmp_path / "a.png")
    assert ("black is hot" in reading.note) == black_is_hot
    np.testing.assert_array_equal(reading.picture.pixels[:, :280], levels[:, :280])
    assert not reading.scene.known[45:195, 302:306].any()
    assert reading.scene.known[:, :280].all()
    kept = read_thermal(tmp_path / "a.png", Thermal(palette="white-hot"))
    np.testing.assert_array_equal(kept.picture.pixels, drawn)
    assert kept.scene.known is None


def test_gradients_of_scenes_are_no_bars(levels):
    assert find_gray_bar(levels) is None
    sky = np.repeat(np.linspace(0, 255, 240).astype(np.uint8)[:, None], 320, 1)
    assert find_gray_bar(sky) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (5, 5), (6, 6)])
def test_pictures_too_small_for_a_bar_have_none(size):
    assert find_gray_bar(np.zeros(size, np.uint8)) is None
