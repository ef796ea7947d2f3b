import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fsidfusion
from fsidfusion.alignment.transform import Alignment
from fsidfusion.inference.contrast import Range
from fsidfusion.pixels import luma, quantise
from fsidfusion.thermal.heat import glow, heat_range

WHOLE = Range(0.0, 1.0)


@given(st.sampled_from((np.uint8, np.uint16, np.float32)), st.booleans(), st.integers(0, 99))
def test_only_what_is_warm_glows(dtype, gray, seed):
    random = np.random.default_rng(seed)
    fused = quantise(random.random((20, 30) if gray else (20, 30, 3), np.float32), np.dtype(dtype))
    infrared = random.integers(0, 256, (20, 30), np.uint8)
    result = glow(fused, infrared, WHOLE)
    assert (result.shape, result.dtype) == ((20, 30, 3), dtype)
    rgb = np.repeat(fused[..., None], 3, axis=2) if gray else fused
    cool = infrared <= 51
    np.testing.assert_array_equal(result[cool], rgb[cool])
    hot = infrared > 200
    assert (result[hot, 0] > result[hot, 2]).all()  # red above blue


def test_the_glow_grows_with_the_infrared_level_and_keeps_light_and_dark():
    fused = np.repeat(np.array([[40], [120], [250]], np.uint8), 256, axis=1)
    infrared = np.repeat(np.arange(256, dtype=np.uint8)[None], 3, axis=0)
    result = glow(fused, infrared, WHOLE).astype(int)
    warmth = result[..., 0] - result[..., 2]
    assert (np.diff(warmth, axis=1) >= -1).all() and (warmth[:, -1] > warmth[:, 60] + 60).all()
    brightness = luma(result.astype(np.uint8))
    assert (np.diff(brightness, axis=0) > 0).all()


def test_heat_is_measured_from_the_coldest_to_the_hottest_level_but_noise_is_not_lifted():
    levels = np.tile(np.linspace(60, 160, 500).astype(np.uint8), (20, 1))
    range_ = heat_range(luma(levels))
    assert (range_.low * 255, range_.high * 255) == pytest.approx((60, 160), abs=1)
    even = heat_range(luma(np.full((20, 30), 128, np.uint8)))
    assert even.high - even.low == pytest.approx(0.25)


def test_what_the_infrared_picture_does_not_reach_keeps_its_colour():
    fused = np.full((8, 10, 3), 90, np.uint8)
    weight = np.zeros((8, 10), np.float32)
    weight[:, 5:] = 1
    result = glow(fused, np.full((8, 10), 255, np.uint8), WHOLE, weight)
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
    infrared = np.full((24, 32), 255, np.uint8)
    visible = np.full((24, 32, 3), 60, np.uint8)
    matrix = np.array([[1, 0, -12], [0, 1, 0], [0, 0, 1]], float)  # it begins at column 12
    shift = Alignment(matrix, (24, 32), (24, 32), "similarity", "points")
    options = {"model": "maximum", "range": "none", "align": shift}
    plain = fsidfusion.fuse(infrared, visible, **options)
    heat = fsidfusion.fuse(infrared, visible, **options, color="heat")
    same = (heat == plain).all(axis=(0, 2))
    assert same[:10].all() and not same[16:].any()
