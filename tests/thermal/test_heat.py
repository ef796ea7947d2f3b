import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fsidfusion
from fsidfusion.alignment.transform import Alignment
from fsidfusion.images.output_range import Range
from fsidfusion.images.pixels import luma, quantise
from fsidfusion.thermal.heat import glow, heat_range

WARM = Range(0.4, 1.0)


@given(st.sampled_from((np.uint8, np.uint16, np.float32)), st.booleans(), st.integers(0, 99))
def test_only_what_is_warm_glows(dtype, gray, seed):
    random = np.random.default_rng(seed)
    fused = quantise(random.random((20, 30) if gray else (20, 30, 3), np.float32), np.dtype(dtype))
    infrared = random.integers(0, 256, (20, 30), np.uint8)
    result = glow(fused, infrared, WARM)
    assert (result.shape, result.dtype) == ((20, 30, 3), dtype)
    rgb = np.repeat(fused[..., None], 3, axis=2) if gray else fused
    cool = infrared <= 102
    np.testing.assert_array_equal(result[cool], rgb[cool])
    hot = infrared > 230
    assert (result[hot, 0] > result[hot, 2]).all()  # red above blue


def test_the_glow_grows_with_the_infrared_level_and_keeps_light_and_dark():
    fused = np.repeat(np.array([[40], [120], [250]], np.uint8), 256, axis=1)
    infrared = np.repeat(np.arange(256, dtype=np.uint8)[None], 3, axis=0)
    result = glow(fused, infrared, WARM).astype(int)
    warmth = result[..., 0] - result[..., 2]
    assert (np.diff(warmth, axis=1) >= -1).all() and (warmth[:, -1] > warmth[:, 102] + 60).all()
    brightness = luma(result.astype(np.uint8))
    assert (np.diff(brightness, axis=0) > 0).all()


@pytest.mark.parametrize("size", [(20, 500), (1100, 1200)])
def test_a_quarter_of_the_picture_glows_at_most_and_noise_does_not(size):
    levels = np.tile(np.linspace(20, 240, size[1]).astype(np.uint8), (size[0], 1))
    range_ = heat_range(luma(levels))
    assert (range_.low * 255, range_.high * 255) == pytest.approx((185, 239), abs=1)
    even = heat_range(luma(np.full((20, 30), 128, np.uint8)))
    assert even.high - even.low == pytest.approx(0.2)


def test_what_the_infrared_picture_does_not_reach_keeps_its_colour():
    fused = np.full((8, 10, 3), 90, np.uint8)
    weight = np.zeros((8, 10), np.float32)
    weight[:, 5:] = 1
    result = glow(fused, np.full((8, 10), 255, np.uint8), WARM, weight)
    assert (result[:, :5] == 90).all() and (result[:, 5:] != 90).any(axis=2).all()


@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_fused_picture_in_heat_colours_is_the_fused_one_that_glows(channels):
    random = np.random.default_rng(0)
    infrared = random.integers(0, 256, (24, 32), np.uint8)
    visible = random.integers(0, 256, (24, 32, *channels), np.uint8)
    plain = fsidfusion.fuse(infrared, visible, model="maximum")
    heat = fsidfusion.fuse(infrared, visible, model="maximum", color="heat")
    np.testing.assert_array_equal(heat, glow(plain, infrared, heat_range(luma(infrared))))


def test_outside_the_infrared_field_nothing_glows():
    infrared = np.full((24, 32), 40, np.uint8)
    infrared[20:] = 255
    visible = np.full((24, 32, 3), 250, np.uint8)
    matrix = np.array([[1, 0, -12], [0, 1, 0], [0, 0, 1]], float)  # it begins at column 12
    shift = Alignment(matrix, (24, 32), (24, 32), "similarity", "points")
    options = {"model": "maximum", "range": "none", "align": shift}
    plain = fsidfusion.fuse(infrared, visible, **options)
    heat = fsidfusion.fuse(infrared, visible, **options, color="heat")
    same = (heat == plain).all(axis=2)
    assert same[:, :10].all() and same[:18, 18:].all() and not same[21:, 18:].any()
