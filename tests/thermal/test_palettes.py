import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fsidfusion.errors import FusionError
from fsidfusion.studies.scenes import render_scene
from fsidfusion.thermal.palettes import GRAY_PALETTES, PALETTES, colour, find_palette, levels_of, palette

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
    assert len(np.unique(colours, axis=0)) == 256
    steps = np.abs(np.diff(colours.astype(int), axis=0)).max(axis=1)
    assert steps.max() <= 12  # a smooth line through the colours


@given(st.sampled_from(PALETTES), st.integers(0, 99))
def test_colours_lead_back_to_their_levels(name, seed):
    levels = np.random.default_rng(seed).integers(0, 256, (13, 17), np.uint8)
    back, confidence = levels_of(colour(levels, name), name)
    np.testing.assert_array_equal(back, levels)
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
