import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsidfusion.errors import FusionError
from fsidfusion.thermal.highlight import Threshold, highlight, parse_threshold


def test_thresholds_are_read():
    assert parse_threshold("35C") == Threshold(35, "C")
    assert parse_threshold("-4.5C") == Threshold(-4.5, "C")
    assert parse_threshold("80%") == Threshold(80, "%")
    assert parse_threshold("9000") == Threshold(9000, "")
    for wrong in ("hot", "35F", "120%", "C", ""):
        with pytest.raises(FusionError):
            parse_threshold(wrong)


@given(
    st.sampled_from((np.uint8, np.uint16)),
    st.booleans(),
    st.floats(0, 60),
    st.integers(0, 99),
)
def test_only_hot_pixels_are_coloured(dtype, gray, value, seed):
    random = np.random.default_rng(seed)
    fused = random.integers(0, np.iinfo(dtype).max, (20, 30) if gray else (20, 30, 3), dtype)
    celsius = (50 * random.random((20, 30))).astype(np.float32)
    celsius[:, :4] = np.nan  # not measured
    result = highlight(fused, celsius, Threshold(value, "C"))
    assert (result.shape, result.dtype) == ((20, 30, 3), dtype)
    rgb = np.repeat(fused[..., None], 3, axis=2) if gray else fused
    cold = ~(celsius >= value)
    np.testing.assert_array_equal(result[cold], rgb[cold])
    if (~cold).any():
        assert (result[~cold] != rgb[~cold]).any()


def test_the_colour_comes_up_from_the_rim_and_grows_hotter():
    fused = np.full((40, 60), 120, np.uint8)
    celsius = np.full((40, 60), 20, np.float32)
    celsius[10:30, 10:50] = np.linspace(36, 60, 40, dtype=np.float32)
    result = highlight(fused, celsius, Threshold(35, "C")).astype(int)
    change = np.abs(result - 120).sum(axis=2)
    assert change[20, 10] < change[20, 11] < change[20, 14]  # the rim is soft
    red_to_yellow = result[20, 14:46, 1] - result[20, 14:46, 2]  # green above blue
    assert (np.diff(red_to_yellow) >= -2).all()
    assert red_to_yellow[-1] > red_to_yellow[0] + 40


def test_percent_is_of_the_range_of_the_picture():
    fused = np.zeros((30, 40), np.uint8)
    levels = np.tile(np.linspace(1000, 2000, 40).astype(np.uint16), (30, 1))
    result = highlight(fused, levels, Threshold(75, "%"))
    changed = (result != 0).any(axis=(0, 2))
    np.testing.assert_array_equal(changed, levels[0] >= 1750)
    flat = highlight(fused, np.full((30, 40), 7, np.uint8), Threshold(50, "%"))
    assert not flat.any()


def test_nothing_hot_and_nothing_measured_change_nothing():
    fused = np.full((5, 6, 3), 90, np.uint8)
    for celsius in (np.zeros((5, 6), np.float32), np.full((5, 6), np.nan, np.float32)):
        np.testing.assert_array_equal(highlight(fused, celsius, Threshold(35, "C")), fused)
