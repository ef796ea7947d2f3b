import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fsidfusion
from fsidfusion.alignment.transform import Alignment
from fsidfusion.images.output_range import Range
from fsidfusion.images.pixels import luma, quantise
from fsidfusion.thermal.heat import glow, heat_contrast, heat_range, hot_iron

GLOW = Range(0.0, 0.2)


def person(level=220, wall=120, size=(120, 160)):
    """A warm upright figure before an even wall, (H, W) uint8, and where it stands."""
    infrared = np.full(size, wall, np.uint8)
    where = slice(40, 100), slice(70, 90)
    infrared[where] = level
    return infrared, where


@given(st.sampled_from((np.uint8, np.uint16, np.float32)), st.booleans(), st.integers(0, 99))
def test_luma_stays_and_nothing_leaves_the_gamut(dtype, gray, seed):
    random = np.random.default_rng(seed)
    fused = quantise(random.random((20, 30) if gray else (20, 30, 3), np.float32), np.dtype(dtype))
    contrast = random.random((20, 30), np.float32)
    contrast[:, :9] = 0  # of which the last columns are near what glows
    result = glow(fused, contrast, GLOW)
    assert (result.shape, result.dtype) == ((20, 30, 3), dtype)
    rgb = np.repeat(fused[..., None], 3, axis=2) if gray else fused
    np.testing.assert_array_equal(result[:, :5], rgb[:, :5])
    step = 1 / 255 if dtype == np.uint8 else 1e-4
    np.testing.assert_allclose(luma(result), luma(rgb), atol=0.6 * step)


@given(st.floats(0, 1, width=32))
def test_hot_iron_has_one_colour_for_every_luma(level):
    colour = hot_iron(np.array([level], np.float32))
    assert colour.min() >= 0 and colour.max() <= 1
    assert luma(colour[None])[0, 0] == pytest.approx(level, abs=1e-5)
    assert colour[0, 0] >= colour[0, 1] >= colour[0, 2]  # never greenish or bluish


def test_the_glow_grows_with_the_contrast():
    fused = np.repeat(np.array([[40], [120], [200]], np.uint8), 256, axis=1)
    contrast = np.repeat(np.linspace(0, 0.8, 256, dtype=np.float32)[None], 3, axis=0)
    result = glow(fused, contrast, GLOW).astype(int)
    warmth = result[..., 0] - result[..., 2]
    assert (np.diff(warmth, axis=1) >= -1).all()
    assert (warmth[:, -1] > warmth[:, 0] + 30).all()


@pytest.mark.parametrize("size", [(120, 160), (480, 640)])
def test_a_person_glows_and_a_warm_wall_does_not(size):
    infrared, where = person(size=size)
    infrared[:, size[1] // 2 + 40 :] = 200  # a sunlit wall that fills the side of the frame
    contrast = heat_contrast(luma(infrared))
    seen = contrast / (heat_range(contrast).high) > 1
    assert seen[where].mean() > 0.95
    seen[where] = False
    assert seen[:, : size[1] // 2 + 20].mean() < 0.01
    assert seen[:, -size[1] // 5 :].mean() < 0.02


def test_a_crowd_of_warm_things_raises_the_bar_but_hot_ones_are_seen():
    quiet = heat_range(heat_contrast(luma(person()[0])))
    random = np.random.default_rng(0)
    busy = (120 + 60 * (random.random((40, 53)) > 0.6)).astype(np.uint8).repeat(3, 0).repeat(3, 1)
    crowded = heat_range(heat_contrast(luma(busy)))
    assert quiet == Range(0.0, pytest.approx(0.12))
    assert quiet.high < crowded.high <= 1.2


def test_a_building_before_a_cold_sky_is_no_target():
    infrared = np.full((120, 160), 90, np.uint8)
    infrared[:35] = 5  # sky
    infrared[10:35, 60:85] = 95  # a tower
    contrast = heat_contrast(luma(infrared))
    assert (contrast / heat_range(contrast).high < 0.3).all()


def test_colours_fade_beside_what_glows_and_nowhere_else():
    fused = np.full((120, 160, 3), (60, 140, 60), np.uint8)
    contrast = np.zeros((120, 160), np.float32)
    contrast[40:100, 70:90] = 0.5
    result = glow(fused, contrast, GLOW).astype(int)
    strength = np.ptp(result, axis=2)
    assert strength[70, 90] < 30 < 75 < strength[70, 100]  # of 80
    np.testing.assert_array_equal(result[:, :60], fused[:, :60])
    np.testing.assert_allclose(luma(result.astype(np.uint8)), luma(fused), atol=0.6 / 255)


def test_noise_of_an_even_picture_hardly_glows():
    noise = np.random.default_rng(0).normal(128, 3, (120, 160)).clip(0, 255).astype(np.uint8)
    contrast = heat_contrast(luma(noise))
    plain = np.full((120, 160, 3), 128, np.uint8)
    result = glow(plain, contrast, heat_range(contrast))
    assert np.abs(result.astype(int) - plain).max(-1).mean() < 12


def test_what_the_infrared_picture_does_not_reach_keeps_its_colour():
    fused = np.full((8, 10, 3), 90, np.uint8)
    weight = np.zeros((8, 10), np.float32)
    weight[:, 5:] = 1
    result = glow(fused, np.full((8, 10), 0.5, np.float32), GLOW, weight)
    assert (result[:, :5] == 90).all() and (result[:, 5:] != 90).any(axis=2).all()


@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_fused_picture_in_heat_colours_is_the_fused_one_that_glows(channels):
    random = np.random.default_rng(0)
    infrared = random.integers(0, 256, (24, 32), np.uint8)
    visible = random.integers(0, 256, (24, 32, *channels), np.uint8)
    plain = fsidfusion.fuse(infrared, visible, model="maximum")
    heat = fsidfusion.fuse(infrared, visible, model="maximum", color="heat")
    contrast = heat_contrast(luma(infrared))
    np.testing.assert_array_equal(heat, glow(plain, contrast, heat_range(contrast)))


def test_outside_the_infrared_field_nothing_glows():
    infrared = np.full((48, 64), 40, np.uint8)
    infrared[20:30, 30:36] = 220
    visible = np.full((48, 64, 3), 100, np.uint8)
    matrix = np.array([[1, 0, -24], [0, 1, 0], [0, 0, 1]], float)  # it begins at column 24
    shift = Alignment(matrix, (48, 64), (48, 64), "similarity", "points")
    options = {"model": "maximum", "range": "none", "align": shift}
    plain = fsidfusion.fuse(infrared, visible, **options)
    heat = fsidfusion.fuse(infrared, visible, **options, color="heat")
    same = (heat == plain).all(axis=2)
    assert same[:, :22].all() and same[:18].all() and not same[21:29, 55:59].any()
