import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import spearmanr

from fsidfusion.errors import FusionError
from fsidfusion.studies.scenes import render_scene
from fsidfusion.thermal.palettes import (
    ESTIMATED,
    GRAY_PALETTES,
    MARKED,
    PALETTES,
    colour,
    find_palette,
    levels_of,
    palette,
)
from fsidfusion.thermal.reading import read_thermal
from fsidfusion.thermal.scene import Thermal, without_match
from fsidfusion.thermal.stream import ThermalStream

COLOURED = [name for name in PALETTES if name not in GRAY_PALETTES]


@pytest.fixture(scope="module")
def scene():
    """A rendered infrared picture, spread over all levels."""
    infrared = cv2.GaussianBlur(render_scene(3, (120, 160)).infrared.astype(np.float32), (0, 0), 2)
    order = np.argsort(np.argsort(infrared, axis=None)).reshape(infrared.shape)
    return (order * 255 // (infrared.size - 1)).astype(np.uint8)


@pytest.mark.parametrize("name", PALETTES)
def test_every_palette_has_distinct_colours_from_cold_to_hot(name):
    colours = palette(name)
    assert colours.shape == (256, 3)
    assert len(np.unique(colours, axis=0)) > 220
    steps = np.abs(np.diff(colours.astype(int), axis=0)).max(axis=1)
    assert steps.max() <= 12  # a smooth line through the colours


@given(st.sampled_from(PALETTES), st.integers(0, 99))
def test_colours_lead_back_to_their_levels(name, seed):
    levels = np.random.default_rng(seed).integers(0, 256, (13, 17), np.uint8)
    back, confidence = levels_of(colour(levels, name), name)
    assert np.abs(back.astype(int) - levels).max() <= 2  # some makers draw a few levels alike
    assert confidence == 1.0


@pytest.mark.parametrize("name", COLOURED)
def test_false_colours_are_recognised_through_jpeg_and_text(name, scene):
    rgb = colour(scene, name)
    rgb[5:18, 4:60] = 255  # as cameras draw their readings over the picture
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=85)
    decoded = np.asarray(Image.open(stream))
    match = find_palette(decoded)
    assert match.name == name
    assert 0.7 < match.confidence < 1.0
    back, _ = levels_of(decoded, name)
    assert np.abs(back[30:].astype(int) - scene[30:]).mean() < 6


def curve_of(scene, colours):
    """A picture of a palette that no table knows, as its colours at even steps."""
    place = np.linspace(0, 255, len(colours))
    line = np.stack([np.interp(np.arange(256), place, channel) for channel in np.array(colours).T], -1)
    noise = np.random.default_rng(0).normal(0, 2, (*scene.shape, 3))
    return (line[scene] + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "colours",
    [
        [(20, 0, 60), (0, 90, 120), (60, 170, 60), (230, 160, 90), (255, 230, 230)],
        [(90, 0, 0), (120, 60, 190), (110, 170, 230), (220, 250, 200)],
    ],
)
def test_the_line_of_an_unknown_palette_is_estimated(colours, scene):
    rgb = curve_of(scene, colours)
    match = find_palette(rgb)
    assert match.name == ESTIMATED
    back, confidence = levels_of(rgb, match)
    assert spearmanr(back.ravel(), scene.ravel()).statistic > 0.95
    assert confidence > 0.9


def test_what_is_marked_in_gray_is_hottest_or_coldest(scene):
    rgb = np.repeat(scene[..., None], 3, axis=2)
    rgb[scene > 235], rgb[scene < 25] = (250, 60, 30), (0, 200, 250)
    match = find_palette(rgb)
    assert match.name == MARKED
    back, _ = levels_of(rgb, match)
    assert (back[scene > 235] == 255).all()
    assert (back[scene < 25] == 0).all()
    middle = (scene > 60) & (scene < 200)
    np.testing.assert_array_equal(back[middle], scene[middle])


@pytest.mark.parametrize("seed", range(3))
def test_photographs_and_gray_pictures_are_no_false_colours(seed, scene):
    visible = render_scene(seed, (120, 160)).visible
    assert find_palette(visible) is None
    assert find_palette(np.repeat(scene[..., None], 3, axis=2)) is None
    noise = np.random.default_rng(seed).integers(0, 256, (60, 60, 3), np.uint8)
    assert find_palette(noise) is None


def test_unknown_palettes_are_named():
    with pytest.raises(FusionError, match="ironbow"):
        palette("sunset")


COOL = [(0, 255, 255), (255, 0, 255)]  # of like brightness at both ends, and near a part of rainbow-hc


@pytest.fixture(scope="module")
def street():
    """A rendered infrared picture of a street at night, white-hot, with contrast."""
    return render_scene(4, (240, 320), time_of_day="night", smoke=False).infrared


@pytest.mark.parametrize("colours", [COOL, COOL[::-1]])
def test_ends_of_like_brightness_are_told_by_the_scene(colours, street):
    rgb = curve_of(street, colours)
    assert spearmanr(levels_of(rgb, find_palette(rgb))[0].ravel(), street.ravel()).statistic > 0.9


def test_a_palette_of_another_order_is_never_taken_without_a_word(street):
    for name in ("COOL", "HSV", "OCEAN", "SPRING", "RAINBOW", "TWILIGHT", "DEEPGREEN"):
        rgb = np.asarray(cv2.applyColorMap(street, getattr(cv2, f"COLORMAP_{name}"))[..., ::-1], order="C")
        scene = without_match(rgb, find_palette(rgb))
        right = scene.levels.ndim == 2 and spearmanr(scene.levels.ravel(), street.ravel()).statistic > 0.9
        assert right or "warm things may be dark" in scene.note, name


def test_a_known_palette_is_not_doubted(street):
    for name in COLOURED:
        assert find_palette(colour(street, name)).sure, name


@pytest.mark.parametrize("name", COLOURED)
def test_a_palette_with_its_ends_exchanged_is_not_taken_without_a_word(name, street):
    rgb = colour(255 - street, name)
    scene = without_match(rgb, find_palette(rgb))
    assert "warm things may be dark" in scene.note, scene.note


@pytest.mark.parametrize("name", ["ironbow", "rainbow-hc"])
def test_the_usual_order_is_said_where_the_scene_does_not_tell(name):
    y, x = np.mgrid[:240, :320]
    blur = np.exp(-((x - 90) ** 2 + (y - 150) ** 2) / 9000) - np.exp(-((x - 240) ** 2 + (y - 60) ** 2) / 9000)
    rgb = colour(np.rint(128 + 120 * blur).astype(np.uint8), name)
    note = without_match(rgb, find_palette(rgb)).note
    assert "in their usual order, which the scene does not tell" in note
    assert "not sure" not in note


def test_red_marks_on_what_is_dark_are_doubted(scene):
    rgb = np.repeat(255 - scene[..., None], 3, axis=2)
    rgb[scene > 235] = (250, 60, 30)
    match = find_palette(rgb)
    assert match.name == MARKED
    assert not match.sure
    assert "warm things may be dark" in without_match(rgb, match).note


def test_the_other_end_is_hot_on_request(street, tmp_path):
    for name, pixels in (("colour", colour(street, "ironbow")), ("gray", street)):
        path = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(path)
        told, turned = (read_thermal(path, Thermal(palette=palette)) for palette in ("auto", "auto-reversed"))
        np.testing.assert_array_equal(turned.scene.levels, 255 - told.scene.levels)
        assert "may be dark" not in turned.note
        stream = ThermalStream(Thermal(palette="auto-reversed"), "ir")
        np.testing.assert_array_equal(stream(pixels, 0.0)[0], turned.scene.levels)
